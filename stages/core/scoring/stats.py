"""The front of size and metric."""

from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def front(items: Iterable[Item], *, size: Callable[[Item], float], metric: Callable[[Item], float]) -> list[Item]:
    """Return the items than which no other is both as small and as good, smallest first; of equals, the first."""
    best, kept = float("-inf"), []
    for item in sorted(items, key=lambda item: (size(item), -metric(item))):
        if metric(item) > best:
            best = metric(item)
            kept.append(item)
    return kept
