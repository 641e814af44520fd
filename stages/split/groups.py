"""Whole groups onto sides, so that every stratum comes near its fractions: greedy, deterministic, seeded.

`assign` is for recordings of one label each, `stratify` for those of several.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from stages.core.artifacts.recordings import Recording
from stages.core.project import files

Side = TypeVar("Side", bound=str)


def assign(
    recordings: Sequence[Recording], fractions: Mapping[Side, float], *, by_site: bool, seed: int
) -> dict[str, Side]:
    """Put every group on one side.

    Groups go, the largest first and equal ones in an order drawn from the seed, to the side where they lower the
    chi-square distance between the counts of each stratum and their targets most; for groups of equal size in one
    stratum that is Sainte-Laguë's apportionment. Then a class that is missing from a side is brought there by moving
    the group that raises the distance least.

    Parameters
    ----------
    recordings : sequence of Recording
        In any order.
    fractions : mapping
        Side to its fraction of the recordings.
    by_site : bool
        Strata are (label, site) instead of labels.
    seed : int

    Returns
    -------
    dict
        Group to side.

    References
    ----------
    F. Pukelsheim: Proportional Representation, 2nd ed., Springer 2017, chapter 4 (divisor methods).
    """
    division = _Division(recordings, fractions, by_site=by_site)
    drawn = sorted(division.sizes, key=lambda group: (-division.sizes[group].total(), files.digest(seed, group)))
    for group in drawn:
        division.put(group, max(fractions, key=lambda side: division.gain(group, side)))
    division.complete(drawn)
    return division.sides


def stratify(
    recordings: Sequence[Recording], fractions: Mapping[Side, float], *, by_site: bool, seed: int
) -> dict[str, Side]:
    """Put every group on one side, by iterative stratification, where a recording may have several labels.

    The stratum with the fewest recordings left comes first, while there is still a choice. Its groups go, the largest
    first and equal ones in an order drawn from the seed, to the side that lacks most of the stratum; of equals, to the
    one that lacks most recordings of any kind. Groups bring labels along whose turn has not come; so at last single
    groups are moved while that lowers the distance of `assign`, and a class that is missing from a side is brought
    there as in `assign`, whose parameters and result these are.

    References
    ----------
    K. Sechidis, G. Tsoumakas, I. Vlahavas: On the Stratification of Multi-label Data. ECML PKDD 2011, section 3.1,
    algorithm 1; here whole groups take the place of examples.
    """
    division = _Division(recordings, fractions, by_site=by_site)
    total = sum(division.lengths.values())
    drawn = sorted(division.sizes, key=lambda group: (-division.lengths[group], files.digest(seed, group)))
    left, remaining = dict.fromkeys(drawn), Counter(division.strata)

    def lacking(side: Side, stratum: _Stratum) -> tuple[float, float]:
        of_stratum = division.targets[side][stratum] - division.counts[side][stratum]
        of_any = fractions[side] * total - division.held[side]
        return round(of_stratum, 9), round(of_any, 9)  # sides that lack the same must not differ in the last bit

    while left:
        rarest = min(remaining, key=lambda stratum: (remaining[stratum], stratum))
        for group in sorted((g for g in left if division.sizes[g][rarest]), key=lambda g: -division.sizes[g][rarest]):
            division.put(group, max(fractions, key=lambda side: lacking(side, rarest)))
            remaining -= division.sizes[group]  # which drops what is no more
            del left[group]
    division.improve(drawn)
    division.complete(drawn)
    return division.sides


_Stratum = tuple[str, str]  # label, and site or nothing


class _Division(Generic[Side]):
    """Groups on sides, with what of every stratum is there and what should be."""

    def __init__(self, recordings: Sequence[Recording], fractions: Mapping[Side, float], *, by_site: bool) -> None:
        self.sizes: dict[str, Counter[_Stratum]] = defaultdict(Counter)
        self.lengths: Counter[str] = Counter()
        for recording in recordings:
            self.lengths[recording.group] += 1
            for label in recording.labels:
                self.sizes[recording.group][label, recording.site if by_site else ""] += 1
        self.strata = sum(self.sizes.values(), Counter[_Stratum]())
        self.targets = {
            side: {stratum: fraction * n for stratum, n in self.strata.items()} for side, fraction in fractions.items()
        }
        self.counts: dict[Side, Counter[_Stratum]] = {side: Counter() for side in fractions}
        self.held: Counter[Side] = Counter()  # recordings on each side
        self.sides: dict[str, Side] = {}

    def gain(self, group: str, side: Side) -> float:
        """Return by how much the distance falls if the group joins the side."""
        n, target = self.counts[side], self.targets[side]
        return sum(c * (2 * (target[s] - n[s]) - c) / target[s] for s, c in sorted(self.sizes[group].items()))

    def put(self, group: str, side: Side) -> None:
        """Put a group on a side, from wherever it is."""
        if group in self.sides:
            self.counts[self.sides[group]] -= self.sizes[group]
            self.held[self.sides[group]] -= self.lengths[group]
        self.sides[group] = side
        self.held[side] += self.lengths[group]
        self.counts[side] += self.sizes[group]

    def cost(self, group: str, side: Side) -> float:
        """Return by how much the distance rises if the group moves to the side."""
        n, target = self.counts[self.sides[group]], self.targets[self.sides[group]]
        leaving = sum(c * (2 * (target[s] - n[s]) + c) / target[s] for s, c in sorted(self.sizes[group].items()))
        return leaving - self.gain(group, side)

    def improve(self, drawn: Sequence[str]) -> None:
        """Move single groups for as long as that lowers the distance."""
        moved = True
        while moved:
            moved = False
            for group in drawn:
                side = min(self.counts, key=lambda side: 0.0 if side == self.sides[group] else self.cost(group, side))
                if side != self.sides[group] and self.cost(group, side) < -1e-9:
                    self.put(group, side)
                    moved = True

    def complete(self, drawn: Sequence[str]) -> None:
        """Bring every class to every side, where a group can be moved without another class losing its last."""
        labels_of: Mapping[str, set[str]] = {group: {label for label, _ in self.sizes[group]} for group in drawn}

        def classes(side: Side) -> Counter[str]:
            """Return how many groups of each class are on the side."""
            return Counter(label for group, at in self.sides.items() if at == side for label in labels_of[group])

        for label in sorted({label for label, _ in self.strata}):
            for side in self.counts:
                if any(label == la for la, _ in self.counts[side]):
                    continue
                spare = {at: {la for la, n in classes(at).items() if n > 1} for at in self.counts}
                movable = [g for g in drawn if label in labels_of[g] and labels_of[g] <= spare[self.sides[g]]]
                if movable:
                    self.put(min(movable, key=lambda group: self.cost(group, side)), side)
