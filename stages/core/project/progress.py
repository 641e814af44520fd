"""One progress bar for the whole program: counts, time left, and silence when nobody is looking."""

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def track(
    items: Iterable[T], description: str, total: int | None = None, initial: int = 0, *, delay_s: float = 0.0
) -> "tqdm[T]":
    """Wrap an iterable in a progress bar with time left, on stderr.

    Parameters
    ----------
    items : Iterable
    description : str
    total : int or None
    initial : int
        How many were done by an earlier, interrupted run.
    delay_s : float
        Seconds before the bar appears; shorter work shows none.
    """
    return tqdm(
        items, desc=description, total=total, initial=initial, delay=delay_s, dynamic_ncols=True, mininterval=0.5
    )
