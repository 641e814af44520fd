"""Events against the truth: misses, false alarms per hour, time to detection, event-based F1.

References
----------
Mesaros, Heittola, Virtanen, "Metrics for Polyphonic Sound Event Detection", Applied Sciences 6 (2016), section 3.2.
Garwood, "Fiducial Limits for the Poisson Distribution", Biometrika 28 (1936).
McCullagh, Nelder, "Generalized Linear Models", 2nd edition, 1989, section 6.2 (counts that vary more than Poisson's).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.stats import beta, chi2, norm, t

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
    snr_db : float or None
        Ratio to the background that it was mixed in at (dB); None if that is not known.
    """

    label: str
    onset_s: float
    offset_s: float
    group: str = ""
    snr_db: float | None = None


@dataclass(frozen=True)
class Matching:
    """Which events were detected.

    Attributes
    ----------
    detected : np.ndarray, shape (n_true,), bool
    delay_s : np.ndarray, shape (n_true,), float64
        From the onset of a true event until its detection was known; NaN for a miss.
    false : np.ndarray, shape (n_false,), int
        Detections that no true event of their label accounts for, repeated ones among them.
    """

    detected: np.ndarray
    delay_s: np.ndarray
    false: np.ndarray

    @property
    def n_false(self) -> int:
        """Number of false alarms."""
        return len(self.false)


@dataclass(frozen=True)
class Sounds:
    """Whose sound is heard when in a stream, events and what must not trigger alike: false alarms come in clusters.

    Attributes
    ----------
    onset_s, offset_s : np.ndarray, shape (n,), float64
        By onset.
    group : np.ndarray, shape (n,), int
        Number of the group (speaker, device) of each, from 0.
    n_groups : int
    hours : float
        Length of the stream.
    background_s : float
        Seconds after which the background repeats; 0 if it does not.
    """

    onset_s: np.ndarray
    offset_s: np.ndarray
    group: np.ndarray
    n_groups: int
    hours: float
    background_s: float = 0.0

    @classmethod
    def of(cls, events: Sequence[TrueEvent], *, hours: float, background_s: float = 0.0) -> "Sounds":
        """Return whose sound is heard when, of everything that is heard in a stream of so many hours."""
        ordered = sorted(events, key=lambda event: event.onset_s)
        names, group = np.unique(np.array([event.group for event in ordered], str), return_inverse=True)
        ends = np.array([[event.onset_s, event.offset_s] for event in ordered]).reshape(-1, 2)
        return cls(ends[:, 0], ends[:, 1], group.astype(int), len(names), hours, background_s)

    def clusters(self, found: Sequence[Event], *, collar_s: float = COLLAR_S) -> np.ndarray:
        """Return a number for each detection: the group that sounds, or a second of the background (negative).

        Parameters
        ----------
        found : Sequence[Event]
        collar_s : float
            Seconds by which a sound is prolonged on either side.

        Examples
        --------
        >>> heard = [TrueEvent("", 1.0, 2.0, "ann"), TrueEvent("", 5.0, 6.0, "bob")]
        >>> sounds = Sounds.of(heard, hours=1.0, background_s=10.0)
        >>> sounds.clusters([Event("dog", 5.5, 6.5, 0.9, 6.0), Event("dog", 8.2, 9.0, 0.9, 9.0)]).tolist()
        [1, -9]
        """
        begins, ends = np.array([e.onset_s for e in found]), np.array([e.offset_s for e in found])
        last = np.searchsorted(self.onset_s, ends + collar_s, side="right") - 1
        at = begins % self.background_s if self.background_s else begins
        alone = -1 - np.floor(at).astype(int)
        if not len(self.onset_s):
            return alone
        heard = (last >= 0) & (self.offset_s[last] >= begins - collar_s)
        return np.where(heard, self.group[last], alone)

    def dispersion(self, clusters: np.ndarray) -> float:
        """Return how many times Poisson's variance the number of false alarms has, at least 1.

        Between groups it is the variance of their counts; what that exceeds Poisson's by is multiplied by the square of
        Student's quantile over the normal one, since it is known from few groups. Within a second of a background that
        repeats, alarms come together.

        Parameters
        ----------
        clusters : np.ndarray, shape (n_false,), int
            From `clusters`.

        Examples
        --------
        >>> sounds = Sounds.of([TrueEvent("", float(i), i + 0.5, str(i)) for i in range(10)], hours=1.0)
        >>> [round(sounds.dispersion(np.array(each)), 1) for each in (range(10), [3] * 10)]
        [1.0, 13.0]
        """
        counts = np.bincount(clusters[clusters >= 0], minlength=self.n_groups)
        _, together = np.unique(clusters[clusters < 0], return_counts=True)
        between = float(counts.sum())
        if self.n_groups > 1:
            few = float(t.ppf(0.975, self.n_groups - 1) / norm.ppf(0.975)) ** 2
            between += few * max(0.0, self.n_groups * float(counts.var(ddof=1)) - between)
        total = len(clusters)
        return max(1.0, (between + float(np.square(together).sum())) / total) if total else 1.0


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
    false = np.setdiff1d(np.arange(len(found)), partner[detected])
    return Matching(detected, known - onsets if len(truth) else known, false)


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


def poisson_interval(count: int, hours: float, *, confidence: float, dispersion: float = 1.0) -> tuple[float, float]:
    """Return Garwood's exact interval of a rate per hour; of counts that vary more, of as many clusters.

    Parameters
    ----------
    count : int
    hours : float
    confidence : float
    dispersion : float
        Variance of such counts over their mean (`Sounds.dispersion`).

    Examples
    --------
    >>> [round(end, 2) for end in poisson_interval(0, 2.0, confidence=0.95)]
    [0.0, 1.84]
    >>> [round(end, 2) for end in poisson_interval(8, 2.0, confidence=0.95, dispersion=4.0)]
    [0.48, 14.45]
    """
    error, n = 1 - confidence, count / dispersion
    low = float(chi2.ppf(error / 2, 2 * n)) / 2 if count else 0.0
    return low * dispersion / hours, float(chi2.ppf(1 - error / 2, 2 * n + 2)) / 2 * dispersion / hours


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
