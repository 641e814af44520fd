"""Whether a device still hears what its model was made for: counters of a day against those of validation.

`profile.json` in a release holds, for each statistic of a clip, the edges that divide the validation clips into parts
of about equal size, and the share of each part. A device counts how many of its clips fall into each part: no sound is
kept. Under no drift, and with independent clips, these counts follow a Dirichlet-multinomial distribution, whichever
the statistic's own distribution is; a day whose counts are too unlikely is reported.

level     root mean square of what the front end is given (dBFS)
features  mean of the front end's output
scores    the highest score; of a binary task the positive one

References
----------
Johnson, Kotz and Balakrishnan, *Discrete Multivariate Distributions* (1997), chapter 40: counts of a second sample
between the order statistics of a first.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from stages.runtime import storage
from stages.runtime.errors import RuntimeInputError
from stages.runtime.hearing import is_silent
from stages.runtime.lines import Line

NAME = "profile.json"
KEPT = "drift.json"
STATISTICS = ("level", "features", "scores")
LEAST = 25
"""Clips that a day needs to be judged."""
DAYS = 30
"""Days that are kept."""
_DRAWS = 20_000
_QUIETEST_DB = -120.0


@dataclass(frozen=True)
class Reference:
    """One statistic of the validation clips.

    Attributes
    ----------
    edges : tuple[float, ...]
        Rising; a value that equals an edge counts above it.
    shares : tuple[float, ...]
        Share of the validation clips in each part, one more than there are edges.
    effective : float
        Independent clips that are as sure as the validation clips with their groups.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    effective: float


@dataclass(frozen=True)
class Profile:
    """What a model was made for.

    Attributes
    ----------
    statistics : dict[str, Reference]
    rate : float
        Probability of a report on a day without drift.
    """

    statistics: dict[str, Reference]
    rate: float


def load(folder: Path) -> Profile | None:
    """Read the profile of a release; None if it has none.

    Raises
    ------
    RuntimeInputError
        If the file is no profile.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        content = json.loads(storage.read(path))
        statistics = {
            name: Reference(
                tuple(map(float, each["edges"])), tuple(map(float, each["shares"])), float(each["effective"])
            )
            for name, each in content["statistics"].items()
        }
        good = all(len(each.shares) == len(each.edges) + 1 and min(each.shares) > 0 for each in statistics.values())
        profile = Profile(statistics, float(content["rate"]))
        if not good or not 0 < profile.rate < 1 or not set(statistics) <= set(STATISTICS):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise RuntimeInputError(f"{path} is no profile of a model. Push the release again.") from None
    return profile


def statistics_of(samples: np.ndarray, features: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    """Return the statistics of one clip.

    Parameters
    ----------
    samples : np.ndarray, shape (clip_samples,), float32
        What the front end is given.
    features : np.ndarray
        What it gives.
    outputs : np.ndarray, shape (n_outputs,)

    Examples
    --------
    >>> found = statistics_of(np.full(4, 0.1), np.array([1.0, 3.0]), np.array([0.2, 0.7]))
    >>> {name: round(value, 3) for name, value in found.items()}
    {'level': -20.0, 'features': 2.0, 'scores': 0.7}
    """
    return of_sound(samples, features) | {"scores": float(np.max(outputs))}


def of_sound(samples: np.ndarray, features: np.ndarray) -> dict[str, float]:
    """Return the statistics of one clip that do not depend on the model; parameters as of `statistics_of`."""
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    level = 10 * np.log10(power) if power > 0 else _QUIETEST_DB
    return {"level": max(float(level), _QUIETEST_DB), "features": float(np.mean(features, dtype=np.float64))}


@dataclass
class Counts:
    """How many clips of a day fell into each part of each statistic.

    Attributes
    ----------
    counts : dict[str, list[int]]
    """

    counts: dict[str, list[int]] = field(default_factory=dict)

    def add(self, profile: Profile, values: Mapping[str, float]) -> None:
        """Count one clip."""
        for name, reference in profile.statistics.items():
            parts = self.counts.setdefault(name, [0] * len(reference.shares))
            parts[int(np.searchsorted(reference.edges, values[name], side="right"))] += 1

    @property
    def n(self) -> int:
        """Number of clips."""
        return max((sum(parts) for parts in self.counts.values()), default=0)


def judge(profile: Profile, counts: Counts) -> dict[str, float]:
    """Return the statistics that drifted on a day with their p-values; {} on a day of fewer than `LEAST` clips.

    The chance of any entry on a day without drift is at most `Profile.rate`, if the clips of the day are independent of
    each other and like those of validation.

    Examples
    --------
    >>> profile = Profile({"level": Reference((-40.0,), (0.5, 0.5), 100.0)}, 0.001)
    >>> judge(profile, Counts({"level": [16, 14]})), list(judge(profile, Counts({"level": [0, 40]})))
    ({}, ['level'])
    """
    if counts.n < LEAST:
        return {}
    limit = profile.rate / len(profile.statistics)
    found = {}
    for name, reference in profile.statistics.items():
        p = p_value(reference, counts.counts.get(name, [0] * len(reference.shares)))
        if p <= limit:
            found[name] = p
    return found


def p_value(reference: Reference, counts: Sequence[int]) -> float:
    """Return how likely counts at least as far from the shares of validation are without drift, by simulation."""
    observed = np.array(counts)
    n = int(observed.sum())
    distance = _distance(observed, n * _shares(reference))
    return float((1 + np.count_nonzero(_quiet_distances(reference, n) >= distance - 1e-9)) / (1 + _DRAWS))


@lru_cache(maxsize=len(STATISTICS))
def _quiet_distances(reference: Reference, n: int) -> np.ndarray:
    """Simulate how far the counts of `n` clips are from the shares of validation without drift."""
    shares = _shares(reference)
    rng = np.random.default_rng(0)
    weights = rng.gamma(shares * (reference.effective + 1), size=(_DRAWS, len(shares)))
    return _distance(rng.multinomial(n, weights / weights.sum(axis=1, keepdims=True)), n * shares)


def _shares(reference: Reference) -> np.ndarray:
    shares = np.array(reference.shares)
    return np.asarray(shares / shares.sum())


def _distance(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return np.asarray((np.square(counts - expected) / expected).sum(axis=-1))


class Watch:
    """Counts what a classifier hears, and says at the end whether it drifted; see `stages.runtime.classify.Classifier`.

    Clips of one recording, and windows close to each other, are not independent: of a recording that is begun by
    `restart` one clip is counted, and of a stream one in `spacing_s`. Silent clips are not counted, as at home.

    Parameters
    ----------
    profile : Profile
    silence_dbfs : float
        Peak below which a clip is silent.
    step_s : float
        Seconds from one clip to the next.
    spacing_s : float
        Least time between two clips that are counted.
    on_count : Callable or None
        Called with the counts of each clip that is counted.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        silence_dbfs: float,
        step_s: float = 0.0,
        spacing_s: float = np.inf,
        on_count: Callable[[Counts], object] | None = None,
    ) -> None:
        self.profile, self.counts = profile, Counts()
        self._silence, self._step, self._spacing, self._on_count = silence_dbfs, step_s, spacing_s, on_count
        self._clock, self._next = 0.0, 0.0

    def restart(self) -> None:
        """Count the next clip that is not silent, whenever the last one was counted."""
        self._next = self._clock

    def hear(self, samples: np.ndarray, features: np.ndarray, outputs: np.ndarray) -> None:
        """Take the next clip; parameters as of `statistics_of`."""
        self._clock += self._step
        if self._clock < self._next or is_silent(samples, self._silence):
            return
        self._next = self._clock + self._spacing
        values = statistics_of(samples, features, outputs)
        self.counts.add(self.profile, values)
        if self._on_count is not None:
            alone = Counts()
            alone.add(self.profile, values)
            self._on_count(alone)

    def summary(self) -> Line:
        """Return ``clips``, the number that was counted, ``drift``, statistic to p-value, and ``counts``."""
        return {"clips": self.counts.n, "drift": judge(self.profile, self.counts), "counts": self.counts.counts}


