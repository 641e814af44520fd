"""The `split` section of params.yaml."""

from dataclasses import dataclass, field
from typing import Any, Literal

from stages.core.artifacts.split import SPLITS
from stages.core.project.errors import require


@dataclass(frozen=True)
class SplitParams:
    """How recordings are divided onto training, validation and test.

    Attributes
    ----------
    method : {"groups", "official"}
        Our own division by group, or the publisher's folds.
    fractions : dict[str, float]
        Shares of the recordings, for ``"groups"``; sum to 1.
    folds : dict[str, tuple]
        Side to the publisher's folds on it, for ``"official"``. With ``test`` alone, validation is taken by group from
        the other folds, at its fraction of what is not tested. Empty if the publisher names its folds train, validation
        and test.
    by_site : bool
        Stratify by site as well as by label.
    parts : int or None
        For ``"groups"``: the groups are divided into so many parts of about equal size, `part` is tested, and
        validation is taken by group from the others. As many parts as groups leave one group out. `edac folds --by
        group` sets it.
    part : int
        From 0.
    test_sites : tuple[str, ...]
        For ``"groups"``: all recordings of these sites are tested and no others, and validation is taken by group from
        the other sites. `edac folds --by site` sets it.
    ignore_published : bool
        Divide by group although the recordings come with a published split, such as a CSV's column `split`; without it
        that is refused.
    seed : int
    """

    method: Literal["groups", "official"] = "groups"
    fractions: dict[str, float] = field(default_factory=lambda: {"train": 0.70, "validation": 0.15, "test": 0.15})
    folds: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    by_site: bool = True
    parts: int | None = None
    part: int = 0
    test_sites: tuple[str, ...] = ()
    ignore_published: bool = False
    seed: int = 1234

    def __post_init__(self) -> None:
        """Check that every side is there, and each fold on one side only."""
        fractions = self.fractions
        advice = f"Write {{{', '.join(f'{side}: ...' for side in SPLITS)}}}."
        require(set(fractions) == set(SPLITS), "split.fractions", "name each side once", sorted(fractions), advice)
        require(all(0 < f < 1 for f in fractions.values()), "split.fractions", "lie in (0, 1)", dict(fractions))
        require(abs(sum(fractions.values()) - 1) < 1e-6, "split.fractions", "sum to 1", sum(fractions.values()))
        named = set(self.folds)
        require(
            named in (set(SPLITS), {"test"}, set()), "split.folds", "name each side, or test", sorted(named), advice
        )
        folds = [str(fold) for side in self.folds.values() for fold in side]
        require(len(folds) == len(set(folds)), "split.folds", "put each fold on one side only", folds)
        parts, part = self.parts, self.part
        require(parts is None or parts >= 2, "split.parts", "be at least 2, or null", parts, "Try 5.")
        require(0 <= part < (parts or 1), "split.part", f"be from 0 to below the {parts or 1} parts", part)
        require(parts is None or self.method == "groups", "split.parts", "go with split.method: groups", self.method)
        alone = not self.test_sites or (parts is None and self.method == "groups")
        advice = "Set split.method: groups and split.parts: null."
        require(alone, "split.test_sites", "go with split.method: groups alone", list(self.test_sites), advice)
        require(self.seed >= 0, "split.seed", "be 0 or more", self.seed)
