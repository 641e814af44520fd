"""One file per recipe of audio transforms.

A preset holds
    Config : frozen dataclass
    compose(config, number) -> audiomentations.Compose
        Transforms that make copy `number` (from 1) of a recording, applied in order; the caller seeds each transform
        for each clip.
"""
