"""Window scores to events: the rule that `listen`, long-file `classify`, `evaluate` and the browser share.

A window is `window_s` seconds of sound that the model scores; `hop_s` seconds lie from one window's start to the next.
The rule, for windows k = 0, 1, ... that start at t[k] seconds with one score per label, each in [0, 1]:

1. A window that is not heard (silent, or rejected as unknown) scores 0 for every label.
2. Scores are smoothed over time, label by label. `mean:N`: s[k] is the mean of the last min(N, k + 1) scores; its delay
   is D = (N - 1) / 2 windows. `exponential:A`: s[0] = p[0], s[k] = A p[k] + (1 - A) s[k - 1]; D = (1 - A) / A windows.
3. Window k stands for the section of `hop_s` seconds about its middle, moved back by the delay:
   begin[k] = max(0, t[k] + window_s / 2 - hop_s / 2 - D hop_s), end[k] = max(0, the same + hop_s).
4. Every label that `on` names is followed on its own, in the order of the windows. A label without an event in progress
   starts one at window k if s[k] >= on and, after an earlier event of the label, begin[k] >= its offset + refractory_s.
   The event lasts while s[k] >= off; its offset is the end of the last such window. If it starts again and
   begin[k] - offset <= merge_s, the earlier event goes on instead; `refractory_s` does not hinder that.
5. An event has the onset begin[k] of its first window, its offset, the greatest smoothed score of its windows (`peak`),
   and `detected_s`, the end t[k] + window_s of the window at which it started: nobody can know of it earlier.
6. Events are listed by onset, then by the order of the labels.

Times are compared with a tolerance of a nanosecond, so that rounding decides nothing.
"""

import re
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

_ROUNDING_S = 1e-9
_KEYS = ("hop_s", "smooth", "on", "off", "refractory_s", "merge_s")


@dataclass(frozen=True)
class EventRule:
    """How windows become events; the rule stands at the top of this file.

    Attributes
    ----------
    on : dict[str, float]
        Label to the score in (0, 1] at which an event starts. Labels that it does not name have no events.
    off : dict[str, float]
        Label to the score at and above which an event goes on; at most `on`, and `on` itself where left out.
    hop_s : float
        Seconds from one window to the next that the thresholds were chosen for; 0 if for none in particular.
    smooth : str
        ``"mean:N"`` or ``"exponential:A"`` with 0 < A <= 1.
    refractory_s : float
        Seconds after an event in which no other event of its label starts.
    merge_s : float
        Longest gap (s) between two events of a label that are one.

    Raises
    ------
    ValueError
        If a value is out of range; the message completes "events ...".
    """

    on: dict[str, float]
    off: dict[str, float] = field(default_factory=dict)
    hop_s: float = 0.0
    smooth: str = "mean:1"
    refractory_s: float = 0.0
    merge_s: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for label, limit in self.on.items():
            if not 0 < limit <= 1:
                raise ValueError(f"must have on-thresholds in (0, 1]; got {limit!r} for {label}")
        for label, limit in self.off.items():
            if label not in self.on or not 0 < limit <= self.on[label]:
                raise ValueError(f"must have off-thresholds above 0 and at most the on-threshold; got {limit!r}")
        for name in ("hop_s", "refractory_s", "merge_s"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"must have {name} of at least 0 s; got {getattr(self, name)!r}")
        smoothing(self.smooth)

    def plain(self) -> dict[str, object]:
        """Return the rule as JSON has it.

        Examples
        --------
        >>> EventRule({"dog": 0.5}).plain()["on"]
        {'dog': 0.5}
        """
        return asdict(self)


def parse(values: Any, labels: Sequence[str]) -> EventRule:
    """Return the rule of plain values, as JSON gives them.

    Parameters
    ----------
    values : Any
    labels : Sequence[str]
        Labels that thresholds may be for.

    Raises
    ------
    ValueError
        If a key is unknown or a value is of another type or out of range.

    Examples
    --------
    >>> parse({"on": {"dog": 1}}, ["cat", "dog"]).on
    {'dog': 1.0}
    """
    if not isinstance(values, Mapping) or not set(values) <= set(_KEYS) or "on" not in values:
        raise ValueError(f"must be an object of {', '.join(_KEYS)}; got {values!r}")
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name in ("on", "off"):
            if not isinstance(value, Mapping) or not all(k in labels and _is_number(v) for k, v in value.items()):
                raise ValueError(f"must have {name} as an object of labels and numbers; got {value!r}")
            found[name] = {label: float(limit) for label, limit in value.items()}
        elif name == "smooth" and isinstance(value, str):
            found[name] = value
        elif name != "smooth" and _is_number(value):
            found[name] = float(value)
        else:
            raise ValueError(f"must have a number of seconds as {name}, or text as smooth; got {value!r}")
    return EventRule(**found)


