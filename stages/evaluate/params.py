"""The `evaluate` section of `params.yaml`."""

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from stages.core.artifacts.estimates import AUTO, THRESHOLD_RULES, ThresholdRule
from stages.core.project.errors import require
from stages.core.scoring.logits import METHODS
from stages.core.scoring.metrics import MetricParams
from stages.core.scoring.rejection import CHOICES


@dataclass(frozen=True)
class Robustness:
    """Conditions under which every variant is scored again on the test recordings; none by default.

    Attributes
    ----------
    noise_snr_db : tuple[float, ...]
        Signal-to-noise ratio of added white noise (dB).
    gain_db : tuple[float, ...]
        Changes of level (dB); samples are clipped at full scale.
    sample_rates : tuple[int, ...]
        Sample rates that the recording is resampled to and back from (Hz); 8000 is a telephone's.
    reverberation_s : tuple[float, ...]
        Times in which a room's reverberation decays by 60 dB (seconds).
    codecs : tuple[str, ...]
        Codecs that the recording goes through: ``"alaw"``, ``"gsm"``, ``"mp3"``, ``"opus"``.
    clip_db : tuple[float, ...]
        Decibels below its peak at which the waveform is cut off.
    bands_hz : tuple[tuple[float, float], ...]
        Bands that are kept (Hz); [300, 3400] is a telephone's.
    shift_s : tuple[float, ...]
        Shifts in time (seconds), later if positive.
    fgsm_snr_db, pgd_snr_db : tuple[float, ...]
        Signal-to-perturbation ratios (dB) of two attacks on the float network's features: one step along the sign of
        the gradient, and ten projected steps.
    """

    noise_snr_db: tuple[float, ...] = ()
    gain_db: tuple[float, ...] = ()
    sample_rates: tuple[int, ...] = ()
    reverberation_s: tuple[float, ...] = ()
    codecs: tuple[Literal["alaw", "gsm", "mp3", "opus"], ...] = ()
    clip_db: tuple[float, ...] = ()
    bands_hz: tuple[tuple[float, ...], ...] = ()
    shift_s: tuple[float, ...] = ()
    fgsm_snr_db: tuple[float, ...] = ()
    pgd_snr_db: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "evaluate.robustness"
        for rate in self.sample_rates:
            require(rate >= 1000, f"{owner}.sample_rates", "be at least 1000 Hz", rate, "Try 8000.")
        for name in ("noise_snr_db", "gain_db", "fgsm_snr_db", "pgd_snr_db"):
            for level in getattr(self, name):
                require(-100 <= level <= 100, f"{owner}.{name}", "be decibels in [-100, 100]", level)
        for depth in self.clip_db:
            require(0 < depth <= 100, f"{owner}.clip_db", "be decibels in (0, 100]", depth)
        for seconds in self.reverberation_s:
            require(0 < seconds <= 20, f"{owner}.reverberation_s", "be seconds in (0, 20]", seconds, "Try 0.6.")
        for seconds in self.shift_s:
            require(-60 <= seconds <= 60 and seconds != 0, f"{owner}.shift_s", "be seconds in [-60, 60]", seconds)
        for band in self.bands_hz:
            good = len(band) == 2 and 0 < band[0] < band[1]
            require(good, f"{owner}.bands_hz", "be pairs of rising frequencies", list(band), "Try [300, 3400].")
        for each in fields(self):
            values = getattr(self, each.name)
            require(len(set(values)) == len(values), f"{owner}.{each.name}", "name each value once", list(values))

    @property
    def attacks(self) -> dict[str, tuple[float, bool]]:
        """Name of each attack to its ratio (dB), and whether it takes several steps."""
        found = {f"fgsm_{snr:g}db": (snr, False) for snr in self.fgsm_snr_db}
        return found | {f"pgd_{snr:g}db": (snr, True) for snr in self.pgd_snr_db}