def keep(path: Path, release: str, day: str, counts: Counts) -> None:
    """Add counts to those of a day in a file; counts of another release and of days long ago are dropped.

    Parameters
    ----------
    path : Path
    release : str
        Identity of the release.
    day : str
        ``YYYY-MM-DD``.
    counts : Counts

    Raises
    ------
    RuntimeInputError
        If the file cannot be written.
    """
    days = kept(path, release)
    before = days.get(day, Counts()).counts
    for name, parts in counts.counts.items():
        old = before.get(name, [0] * len(parts))
        before[name] = [a + b for a, b in zip(old, parts, strict=True)] if len(old) == len(parts) else parts
    days[day] = Counts(before)
    newest = {each: asdict(days[each]) for each in sorted(days)[-DAYS:]}
    temporary = path.with_name(f"{path.name}.part")
    try:
        temporary.unlink(missing_ok=True)
        temporary.write_text(json.dumps({"release": release, "days": newest}))
        temporary.replace(path)
    except OSError as error:
        raise RuntimeInputError(f"{path} cannot be written ({error.strerror}). Name another file for --keep.") from None


def kept(path: Path, release: str) -> dict[str, Counts]:
    """Return the counts by day that a file keeps of a release; none if it is missing, damaged or of another one."""
    try:
        content: Any = json.loads(storage.read(path))
        if content["release"] != release:
            return {}
        return {
            str(day): Counts({str(name): [int(n) for n in parts] for name, parts in each["counts"].items()})
            for day, each in content["days"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def report(folder: Path, path: Path, release: str) -> str:
    """Return in a few words what a device's counters say of its newest judged day; empty if nothing was counted.

    Parameters
    ----------
    folder : Path
        The release.
    path : Path
        File of `keep`.
    release : str
    """
    try:
        profile = load(folder)
    except RuntimeInputError:
        return ""  # the release is damaged, which its files' digests tell
    judged = [(day, counts) for day, counts in sorted(kept(path, release).items()) if counts.n >= LEAST]
    if profile is None or not judged:
        return ""
    day, counts = judged[-1]
    fits = all(
        len(counts.counts.get(name, ())) == len(reference.shares) for name, reference in profile.statistics.items()
    )
    found = judge(profile, counts) if fits else {}
    return f"{', '.join(sorted(found)) or 'none'} ({day}, {counts.n} clips)"
