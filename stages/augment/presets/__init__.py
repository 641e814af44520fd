"""One file per recipe of audio transforms.

A preset holds
    Config : frozen dataclass
    compose(config) -> audiomentations.Compose, imported inside
        Always applied as a whole and in order; the caller seeds each transform for each clip.
"""