@dataclass(frozen=True)
class Decisions:
    """Calibration, thresholds and rejection, all of them fitted on validation.

    Attributes
    ----------
    calibration : {"temperature", "temperature_and_bias", "none"}
        Scale and shift of the logits that are fitted after every training and folded into the last layer's weights, so
        that scores are probabilities. ``"temperature"``: of a sigmoid a scale and a shift (Platt), which keep all
        ranks; of a softmax one scale, which keeps the order of a clip's classes. ``"temperature_and_bias"``: of a
        softmax also a shift per class, which may change the class that wins. Part of a fine-tuning's key.
    threshold : ThresholdRule
        Rule that chooses decision thresholds: one for a binary task, one per label of a multi-label task, and one per
        class of a multi-class task (for events).
    known_share : float or None
        Share of known sounds that the release keeps, in (0, 1): for what is less sure it says "unknown". None: it never
        does. The limit is chosen on validation, by group (`stages.core.scoring.rejection`).
    reject_by : str
        Confidence that is limited: one of `stages.runtime.rejection.MEASURES`. ``"frontend_distance"``: how far a sound
        is from the training clips in the front end's output, whatever the network says of it.
        ``"frontend_distance_and_scores"``: this and a measure of the scores, each with half of the share that is
        rejected. ``"auto"``: both, or what of them has enough validation groups for its promise; by the scores for a
        front end of one band, such as a raw waveform. A class of background sounds counts as known sound, so that
        ``"auto"`` keeps words in noise. A network that knows noise from `train.vary` alone, without such a class, needs
        ``"max_probability"``: its distance rejects what it gets right in noise.
    """

    calibration: str = "temperature"
    threshold: ThresholdRule = AUTO
    known_share: float | None = None
    reject_by: str = "auto"

    def __post_init__(self) -> None:
        """Check the names."""
        rule = f"be one of {', '.join(METHODS)}"
        require(self.calibration in METHODS, "evaluate.decisions.calibration", rule, self.calibration)
        share = self.known_share
        advice = "Write null for no rejection."
        require(share is None or 0 < share < 1, "evaluate.decisions.known_share", "be in (0, 1)", share, advice)
        rule = f"be one of {', '.join(CHOICES)}"
        require(self.reject_by in CHOICES, "evaluate.decisions.reject_by", rule, self.reject_by)
        chosen, owner = self.threshold, "evaluate.decisions.threshold"
        require(chosen.kind in THRESHOLD_RULES, f"{owner}.kind", f"be one of {', '.join(THRESHOLD_RULES)}", chosen.kind)
        require(0 < chosen.specificity < 1, f"{owner}.specificity", "be a fraction in (0, 1)", chosen.specificity)
        require(chosen.miss_cost > 0, f"{owner}.miss_cost", "be above 0", chosen.miss_cost)


@dataclass(frozen=True)
class StreamPreset:
    """A published rule for streams.

    Attributes
    ----------
    minutes : float
        Length of each stream.
    most : int
        Most misses, and most false alarms, with which a stream is passed.
    """

    minutes: float
    most: int


STREAM_PRESETS = {"mlperf_tiny": StreamPreset(minutes=20.0, most=8)}
"""MLPerf Tiny, streaming wake word: 20 minutes, at most 8 misses and 8 false alarms."""


