"""The Pareto front: the one definition of which variants no other variant beats."""

import math
from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def pareto_front(items: Iterable[Item], costs: Callable[[Item], tuple[float, ...]]) -> list[Item]:
    """Return the items that no other item beats, sorted by their costs.

    An item beats another if none of its costs is higher. Among items of equal costs the first is kept. An item with an
    undefined (NaN) cost is left out.

    Parameters
    ----------
    items : Iterable
    costs : Callable
        Item to its costs, all to be minimised, e.g. size and negative metric.

    >>> pareto_front([(3, 1), (1, 3), (2, 2), (3, 3), (1, 3)], lambda point: point)
    [(1, 3), (2, 2), (3, 1)]
    """
    defined = [(costs(item), item) for item in items]
    defined = [pair for pair in defined if not any(map(math.isnan, pair[0]))]
    front: list[tuple[tuple[float, ...], Item]] = []
    for mine, item in sorted(defined, key=lambda pair: pair[0]):  # whatever beats an item comes before it
        if not any(all(a <= b for a, b in zip(theirs, mine, strict=True)) for theirs, _ in front):
            front.append((mine, item))
    return [item for _, item in front]
