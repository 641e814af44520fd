"""One file per data set, in its publisher's layout.

A source holds
    CITATION, LICENCE, HOMEPAGE : str
    LABELS : tuple[str, ...] or None
        Class names in output order, the positive class of a binary task last. None: `config.labels` where the source
        has such a parameter and it is given, else sorted.
    Config : frozen dataclass
        May have a property `own_paths`, parameter to Path: the user's own files and folders, which must not lie where
        the pipeline writes.
    fetch(config, folder, mirror) -> None
        Put the publisher's files below `folder` as published, from the network or from the folder `mirror`,
        checked against what is known of them. Called again after an interruption, it goes on where it stopped.
    recordings(config, folder) -> list[Listing]
        Read the layout below `folder`. No audio is decoded here. What cannot be used is listed with its reason.
"""
