"""Events against the truth: misses, false alarms per hour, time to detection, event-based F1.

References
----------
Mesaros, Heittola, Virtanen, "Metrics for Polyphonic Sound Event Detection", Applied Sciences 6 (2016), section 3.2.
Garwood, "Fiducial Limits for the Poisson Distribution", Biometrika 28 (1936).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.stats import beta, chi2

from stages.runtime.events import Event

COLLAR_S = 0.25
"""Seconds that a detection may lie before or after a true event and still be of it."""
F1_COLLAR_S = 0.2


@dataclass(frozen=True)
class TrueEvent:
    """An event that is known to be in a sound.

    Attributes
    ----------
    label : str
    onset_s, offset_s : float
    group : str
        Group (speaker, device) of the recording.
    """

    label: str
    onset_s: float
    offset_s: float
    group: str = ""


@dataclass(frozen=True)
class Matching:
    """Which events were detected.

    Attributes
    ----------
    detected : np.ndarray, shape (n_true,), bool
    delay_s : np.ndarray, shape (n_true,), float64
        From the onset of a true event until its detection was known; NaN for a miss.
    n_false : int
        Detections that no true event of their label accounts for, repeated ones among them.
    """

    detected: np.ndarray
    delay_s: np.ndarray
    n_false: int


def match(truth: Sequence[TrueEvent], found: Sequence[Event], *, collar_s: float = COLLAR_S) -> Matching:
    """Match detections to true events of the same label that they overlap, one to one and as many as possible.

    Parameters
    ----------
    truth : Sequence[TrueEvent]
    found : Sequence[Event]
    collar_s : float
        Seconds by which a true event is prolonged on either side.

    Examples
    --------
    >>> truth = [TrueEvent("dog", 1.0, 2.0), TrueEvent("dog", 5.0, 6.0)]
    >>> found = [Event("dog", 1.5, 2.5, 0.9, 2.0), Event("dog", 8.0, 9.0, 0.9, 8.5)]
    >>> matching = match(truth, found)
    >>> matching.detected.tolist(), matching.n_false, matching.delay_s[0].item()
    ([True, False], 1, 1.0)
    """
    onsets, offsets = np.array([e.onset_s for e in truth]), np.array([e.offset_s for e in truth])

    def fits(event: Event) -> np.ndarray:
        return (event.onset_s <= offsets + collar_s) & (event.offset_s >= onsets - collar_s)

    partner = _pairs(truth, found, fits)
    detected = partner >= 0
    known = np.array([found[i].detected_s if i >= 0 else np.nan for i in partner], np.float64)
    return Matching(detected, known - onsets if len(truth) else known, len(found) - int(detected.sum()))


def event_f1(
    truth: Sequence[TrueEvent],
    found: Sequence[Event],
    *,
    collar_s: float = F1_COLLAR_S,
    offset_part: float | None = 0.5,
) -> float:
    """Return the event-based F1 over all labels: onsets within a collar, offsets within it or a part of the length.

    Parameters
    ----------
    truth : Sequence[TrueEvent]
    found : Sequence[Event]
    collar_s : float
    offset_part : float or None
        Fraction of the true event's length that its offset may be off; None judges onsets alone.

    Examples
    --------
    >>> event_f1([TrueEvent("dog", 1.0, 2.0)], [Event("dog", 1.1, 2.2, 0.9, 2.0)])
    1.0
    """
    onsets, offsets = np.array([e.onset_s for e in truth]), np.array([e.offset_s for e in truth])

    def fits(event: Event) -> np.ndarray:
        onset = np.abs(event.onset_s - onsets) <= collar_s
        if offset_part is None:
            return onset
        return onset & (np.abs(event.offset_s - offsets) <= np.maximum(collar_s, offset_part * (offsets - onsets)))

    hits = int((_pairs(truth, found, fits) >= 0).sum())
    return 2 * hits / (len(truth) + len(found)) if truth or found else float("nan")


def poisson_interval(count: int, hours: float, *, confidence: float) -> tuple[float, float]:
    """Return Garwood's exact interval of a rate per hour.

    Examples
    --------
    >>> [round(end, 2) for end in poisson_interval(0, 2.0, confidence=0.95)]
    [0.0, 1.84]
    """
    error = 1 - confidence
    low = float(chi2.ppf(error / 2, 2 * count)) / 2 if count else 0.0
    return low / hours, float(chi2.ppf(1 - error / 2, 2 * count + 2)) / 2 / hours


def binomial_interval(count: int, n: int, *, confidence: float) -> tuple[float, float]:
    """Return Clopper and Pearson's exact interval of a fraction.

    Examples
    --------
    >>> [round(end, 3) for end in binomial_interval(0, 10, confidence=0.95)]
    [0.0, 0.308]
    """
    error = 1 - confidence
    low = float(beta.ppf(error / 2, count, n - count + 1)) if count else 0.0
    return low, float(beta.ppf(1 - error / 2, count + 1, n - count)) if count < n else 1.0


def _pairs(truth: Sequence[TrueEvent], found: Sequence[Event], fits: Callable[[Event], np.ndarray]) -> np.ndarray:
    """Return the number of the detection that is paired with each true event, -1 for none."""
    if not truth or not found:
        return np.full(len(truth), -1)
    labels = np.array([e.label for e in truth])
    rows = [fits(event) & (labels == event.label) for event in found]
    graph = csr_matrix(np.stack(rows).astype(np.int8))
    return np.asarray(maximum_bipartite_matching(graph, perm_type="row"))