@dataclass(frozen=True)
class StreamParams:
    """Streams composed of held-out clips, or long recordings, in which every variant's events are counted.

    Attributes
    ----------
    minutes : float
        Length of the validation stream and of the test stream. 0: none.
    clips_per_hour : float
        Clips an hour, those of `ignored` labels among them.
    snr_db : tuple[float, ...]
        Signal-to-noise ratios that each clip's is drawn from.
    background : Path or None
        Folder of recordings without any event, of which validation and test take turns; None: pink noise.
    recordings : Path or None
        Folder of annotated long recordings, which are the test stream instead of a composed one; of groups of the
        validation split they are the validation stream. Beside each lies a CSV file of its name with the columns onset,
        offset (both in seconds) and label.
    marked : bool
        Whether the recordings of which parts are marked (``start_s``, ``end_s`` of a CSV) are the streams, those of the
        validation split and those of the test split, with these parts as events. Everything that matters in them must
        be marked.
    recordings_group : str
        Regular expression that is searched for in each path relative to `recordings`; what its one pair of parentheses
        matches is the group (speaker, device). Recordings of groups of the training split are left out.
    ignored : tuple[str, ...]
        Labels that sound and must not trigger, such as other words. A binary task's negative label always is.
    false_alarms_per_hour : tuple[float, ...]
        Targets that event rules are chosen for on validation; a release takes the first, or that of
        `select.false_alarms_per_hour`.
    preset : str or None
        ``"mlperf_tiny"``: streams of 20 minutes, which are passed with at most 8 misses and at most 8 false alarms.
        `minutes` and `false_alarms_per_hour` follow from it.
    thresholds : {"shared", "per_label"}
        One on-threshold for all labels, or one for each where that detects more: only with backgrounds of many kinds,
        as a label that no background of validation sets off is let down to the lowest threshold.
    hop_s : float
        Seconds from one window to the next.
    seed : int
    """

    minutes: float = 0.0
    clips_per_hour: float = 360.0
    snr_db: tuple[float, ...] = (0.0, 10.0, 20.0)
    background: Path | None = None
    recordings: Path | None = None
    marked: bool = False
    recordings_group: str = "(.+)"
    ignored: tuple[str, ...] = ()
    false_alarms_per_hour: tuple[float, ...] = (1.0,)
    preset: str | None = None
    thresholds: Literal["shared", "per_label"] = "shared"
    hop_s: float = 0.25
    seed: int = 1234

    def __post_init__(self) -> None:
        """Check the ranges, and fill in what a preset states."""
        owner = "evaluate.stream"
        if self.preset is not None:
            rule = f"be null or one of {', '.join(STREAM_PRESETS)}"
            require(self.preset in STREAM_PRESETS, f"{owner}.preset", rule, self.preset)
            stated = STREAM_PRESETS[self.preset]
            for name, value in (
                ("minutes", stated.minutes),
                ("false_alarms_per_hour", (60 * stated.most / stated.minutes,)),
            ):
                given = getattr(self, name)
                free = given in (value, StreamParams.__dataclass_fields__[name].default)
                rule = f"be left out beside preset {self.preset}, which states it"
                require(free, f"{owner}.{name}", rule, given)
                object.__setattr__(self, name, value)
        require(0 <= self.minutes <= 6000, f"{owner}.minutes", "be minutes in [0, 6000]", self.minutes)
        require(0 < self.clips_per_hour <= 36000, f"{owner}.clips_per_hour", "be in (0, 36000]", self.clips_per_hour)
        require(self.hop_s > 0, f"{owner}.hop_s", "be above 0 s", self.hop_s)
        require(self.seed >= 0, f"{owner}.seed", "be 0 or more", self.seed)
        levels = self.snr_db
        require(all(-60 <= snr <= 100 for snr in levels), f"{owner}.snr_db", "be decibels in [-60, 100]", list(levels))
        require(len(levels) > 0, f"{owner}.snr_db", "name at least one ratio", [], "Try [10].")
        targets = self.false_alarms_per_hour
        good = len(targets) > 0 and all(target > 0 for target in targets)
        require(good, f"{owner}.false_alarms_per_hour", "be rates above 0", list(targets), "Try [1].")
        require_group(f"{owner}.recordings_group", self.recordings_group)
        require(not self.marked or self.recordings is None, f"{owner}.marked", "be false beside recordings", True)
        rule = "be above 0 beside recordings, as a composed stream chooses where no recording is of validation"
        require(self.recordings is None or self.minutes > 0, f"{owner}.minutes", rule, self.minutes, "Try 60.")

    @property
    def asked(self) -> bool:
        """Whether there are streams."""
        return self.marked or self.minutes > 0

    @property
    def most(self) -> int | None:
        """Most misses and most false alarms with which a stream is passed; None without a preset."""
        return None if self.preset is None else STREAM_PRESETS[self.preset].most