def default_rule(labels: Sequence[str], threshold: float | tuple[float, ...] | None) -> EventRule:
    """Return the rule of a release that has none of its own: its decision thresholds, and nothing else.

    Parameters
    ----------
    labels : Sequence[str]
    threshold : float, tuple[float, ...] or None
        The manifest's. With a number, the last label alone has events; without any threshold, every label from 0.5 on.

    Examples
    --------
    >>> default_rule(["quiet", "cough"], 0.3).on
    {'cough': 0.3}
    """
    if isinstance(threshold, tuple):
        limits = dict(zip(labels, threshold, strict=True))
    else:
        limits = dict.fromkeys(labels, 0.5) if threshold is None else {labels[-1]: threshold}
    return EventRule({label: min(max(limit, 1e-6), 1.0) for label, limit in limits.items()})


@dataclass(frozen=True)
class Event:
    """Something that was heard: when, which label, and how sure.

    Attributes
    ----------
    label : str
    onset_s, offset_s : float
        Seconds from the start of the sound.
    peak : float
        Greatest smoothed score.
    detected_s : float
        End of the window at which it started.
    """

    label: str
    onset_s: float
    offset_s: float
    peak: float
    detected_s: float

    def answer(self) -> dict[str, str | float]:
        """Return the event as one line of JSON says it, six decimals."""
        return {name: value if isinstance(value, str) else round(value, 6) for name, value in asdict(self).items()}


def smoothing(rule: str) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
    """Return a function that smooths vectors which it is given in turn, and its delay in windows.

    Parameters
    ----------
    rule : str
        ``"mean:N"``, of the last N windows; ``"exponential:A"``, A of this window and 1 - A of what came before.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> smooth, delay = smoothing("mean:2")
    >>> [float(smooth(np.array(x))) for x in (0.0, 1.0, 1.0)], delay
    ([0.0, 0.5, 1.0], 0.5)
    """
    kind, _, number = rule.partition(":")
    if kind == "mean" and re.fullmatch("[0-9]{1,6}", number) and int(number) >= 1:
        last: deque[np.ndarray] = deque(maxlen=int(number))

        def mean(values: np.ndarray) -> np.ndarray:
            last.append(values)
            return np.asarray(np.mean(last, axis=0))

        return mean, (int(number) - 1) / 2
    if kind == "exponential" and re.fullmatch(r"[0-9]*\.?[0-9]+", number) and 0 < float(number) <= 1:
        weight = float(number)
        before: np.ndarray | None = None

        def exponential(values: np.ndarray) -> np.ndarray:
            nonlocal before
            before = values if before is None else weight * values + (1 - weight) * before
            return before

        return exponential, (1 - weight) / weight
    raise ValueError(f"must have smooth as mean:N or exponential:A with 0 < A <= 1; got {rule!r}")


@dataclass
class _Following:
    """One label: the event in progress or the last one, until it is certain that nothing is merged with it."""

    event: Event | None = None
    active: bool = False
    ready_s: float = 0.0


class EventTracker:
    """Windows in, one at a time; events out, each as soon as nothing can change it.

    Parameters
    ----------
    rule : EventRule
    labels : Sequence[str]
        In the order of the scores.
    window_s, hop_s : float
        Length of a window, and from the start of one to that of the next (s).
    """

    def __init__(self, rule: EventRule, labels: Sequence[str], *, window_s: float, hop_s: float) -> None:
        self.rule, self._window_s, self._hop_s = rule, window_s, hop_s
        self._smooth, self._delay = smoothing(rule.smooth)
        self._columns = {label: i for i, label in enumerate(labels) if label in rule.on}
        self._followed = {label: _Following() for label in self._columns}

    def push(self, start_s: float, scores: np.ndarray, *, heard: bool = True) -> Iterator[Event]:
        """Take the next window and yield the events that are over for certain.

        Parameters
        ----------
        start_s : float
            Start of the window (s).
        scores : np.ndarray, shape (n_labels,)
        heard : bool
            False of a window that is silent or rejected.
        """
        values = self._smooth(np.asarray(scores, np.float64) if heard else np.zeros(len(scores)))
        begin = start_s + self._window_s / 2 - self._hop_s / 2 - self._delay * self._hop_s
        begin, end = max(0.0, begin), max(0.0, begin + self._hop_s)
        for label, column in self._columns.items():
            yield from self._follow(label, float(values[column]), begin, end, start_s + self._window_s)

    def finish(self) -> Iterator[Event]:
        """Yield the events that the end of the sound ends."""
        for state in self._followed.values():
            if state.event is not None:
                yield state.event
                state.event = None

    def _follow(self, label: str, score: float, begin: float, end: float, known: float) -> Iterator[Event]:
        state, rule = self._followed[label], self.rule
        on, last = rule.on[label], state.event
        if last is not None and not state.active and begin - last.offset_s > rule.merge_s + _ROUNDING_S:
            yield last
            state.event = last = None
        state.active = score >= (rule.off.get(label, on) if state.active else on)
        if not state.active:
            return
        if last is not None:
            state.event = Event(label, last.onset_s, end, max(last.peak, score), last.detected_s)
        elif begin >= state.ready_s - _ROUNDING_S:
            state.event = Event(label, begin, end, score, known)
        else:
            state.active = False
            return
        state.ready_s = end + rule.refractory_s


