"""The `augment` section of params.yaml."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

from stages.core.audio.spec_augment import Masks
from stages.core.project import plugins
from stages.core.project.errors import require
from stages.core.project.params import Options

PRESETS = "stages.augment.presets"


@dataclass(frozen=True)
class AugmentParams:
    """Parameters of augmentation: the transforms, and the number of copies of each class.

    Attributes
    ----------
    preset : str
        A file of `stages/augment/presets/`; ``"none"`` makes no copies.
    copies : dict[str, int]
        Class to the number of copies of each of its training recordings; ``all`` stands for every class not named. A
        recording with several labels has as many as that of its labels with the most.
    chained : bool
        Make each copy after the first from the copy before it instead of from the recording.
    seed : int
    options : dict
        Preset name to that preset's `Config`.
    masks : Masks
        Spectrogram masks; the features stage applies them.
    """

    preset: str = "edac_coswara"
    copies: dict[str, int] = field(default_factory=lambda: {"all": 1})
    chained: bool = False
    seed: int = 1234
    options: Options = field(default_factory=dict)
    masks: Masks = field(default_factory=Masks)

    def __post_init__(self) -> None:
        """Check the ranges."""
        for label, n in self.copies.items():
            require(0 <= n <= 100, f"augment.copies.{label}", "be from 0 to 100", n)
        require(self.seed >= 0, "augment.seed", "be 0 or more", self.seed)

    def configure(self) -> tuple[ModuleType, Any]:
        """Return the preset's module and its filled `Config`."""
        return plugins.configure(PRESETS, self.preset, self.options, "augment")

    def copies_per_class(self, labels: Collection[str]) -> dict[str, int]:
        """Return the number of copies for each of the labels.

        Raises
        ------
        ParameterError
            If `copies` names a class that is not among them.
        """
        return per_class({} if self.preset == "none" else self.copies, labels, "augment.copies")

    def masks_per_class(self, labels: Collection[str]) -> Masks:
        """Return the masks with the number of copies for each of the labels; errors as of `copies_per_class`."""
        return replace(self.masks, copies=per_class(self.masks.copies, labels, "augment.masks.copies"))


def per_class(copies: Mapping[str, int], labels: Collection[str], owner: str) -> dict[str, int]:
    """Return the number of copies for each label, from a table that may hold `all`.

    Raises
    ------
    ParameterError
        If it names a class that is not among them.
    """
    for name in copies:
        rule = f"be a class or `all` (classes: {', '.join(sorted(labels))})"
        require(name == "all" or name in labels, f"a key of {owner}", rule, name)
    return {label: copies.get(label, copies.get("all", 0)) for label in sorted(labels)}
