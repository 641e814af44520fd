"""Drift detection on a device: compares a day's counts with those of the validation and training recordings.

`profile.json` in a release holds, for each statistic of a clip, the edges that divide the clips at home into parts of
about equal size, and the share of each part. A device counts how many of its clips fall into each part: no sound is
kept. Clips of one group (speaker, device) resemble each other, so that a day of a few groups differs from home by more
than its number of clips suggests: the design effects at home say by how much. A day whose counts are too unlikely for
new groups is reported.

level     root mean square of what the front end is given (dBFS)
spectrum  spectral flatness: geometric against arithmetic mean of its power over frequency (dB)
features  mean of the front end's output
scores    the highest score; of a binary task the positive one

`scores` is compared with the validation clips, the others with the training clips too.

References
----------
Kish, *Survey Sampling* (1965), section 5.4: the design effect, variance over groups against that of independent clips.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stages.runtime import storage
from stages.runtime.errors import RuntimeInputError
from stages.runtime.hearing import is_silent
from stages.runtime.lines import Line

NAME = "profile.json"
KEPT = "drift.json"
STATISTICS = ("level", "spectrum", "features", "scores")
LEAST = 25
"""Clips that a day needs to be judged."""
DAYS = 30
"""Days that are kept."""
GROUPS = 10
"""Groups that a day of many clips is taken to have at least."""
_QUIETEST_DB = -120.0
_STEPS = 4000
_MOST_FREEDOM = 10_000.0


@dataclass(frozen=True)
class Reference:
    """One statistic of the clips at home.

    Attributes
    ----------
    edges : tuple[float, ...]
        Rising; a value that equals an edge counts above it.
    shares : tuple[float, ...]
        Share of the clips in each part, one more than there are edges.
    clips : float
        Number of clips.
    design_effects : tuple[float, ...]
        Design effect of the mean of each of the `contrasts`; 1 where clips are independent.
    group_size : float
        Number of clips of a group; the mean over clips, so that large groups count for more.
    freedom : float
        Degrees of freedom of the design effects.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    clips: float
    design_effects: tuple[float, ...]
    group_size: float
    freedom: float


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
        statistics = {name: _reference(each) for name, each in content["statistics"].items()}
        good = all(map(_is_sound, statistics.values()))
        profile = Profile(statistics, float(content["rate"]))
        if not good or not 0 < profile.rate < 1 or not set(statistics) <= set(STATISTICS):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise RuntimeInputError(f"{path} is no profile of a model. Push the release again.") from None
    return profile


def _reference(content: Mapping[str, Any]) -> Reference:
    """Read one statistic; a profile of before the design effects has the number of as many independent clips."""
    edges, shares = tuple(map(float, content["edges"])), tuple(map(float, content["shares"]))
    if "effective" in content:
        clips, effects, size = content["effective"], [1.0] * len(contrasts(shares)), 1.0
        freedom = clips - 1
    else:
        clips, effects, size, freedom = (content[n] for n in ("clips", "design_effects", "group_size", "freedom"))
    return Reference(edges, shares, float(clips), tuple(map(float, effects)), float(size), max(float(freedom), 1.0))


