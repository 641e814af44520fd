"""The Pareto front: the one definition of which variants no other variant beats."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def pareto_front(
    items: Iterable[Item], costs: Callable[[Item], tuple[float, ...]], *, tolerances: Sequence[float] = ()
) -> list[Item]:
    """Return the items that no other item beats, sorted by their costs.

    An item beats another if none of its costs is higher. Among items of equal costs the first is kept. An item with an
    undefined (NaN) cost is left out. With tolerances, the front leaves out items that one of its own beats but for
    differences within them, as are the errors of a measurement.

    Parameters
    ----------
    items : Iterable
    costs : Callable
        Item to its costs, all to be minimised, e.g. size and negative metric.
    tolerances : sequence of float
        One per cost: fraction of a cost by which another may be higher and still count as equal; empty for 0.

    References
    ----------
    Laumanns, Thiele, Deb, Zitzler, "Combining Convergence and Diversity in Evolutionary Multiobjective Optimization",
    Evolutionary Computation 10(3), 2002, for fronts with a tolerance (epsilon-dominance).

    >>> pareto_front([(3, 1), (1, 3), (2, 2), (3, 3), (1, 3)], lambda point: point)
    [(1, 3), (2, 2), (3, 1)]
    >>> pareto_front([(1, 10.0), (2, 9.9), (3, 5.0)], lambda point: point, tolerances=(0, 0.05))
    [(1, 10.0), (3, 5.0)]
    """
    defined = [(costs(item), item) for item in items]
    defined = [pair for pair in defined if not any(map(math.isnan, pair[0]))]
    slack = tuple(tolerances) or (0.0,) * max((len(mine) for mine, _ in defined), default=0)
    front: list[tuple[tuple[float, ...], Item]] = []
    for mine, item in sorted(defined, key=lambda pair: pair[0]):  # whatever beats an item comes before it
        most = [cost + part * abs(cost) for cost, part in zip(mine, slack, strict=True)]
        if not any(all(a <= b for a, b in zip(theirs, most, strict=True)) for theirs, _ in front):
            front.append((mine, item))
    return [item for _, item in front]
