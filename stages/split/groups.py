"""Whole groups onto sides, so that every stratum comes near its fractions: greedy, deterministic, seeded."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar

from stages.core import files
from stages.core.recording import Recording

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
    sizes: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for recording in recordings:
        sizes[recording.group][recording.label, recording.site if by_site else ""] += 1
    strata = sum(sizes.values(), Counter[tuple[str, str]]())
    targets = {side: {stratum: fraction * n for stratum, n in strata.items()} for side, fraction in fractions.items()}
    counts: dict[Side, Counter[tuple[str, str]]] = {side: Counter() for side in fractions}
    sides: dict[str, Side] = {}

    def gain(group: str, side: Side) -> float:
        """Return by how much the distance falls if the group joins the side."""
        n, target = counts[side], targets[side]
        return sum(c * (2 * (target[s] - n[s]) - c) / target[s] for s, c in sorted(sizes[group].items()))

    def put(group: str, side: Side) -> None:
        if group in sides:
            counts[sides[group]] -= sizes[group]
        sides[group] = side
        counts[side] += sizes[group]

    def cost(group: str, side: Side) -> float:
        """Return by how much the distance rises if the group moves to the side."""
        n, target = counts[sides[group]], targets[sides[group]]
        leaving = sum(c * (2 * (target[s] - n[s]) + c) / target[s] for s, c in sorted(sizes[group].items()))
        return leaving - gain(group, side)

    def classes(side: Side) -> Counter[str]:
        """Return how many groups of each class are on the side."""
        return Counter(label for group, at in sides.items() if at == side for label in {la for la, _ in sizes[group]})

    drawn = sorted(sizes, key=lambda group: (-sizes[group].total(), files.digest(seed, group)))
    for group in drawn:
        put(group, max(fractions, key=lambda side: gain(group, side)))
    for label in sorted({label for label, _ in strata}):
        for side in fractions:
            if classes(side)[label]:
                continue
            spare = {at: {la for la, n in classes(at).items() if n > 1} for at in fractions}
            movable = [g for g in drawn if label in (own := {la for la, _ in sizes[g]}) and own <= spare[sides[g]]]
            if movable:
                put(min(movable, key=lambda group: cost(group, side)), side)
    return sides
