"""A recording that a decoder reads from the beginning only, wound on from one part of it to the next."""

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

KEPT_S = 30.0
"""So much before the end of a part is at hand for the next one (seconds): windows overlap."""


class Tape:
    """Frames between any two places, of blocks that come in order.

    A part that begins after the last one did, or not long before its end, is reached from there; any other from the
    recording's beginning. Parts in order of time thus cost one decoding in all, with the same frames.

    Parameters
    ----------
    unwind : callable
        Starts at the beginning: an iterator of blocks (n, n_channels), float32.
    kept_frames : int
        Frames before the end of a part that are kept.
    """

    def __init__(self, unwind: Callable[[], Iterator[np.ndarray]], kept_frames: int) -> None:
        self._unwind, self._kept_frames = unwind, kept_frames
        self._held: deque[tuple[int, deque[np.ndarray], Iterator[np.ndarray]]] = deque(maxlen=1)

    def between(self, start: int, stop: int | None) -> Iterator[np.ndarray]:
        """Yield the frames from `start` to before `stop`; None is the end."""
        begin, held, rest = self._take(start)
        at, kept = begin, deque[np.ndarray]()
        while (frames := held.popleft() if held else next(rest, None)) is not None:
            end = at + len(frames) if stop is None else min(stop, at + len(frames))
            kept.append(frames)
            while kept and begin + len(kept[0]) <= end - self._kept_frames:
                begin += len(kept.popleft())
            part, at = frames[max(start - at, 0) : max(end - at, 0)], at + len(frames)
            ended = stop is not None and at >= stop
            if ended:
                self._held.append((begin, kept + held, rest))
            if len(part):
                yield part
            if ended:
                return

    def _take(self, start: int) -> tuple[int, deque[np.ndarray], Iterator[np.ndarray]]:
        """Return where the blocks begin, those that are held, and the rest; nobody else has them then."""
        try:
            at, held, rest = self._held.pop()
        except IndexError:
            return 0, deque(), self._unwind()
        return (at, held, rest) if at <= start else (0, deque(), self._unwind())
