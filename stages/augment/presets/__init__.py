"""One file per recipe of audio transforms.

A preset holds
    Config : frozen dataclass
    compose(config) -> audiomentations.Compose
        Randomness is seeded by the caller, per clip.
"""
