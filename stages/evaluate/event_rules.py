"""Choose the event rule of fewest misses that keeps within a rate of false alarms on a validation stream.

With m false alarms in T hours at a threshold, a new stream as long has m + 1 at most in expectation, if its false
alarms come like these: the score that the threshold lies above is the (m + 1)-th highest, and the next as high one may
be in either stream. Where they come in clusters of about D, by speaker or by place of a background that repeats
(`Sounds.dispersion`), the next one brings its cluster. So m + D must be at most T times the target. Where every label
has its own threshold, every label has its own next one: the sum over labels of m + D must be. So thresholds per label,
where they are asked for, are taken only where they detect more events than one for all, although each costs a false
alarm. A label that no
background of the validation stream sets off is then let down to the lowest threshold, and another background may set it
off without end: they need backgrounds of many kinds.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stages.core.scoring import detection
from stages.core.scoring.detection import Sounds, TrueEvent
from stages.runtime.events import EventRule, Windows, events_from, smooth_all

SMOOTHINGS = ("mean:1", "mean:2", "mean:3", "exponential:0.5")
LASTING = (1.0, 0.6)
"""Off-thresholds that are tried, as parts of the on-threshold."""
REFRACTORY = (0.0, 2.0)
"""Refractory times that are tried, in lengths of a window."""
LEVELS = tuple(float(f"{1 / (1 + np.exp(-x)):.6g}") for x in np.linspace(9.0, -2.0, 34))
"""On-thresholds that are tried, highest first."""


@dataclass(frozen=True)
class _Limits:
    """On- and off-threshold of a label, and how it does with them on the validation stream: false alarms, and m + D."""

    on: float
    off: float
    clusters: np.ndarray
    cost: float
    missed: int


_Chosen = dict[str, _Limits]


def choose(
    windows: Windows,
    truth: Sequence[TrueEvent],
    labels: Sequence[str],
    *,
    sounds: Sounds,
    targets: Sequence[float],
    per_label: bool = False,
) -> list[EventRule | None]:
    """Choose an event rule for each target rate of false alarms: smoothing, thresholds and refractory time.

    Parameters
    ----------
    windows : Windows
        Windows of the validation stream.
    truth : Sequence[TrueEvent]
    labels : Sequence[str]
        Labels that may have events.
    sounds : Sounds
    targets : Sequence[float]
        False alarms per hour.
    per_label : bool
        Whether labels may have thresholds of their own; otherwise one is for all, as scores are calibrated.

    Returns
    -------
    list[EventRule or None]
        One per target; None if no threshold keeps within it. Among rules of equally many misses, the simplest.
    """
    budgets = [math.floor(target * sounds.hours + 1e-9) for target in targets]
    scores = np.where(windows.heard[:, np.newaxis], windows.scores, 0.0)
    true = {label: [event for event in truth if event.label == label] for label in labels}
    best: list[tuple[int, EventRule] | None] = [None] * len(targets)
    for smooth in SMOOTHINGS:
        smoothed = smooth_all(scores, smooth)
        for refractory in REFRACTORY:
            plain = EventRule(
                {},
                hop_s=windows.hop_s,
                smooth=smooth,
                refractory_s=refractory * windows.window_s,
                merge_s=windows.window_s / 2,
            )
            tried = {
                label: list(
                    _tried(plain, smoothed, windows, _Label(label, true[label], sounds), max(budgets, default=0))
                )
                for label in labels
            }
            for i, budget in enumerate(budgets):
                for chosen in (_shared(tried, budget, sounds), _apart(tried, budget) if per_label else {}):
                    before = best[i]
                    if chosen and (before is None or _missed(chosen) < before[0]):
                        best[i] = _missed(chosen), _rule(chosen, plain)
    return [None if each is None else each[1] for each in best]


@dataclass(frozen=True)
class _Label:
    """A label, its events, and what else sounds."""

    name: str
    true: Sequence[TrueEvent]
    sounds: Sounds


def _tried(plain: EventRule, smoothed: np.ndarray, windows: Windows, label: _Label, budget: int) -> Iterator[_Limits]:
    """Try thresholds of a label from the highest down to one of too many false alarms, for each part that lasts."""
    for part in LASTING:
        for on in LEVELS:
            off = on if part == 1 else float(f"{on * part:.6g}")
            limits = {label.name: on}, {label.name: off}
            rule = EventRule(*limits, plain.hop_s, plain.smooth, plain.refractory_s, plain.merge_s)
            found = events_from(smoothed, windows, rule)
            matching = detection.match(label.true, found)
            if matching.n_false + 1 > budget:
                break
            clusters = label.sounds.clusters([found[i] for i in matching.false.tolist()])
            cost = matching.n_false + label.sounds.dispersion(clusters)
            yield _Limits(on, off, clusters, cost, int((~matching.detected).sum()))


def _shared(tried: dict[str, list[_Limits]], budget: int, sounds: Sounds) -> _Chosen:
    """Return one threshold for all labels, of fewest misses within the budget; empty if there is none."""
    by_limits: dict[tuple[float, float], _Chosen] = {}
    for label, each in tried.items():
        for limits in each:
            by_limits.setdefault((limits.on, limits.off), {})[label] = limits
    best: _Chosen = {}
    for chosen in by_limits.values():
        if len(chosen) < len(tried):
            continue
        clusters = np.concatenate([each.clusters for each in chosen.values()])
        within = len(clusters) + sounds.dispersion(clusters) <= budget
        if within and (not best or _missed(chosen) <= _missed(best)):  # the lower of two as good
            best = chosen
    return best


def _apart(tried: dict[str, list[_Limits]], budget: int) -> _Chosen:
    """Return thresholds per label of fewest misses within the budget, empty if there are none: an exact knapsack."""
    if len(tried) == 1 or budget < 1:
        return {}
    missed = np.zeros(budget + 1)  # the fewest, by how much may be spent
    steps: list[tuple[str, np.ndarray]] = []
    for label, each in tried.items():
        found, taken = np.full(budget + 1, np.inf), np.full(budget + 1, -1)
        for i, limits in enumerate(each):
            cost = math.ceil(limits.cost - 1e-9)
            if cost <= budget:
                sums = missed[: budget + 1 - cost] + limits.missed
                fewer = sums <= found[cost:]  # the lower of two as good
                found[cost:][fewer], taken[cost:][fewer] = sums[fewer], i
        steps.append((label, taken))
        missed = found
    if np.isinf(missed[budget]):
        return {}
    left, chosen = int(np.argmin(missed)), {}  # the first, so that nothing is spent in vain
    for label, taken in reversed(steps):
        chosen[label] = tried[label][taken[left]]
        left -= math.ceil(chosen[label].cost - 1e-9)
    return {label: chosen[label] for label in tried}


def _missed(chosen: _Chosen) -> int:
    return sum(limits.missed for limits in chosen.values())


def _rule(chosen: _Chosen, plain: EventRule) -> EventRule:
    on = {label: limits.on for label, limits in chosen.items()}
    off = {label: limits.off for label, limits in chosen.items() if limits.off != limits.on}
    return EventRule(on, off, plain.hop_s, plain.smooth, plain.refractory_s, plain.merge_s)