@dataclass(frozen=True)
class Windows:
    """The scored windows of one sound.

    Attributes
    ----------
    scores : np.ndarray, shape (n, n_labels)
        Unsmoothed, in [0, 1]; of a binary task too, one column per label.
    starts_s : np.ndarray, shape (n,)
        Ascending.
    heard : np.ndarray, shape (n,), bool
        False where a window is silent or rejected.
    window_s, hop_s : float
    labels : tuple[str, ...]
    """

    scores: np.ndarray
    starts_s: np.ndarray
    heard: np.ndarray
    window_s: float
    hop_s: float
    labels: tuple[str, ...]


def find_events(windows: Windows, rule: EventRule) -> list[Event]:
    """Return the events of a sound whose windows are all scored, by onset; the same as `EventTracker` gives, faster.

    Parameters
    ----------
    windows : Windows
    rule : EventRule

    Examples
    --------
    >>> scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.9, 0.1]])
    >>> windows = Windows(scores, np.arange(4.0), np.ones(4, bool), 1.0, 1.0, ("quiet", "cough"))
    >>> [(event.label, event.onset_s, event.offset_s) for event in find_events(windows, EventRule({"cough": 0.5}))]
    [('cough', 1.0, 3.0)]
    """
    if not len(windows.scores):
        return []
    scores = np.where(windows.heard[:, np.newaxis], windows.scores, 0.0)
    return events_from(smooth_all(scores, rule.smooth), windows, rule)


def events_from(smoothed: np.ndarray, windows: Windows, rule: EventRule) -> list[Event]:
    """Return the events of windows whose scores are smoothed by the rule already, (n, n_labels); see `find_events`."""
    _, delay = smoothing(rule.smooth)
    raw = windows.starts_s + windows.window_s / 2 - windows.hop_s / 2 - delay * windows.hop_s
    begins, ends = np.maximum(raw, 0.0), np.maximum(raw + windows.hop_s, 0.0)
    found: list[Event] = []
    for column, label in enumerate(windows.labels):
        if label in rule.on:
            found += _events_of(label, smoothed[:, column], begins, ends, windows, rule)
    return sorted(found, key=lambda event: (event.onset_s, windows.labels.index(event.label)))


def smooth_all(scores: np.ndarray, rule: str) -> np.ndarray:
    """Return all smoothed score vectors, (n, n_labels), as `smoothing` gives them one by one."""
    smooth, _ = smoothing(rule)
    kind, _, number = rule.partition(":")
    values = np.asarray(scores, np.float64)
    n = min(int(number), len(values)) if kind == "mean" else len(values)
    first = np.stack([smooth(row) for row in values[:n]])  # of a mean, until it is one of N
    if n == len(values):
        return first
    shifted = np.stack([values[i : len(values) - n + i + 1] for i in range(n)])
    return np.concatenate([first[:-1], shifted.mean(axis=0)])


def _events_of(
    label: str, scores: np.ndarray, begins: np.ndarray, ends: np.ndarray, windows: Windows, rule: EventRule
) -> list[Event]:
    """Follow one label from run to run of windows at or above its off-threshold."""
    on = rule.on[label]
    lasting = np.concatenate([[False], scores >= rule.off.get(label, on), [False]])
    edges = np.flatnonzero(lasting[1:] != lasting[:-1])
    found: list[Event] = []
    for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        for k in (first + np.flatnonzero(scores[first:stop] >= on)).tolist():
            last = found[-1] if found else None
            merges = last is not None and begins[k] - last.offset_s <= rule.merge_s + _ROUNDING_S
            ready = last is None or begins[k] >= last.offset_s + rule.refractory_s - _ROUNDING_S
            if merges or ready:
                peak, offset = float(scores[k:stop].max()), float(ends[stop - 1])
                if merges and last is not None:
                    found[-1] = Event(label, last.onset_s, offset, max(last.peak, peak), last.detected_s)
                else:
                    known = float(windows.starts_s[k]) + windows.window_s
                    found.append(Event(label, float(begins[k]), offset, peak, known))
                break
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