def require_group(owner: str, pattern: str) -> None:
    """Check that a regular expression has one pair of parentheses, around a group; `ParameterError` if not."""
    try:
        groups = re.compile(pattern).groups
    except re.error:
        groups = 0
    require(groups == 1, owner, "be a regular expression with one pair of parentheses around the group", pattern)


@dataclass(frozen=True)
class Place:
    """Labelled recordings from another place, which every variant is scored on and nothing is chosen by.

    Attributes
    ----------
    folder : Path
        Folder of recordings. DVC does not watch it.
    csv : str or None
        CSV file in the folder with the columns path (relative to the folder), label and group.
    group_pattern : str or None
        Without a CSV the folder holds a folder for each label; this regular expression is searched for in each path
        relative to `folder`, and what its one pair of parentheses matches is the group (speaker, patient).
    labels : dict[str, str or None]
        Label there to label at home; null leaves recordings of that label out. Others keep their name.
    """

    folder: Path
    csv: str | None = None
    group_pattern: str | None = None
    labels: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that exactly one of the two ways is taken."""
        given = {"csv": self.csv, "group_pattern": self.group_pattern}
        advice = "Write group_pattern: '(.+)' if every file is a group of its own."
        owner = "evaluate.elsewhere"
        one = (self.csv is None) != (self.group_pattern is None)
        require(one, owner, "have either csv or group_pattern", given, advice)
        if self.group_pattern is not None:
            require_group(f"{owner}.group_pattern", self.group_pattern)


@dataclass(frozen=True)
class EvaluateParams:
    """Parameters of the evaluation.

    Attributes
    ----------
    bootstrap_resamples : int
        Resamples of the groups behind every interval.
    confidence : float
        Confidence of the intervals, in (0, 1).
    specificity : float
        Specificity at which the sensitivity is reported, in (0, 1).
    calibration_bins : int
    latency_warmup : int
        Untimed runs each time a model is loaded.
    latency_runs : int
        Timed runs of each model, on one clip or one of its crops.
    seed : int
        Seed of the bootstrap and of noise.
    robustness : Robustness
        Noise, levels and rates under which the test recordings are scored again.
    decisions : Decisions
        Calibration, thresholds and rejection.
    stream : StreamParams
        Streams in which events are counted.
    elsewhere : dict[str, Place]
        Name to recordings from another place.
    """

    bootstrap_resamples: int = 1000
    confidence: float = 0.95
    specificity: float = 0.90
    calibration_bins: int = 10
    latency_warmup: int = 20
    latency_runs: int = 200
    seed: int = 1234
    robustness: Robustness = field(default_factory=Robustness)
    decisions: Decisions = field(default_factory=Decisions)
    stream: StreamParams = field(default_factory=StreamParams)
    elsewhere: dict[str, Place] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the ranges."""
        for place in self.elsewhere:
            rule = "have names of letters, digits, dots, dashes and underscores"
            require(re.fullmatch(r"\w[\w.-]*", place) is not None, "evaluate.elsewhere", rule, place)
        for name in ("confidence", "specificity"):
            fraction = getattr(self, name)
            advice = f"Write {fraction / 100:g} for {fraction:g} %." if 1 <= fraction < 100 else ""
            require(0 < fraction < 1, f"evaluate.{name}", "be a fraction in (0, 1)", fraction, advice)
        for name, lowest in (
            ("bootstrap_resamples", 100),
            ("calibration_bins", 2),
            ("latency_warmup", 0),
            ("latency_runs", 10),
            ("seed", 0),
        ):
            number = getattr(self, name)
            require(number >= lowest, f"evaluate.{name}", f"be at least {lowest}", number, "Raise it.")

    @property
    def metrics(self) -> MetricParams:
        """Parameters for `stages.core.scoring.metrics`."""
        return MetricParams(
            resamples=self.bootstrap_resamples,
            confidence=self.confidence,
            specificity=self.specificity,
            calibration_bins=self.calibration_bins,
            seed=self.seed,
            rule=self.decisions.threshold,
        )