def _is_sound(reference: Reference) -> bool:
    return (
        len(reference.shares) == len(reference.edges) + 1
        and min(reference.shares) > 0
        and len(reference.design_effects) == len(contrasts(reference.shares))
        and min(*reference.design_effects, reference.clips, reference.group_size, 1) >= 1
    )


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
    >>> click = np.eye(1, 100)[0]
    >>> found = statistics_of(click, np.array([1.0, 3.0]), np.array([0.2, 0.7]))
    >>> {name: round(abs(value), 2) for name, value in found.items()}
    {'level': 20.0, 'spectrum': 0.0, 'features': 2.0, 'scores': 0.7}
    """
    return of_sound(samples, features) | {"scores": float(np.max(outputs))}


def of_sound(samples: np.ndarray, features: np.ndarray) -> dict[str, float]:
    """Return the statistics of one clip that do not depend on the model; parameters as of `statistics_of`."""
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    level = 10 * np.log10(power) if power > 0 else _QUIETEST_DB
    by_frequency = np.square(np.abs(np.fft.rfft(samples)))[1:]  # without an offset
    relative = np.maximum(by_frequency / max(float(by_frequency.mean()), 1e-30), 10 ** (_QUIETEST_DB / 10))
    return {
        "level": max(float(level), _QUIETEST_DB),
        "spectrum": float(np.mean(10 * np.log10(relative))),
        "features": float(np.mean(features, dtype=np.float64)),
    }


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

    The chance of any entry on a day without drift is about `Profile.rate` or less, if the day's groups are drawn like
    those at home, and it has at least `GROUPS` of them or no more clips of each than there are at home.

    Examples
    --------
    >>> profile = Profile({"level": Reference((-40.0,), (0.5, 0.5), 100, (1.0,), 1, 99)}, 0.001)
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


def contrasts(shares: Sequence[float]) -> np.ndarray:
    """Return two values for each part whose means over clips say how high they lie and how far apart.

    They are the orthogonal polynomials of first and second degree in the part's middle rank, with a mean of 0 and a
    variance of 1 over the shares. Two parts have the first alone, one has none.

    Returns
    -------
    np.ndarray, shape (n_contrasts, n_parts)

    Examples
    --------
    >>> contrasts((0.25, 0.5, 0.25)).round(3) + 0.0
    array([[-1.414,  0.   ,  1.414],
           [ 1.   , -1.   ,  1.   ]])
    """
    weights = np.array(shares) / np.sum(shares)
    middle = np.cumsum(weights) - weights / 2
    powers = np.stack([middle**degree for degree in range(min(3, len(weights)))], axis=1)
    basis, triangle = np.linalg.qr(powers * np.sqrt(weights)[:, np.newaxis])
    return np.asarray((basis * np.sign(np.diag(triangle)) / np.sqrt(weights)[:, np.newaxis])[:, 1:].T)


def p_value(reference: Reference, counts: Sequence[int]) -> float:
    """Return how likely a day without drift is to differ from home by as much: Student's test of the `contrasts`.

    The mean of n clips at home has the variance ``effect / n`` with ``effect = 1 + (group_size - 1) * alike``, where
    `alike` is the correlation of two clips of a group. A day has as many clips of a group as home, if these are no more
    than `GROUPS` groups; clips beyond are of the same groups: ``alike / groups + (1 - alike) / n``. Since few groups at
    home may understate it, `alike` is of an effect that is one standard error higher. The least p-value of the
    contrasts is multiplied by their number (Bonferroni).

    Examples
    --------
    >>> independent = Reference((-40.0,), (0.5, 0.5), 100, (1.0,), 1, 99)
    >>> groups_of_five = Reference((-40.0,), (0.5, 0.5), 100, (4.0,), 5, 19)
    >>> round(p_value(independent, [35, 65]), 3), round(p_value(groups_of_five, [35, 65]), 3)
    (0.037, 0.444)
    """
    observed = np.array(counts)
    n = int(observed.sum())
    means = contrasts(reference.shares) @ observed / max(n, 1)
    if n == 0 or not len(means):
        return 1.0
    effects, size = np.array(reference.design_effects), reference.group_size
    higher = effects * (1 + np.sqrt(2 / reference.freedom))
    alike = np.clip((higher - 1) / (size - 1), 0, 1) if size > 1 else np.zeros(len(effects))
    groups = min(max(n / size, 1), GROUPS)
    variances = effects / reference.clips + alike / groups + (1 - alike) / n
    variances *= 1 + 1 / reference.freedom  # of a sample
    farthest = float(np.max(np.abs(means) / np.sqrt(variances)))
    return min(1.0, len(means) * _beyond(farthest, reference.freedom))


def _beyond(t: float, freedom: float) -> float:
    """Return the probability that Student's t is at least as far from 0; NumPy alone, as on a device.

    The angle whose tangent is t / sqrt(freedom) has a density proportional to its cosine to the power of freedom - 1.
    """
    freedom = min(freedom, _MOST_FREEDOM)

    def integral(least: float) -> float:
        width = np.pi / 2 - least
        middles = least + width * (np.arange(_STEPS) + 0.5) / _STEPS
        return float(width * np.mean(np.cos(middles) ** (freedom - 1)))

    return integral(float(np.arctan(t / np.sqrt(freedom)))) / integral(0.0)


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
