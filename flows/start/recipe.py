"""Choose every parameter for a set of recordings and a device, each with its reason.

The rules are general: they look at lengths, rates, classes and groups, never at what the recordings are of.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from flows.start import sizes
from flows.start.naming import EACH_FILE, SPLIT_NAMES, Names
from flows.start.survey import Survey
from stages.core.artifacts.recordings import SEPARATOR
from stages.core.project.errors import DataError, require
from stages.pull import joined

RATES = (8000, 16000, 22050)
LONGEST_S = 10.0
ARCHITECTURE = "ds_cnn"
DEPLOYED = "static_wi8_ai8"
BATCH = 64
_POSITIVE = "positive pos true yes ill sick abnormal anomaly anomalous disease diseased faulty fault 1"
POSITIVE = frozenset(_POSITIVE.split())
_TOLERANCE_S = 0.01  # a few samples more need no longer clip
_OPERATIONS_PER_S = 8e9  # multiply-adds in training, forward and backward, of two ordinary cores
_MOST_FRAMES = 220
_MOSTLY = 0.5
_REPEATED = "{:.0%} of the recordings are shorter than half of a clip, which silence would fill (docs/recipes.md)"
_STEPS, _MOST_STEPS = 3000.0, 20_000.0


@dataclass(frozen=True)
class Target:
    """Limits of the device and wishes of the user.

    Attributes
    ----------
    raw_bytes : int
        Largest size of the model's file.
    latency_ms : float
        Longest time for one clip on one thread.
    minutes : float
        About how long training may take on two cores.
    positive : str or None
        Positive class of a binary task.
    registered_name : str
    """

    raw_bytes: int = 100_000
    latency_ms: float = 50.0
    minutes: float = 10.0
    positive: str | None = None
    registered_name: str = "edac-own"

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.raw_bytes > 0, "--bytes", "be positive", self.raw_bytes)
        require(self.latency_ms > 0, "--latency-ms", "be positive", self.latency_ms)
        require(self.minutes > 0, "--minutes", "be positive", self.minutes)


@dataclass(frozen=True)
class Choice:
    """One parameter: its value, and why.

    Attributes
    ----------
    name : str
        Dotted, as in `params.yaml`.
    value : Any
    reason : str
        Empty where there is nothing to explain.
    proposed : bool
        Written as a comment, for the user to decide.
    """

    name: str
    value: Any
    reason: str = ""
    proposed: bool = False


@dataclass(frozen=True)
class Recipe:
    """All choices, and what the user should know.

    Attributes
    ----------
    choices : tuple of Choice
    warnings : tuple of str
    """

    choices: tuple[Choice, ...]
    warnings: tuple[str, ...] = field(default=())


def choose(names: Names, survey: Survey, target: Target) -> Recipe:
    """Choose every parameter.

    Parameters
    ----------
    names : Names
    survey : Survey
    target : Target

    Raises
    ------
    DataError
        If no split can hold every class on every side.
    ParameterError
        If no network keeps within the budget.
    """
    warnings: list[str] = []
    labels = sorted(names.classes)
    multi_label = any(SEPARATOR in label for label in names.label.values)
    task: Task = "multi-label" if multi_label else "binary" if len(labels) == 2 else "classes"
    split, n_train = _split(names, warnings)
    frontend, shape = _frontend(survey, warnings)
    network_shape = sizes.Shape(shape, len(labels))
    width, size = sizes.widest(ARCHITECTURE, network_shape, raw_bytes=target.raw_bytes, scheme=DEPLOYED)
    training = _training(n_train, size, target, names, shape)
    choices = [
        *_whole_labels(names),
        *_near_duplicates(names),
        *_ordered(labels, task, target, warnings),
        *split,
        Choice("augment.preset", "none", "training varies every clip anew at each step, which needs no copies"),
        *frontend,
        Choice("distill.teacher", None),
        Choice(
            "train.architecture",
            ARCHITECTURE,
            "the same filters at every time and pitch, so that a voice it has not heard matters less (docs/recipes.md)",
        ),
        Choice(
            f"train.options.{ARCHITECTURE}",
            {"width": width},
            f"the widest within {target.raw_bytes:,} bytes: {size.raw_bytes:,} bytes in {DEPLOYED}, "
            f"{size.multiply_adds / 1e6:.2g} M multiply-adds for a clip",
        ),
        *training,
        Choice("quantize.calibration_clips", min(256, max(1, n_train // 2))),
        Choice("quantize.seed", 1234),
        *_sweep(),
        Choice("evaluate.seed", 1234),
        *_select(task, names, target),
    ]
    return Recipe(tuple(choices), tuple(warnings))


Task = Literal["binary", "classes", "multi-label"]


def _ordered(labels: list[str], task: Task, target: Target, warnings: list[str]) -> list[Choice]:
    if task != "binary":
        return []
    counts = [label for label in labels if label.casefold() in POSITIVE]
    positive = target.positive or (counts[0] if len(counts) == 1 else labels[-1])
    if positive not in labels:
        raise DataError(f"--positive must be one of the labels {labels[0]!r} and {labels[1]!r}; got {positive!r}.")
    if target.positive is None and len(counts) != 1:
        warnings.append(f"{positive!r} is taken for the positive class; --positive {labels[0]!r} turns that round")
    order = [*(label for label in labels if label != positive), positive]
    return [Choice("pull.options.folder.labels", order, "the positive class of two is last")]


def _whole_labels(names: Names) -> list[Choice]:
    if joined.separator_of(names.label.distinct) is None:
        return []
    return [Choice("pull.options.folder.label_separator", SEPARATOR, "each text is one label, as asked for")]


def _near_duplicates(names: Names) -> list[Choice]:
    if names.group.name == EACH_FILE:
        return []
    reason = "groups are known by name: files that hold the same sound are listed, and counted if on two sides"
    return [Choice("pull.near_duplicates.action", "report", reason)]


def _split(names: Names, warnings: list[str]) -> tuple[list[Choice], int]:
    """Return the choices of the split, and about how many recordings train."""
    n, groups = len(names.items), len(names.group.distinct)
    if groups < 10 and names.group.name != EACH_FILE:
        warnings.append(
            f"{groups} groups are few: figures of a single split say little about others; "
            "`edac folds --by group` tests every group once"
        )
    fractions = (
        {"train": 0.70, "validation": 0.15, "test": 0.15}
        if groups >= 20
        else {"train": 0.60, "validation": 0.20, "test": 0.20}
    )
    published = names.split
    if published is not None:
        sides = {value: SPLIT_NAMES.get(value.casefold()) for value in published.distinct}
        problem = _problem(names, sides)
        if not problem:
            return _official(names, sides, fractions, warnings)
        warnings.append(f"{published.reason} cannot be used: {problem}; the split is made by group instead")
    sparse = _sparse(names)
    if sparse:
        raise DataError(
            f"every class needs recordings of at least 3 groups, one for each side of the split; {sparse}. "
            "Record more speakers (or whatever the group is), leave the class out, or name another field with --group."
        )
    reason = f"by group ({names.group.name}: {groups}), so that nobody is on two sides"
    return [
        Choice("split.method", "groups", reason),
        Choice("split.fractions", fractions, "more for validation and test where groups are few" * (groups < 20)),
        Choice("split.by_site", names.site is not None),
        *([Choice("split.ignore_published", True, "it cannot be used")] if published is not None else []),
        Choice("split.seed", 1234),
    ], round(n * fractions["train"])


def _official(
    names: Names, sides: Mapping[str, str | None], fractions: dict[str, float], warnings: list[str]
) -> tuple[list[Choice], int]:
    published = names.split
    assert published is not None
    counts = Counter(published.values)
    if all(sides.values()):
        folds: dict[str, list[str]] = {}
        for value, side in sides.items():
            folds.setdefault(str(side), []).append(value)
        n_train = sum(counts[value] for value in folds.get("train", ()))
        if "validation" not in folds:
            folds = {"test": folds["test"]}
            n_train = round(n_train * fractions["train"] / (fractions["train"] + fractions["validation"]))
    else:
        last = max(published.distinct, key=lambda fold: (len(fold), fold))
        folds = {"test": [last]}
        n_train = round((len(names.items) - counts[last]) * 0.85)
        warnings.append(f"one fold ({last}) is tested; `edac folds` tests each of the {len(counts)} in turn")
    test_share = 1 / len(counts) if not all(sides.values()) else 0.2
    shares = {"train": round(0.85 * (1 - test_share), 4), "test": round(test_share, 4)}
    shares["validation"] = round(1 - sum(shares.values()), 4)
    return [
        Choice("split.method", "official", published.reason),
        Choice("split.folds", folds, "validation is taken from the rest, by group" * (len(folds) == 1)),
        Choice("split.fractions", {side: shares[side] for side in ("train", "validation", "test")}),
        Choice("split.by_site", False),
        Choice("split.seed", 1234),
    ], n_train


def _problem(names: Names, sides: Mapping[str, str | None]) -> str:
    """Return why the publisher's split cannot be used, or nothing."""
    split = names.split
    assert split is not None
    where: dict[str, set[str]] = {}
    for group, value in zip(names.group.values, split.values, strict=True):
        where.setdefault(group, set()).add(value)
    shared = [group for group, found in where.items() if len(found) > 1]
    if shared:
        return f"{len(shared)} groups are on two of its sides, such as {shared[0]!r}"
    if all(sides.values()):
        labels = set(names.label.values)
        for value in split.distinct:
            held = {label for label, at in zip(names.label.values, split.values, strict=True) if at == value}
            missing = sorted(labels - held)
            if missing:
                return f"{value} has no {', '.join(missing[:6])}"
    return ""


def _sparse(names: Names) -> str:
    groups: dict[str, set[str]] = {}
    for label, group in zip(names.label.values, names.group.values, strict=True):
        for name in label.split(SEPARATOR):
            groups.setdefault(name, set()).add(group)
    few = sorted(label for label, found in groups.items() if len(found) < 3)
    return ", ".join(f"{label!r} has {len(groups[label])}" for label in few[:6])


def _frontend(survey: Survey, warnings: list[str]) -> tuple[list[Choice], tuple[int, ...]]:
    """Return the choices of the front end and the shape of its features."""
    seconds, why_length = _length(survey, warnings)
    shorter = survey.much_shorter(seconds)
    rate, why_rate = _rate(survey, warnings)
    samples = round(seconds * rate)
    n_fft = 2 ** round(math.log2(rate * (0.03 if seconds <= 3 else 0.045)))
    step = max(n_fft // 2, math.ceil(samples / _MOST_FRAMES))
    hop = min(n_fft, 2 ** math.ceil(math.log2(step)) if step > n_fft // 2 else step)
    n_mels = 40 if rate <= 8000 else 64 if seconds > 3 or rate > 16000 else 48
    options = {
        "sample_rate": rate,
        "clip_samples": samples,
        "n_fft": n_fft,
        "hop_length": hop,
        "n_mels": n_mels,
        "fmin": 50.0,
    }
    shape = (1 + samples // hop, n_mels, 1)
    resolution = (
        f"windows of {1000 * n_fft / rate:.0f} ms every {1000 * hop / rate:.0f} ms and {n_mels} bands: "
        f"{shape[0]} x {n_mels} levels for a clip"
    )
    return [
        Choice("features.frontend", "log_mel", "levels in decibels, which training can vary on the fly"),
        Choice("features.options.log_mel", options, f"{why_length}; {why_rate}; {resolution}"),
        *([Choice("features.short", "repeat", _REPEATED.format(shorter))] if shorter > _MOSTLY else []),
    ], shape


def _length(survey: Survey, warnings: list[str]) -> tuple[float, str]:
    middle, long = survey.quantile(0.5), survey.quantile(0.95)
    kept = 95
    if long > 2.5 * middle:
        long, kept = survey.quantile(0.9), 90
    if survey.quantile(1) <= 1.25 * long:
        long, kept = survey.quantile(1), 100
    seconds = min(LONGEST_S, math.ceil((long - _TOLERANCE_S) * 10) / 10)
    cut, padded = float((survey.seconds > seconds + 0.01).mean()), survey.much_shorter(seconds)
    if long > LONGEST_S:
        warnings.append(f"recordings longer than {LONGEST_S:g} s are cut there ({cut:.0%} of them)")
    elif cut > 0.02:
        warnings.append(f"{cut:.0%} of the recordings are longer than {seconds:g} s and are cut there")
    if padded > 0.25:
        becomes = "repeated until it is full" if padded > _MOSTLY else "padded"
        warnings.append(f"{padded:.0%} of the recordings are shorter than half of {seconds:g} s and are {becomes}")
    if survey.quantile(0.5) < 0.25:
        warnings.append(f"half of the recordings are shorter than {middle:.2f} s: check that they hold the whole sound")
    return seconds, f"{seconds:g} s hold {kept} % of the recordings whole (median {middle:.2f} s)"


def _rate(survey: Survey, warnings: list[str]) -> tuple[int, str]:
    lowest = min(rate for rate, n in survey.rates.items() if n >= 0.02 * survey.n)
    needed = 2 * float(_median(survey.bandwidth_hz))
    fitting = [rate for rate in RATES if rate <= lowest * 1.01] or [min(lowest, RATES[0])]
    rate = next((rate for rate in fitting if rate >= 0.9 * needed and rate >= min(16000, fitting[-1])), fitting[-1])
    if len(survey.rates) > 1:
        found = ", ".join(f"{n} at {hz} Hz" for hz, n in sorted(survey.rates.items()))
        warnings.append(
            f"the recordings have several rates ({found} of {survey.n} looked at); all are brought to {rate} Hz, so "
            "that a class cannot be told by its rate"
        )
    return rate, f"{rate} Hz (rates from {lowest} Hz, sound up to about {needed / 2000:.1f} kHz)"


def _median(values: Any) -> float:
    return float(sorted(values)[len(values) // 2])


def _training(n_train: int, size: sizes.Size, target: Target, names: Names, shape: tuple[int, ...]) -> list[Choice]:
    batch = BATCH if n_train >= 4 * BATCH else 32
    affordable = target.minutes * 60 * _OPERATIONS_PER_S / (3 * batch * size.multiply_adds)
    steps = round(min(max(_STEPS, 65 * math.sqrt(n_train)), _MOST_STEPS, max(300.0, affordable)))
    epochs = max(2, round(steps * batch / max(n_train, 1)))
    why = f"{steps} steps of {batch} clips, by the number of clips ({n_train})"
    if steps == round(max(300.0, affordable)):
        why = f"{steps} steps of {batch} clips, as many as {target.minutes:g} minutes are expected to allow"
    vary = {"p": 0.7, "stretch": 1.25, "bands": round(shape[1] / 16), "gain_db": 6, "noise_db": [20, 60]}
    vary |= {"warp": 0.15, "room": 0.5, "filter_db": 4, "background_db": [5, 40]}
    counts = Counter(names.label.values)
    uneven = max(counts.values()) > 1.5 * min(counts.values())
    common = {
        "batch_size": batch,
        "class_weights": uneven,
        "mixup": 0.3,
        "label_smoothing": 0.1,
        "time_shift": 0.1,
        "vary": vary,
    }
    reasons = {
        "class_weights": "classes differ in number" if uneven else "classes are about equally frequent",
        "vary": "another speaker, microphone, room, level and background at every step (docs/recipes.md)",
    }
    learned = [Choice(f"train.{name}", value, reasons.get(name, "")) for name, value in common.items()]
    again = [Choice(f"prune.{name}", value) for name, value in common.items()]
    return [
        Choice("train.optimizer", "adam"),
        Choice("train.learning_rate", 3e-3),
        Choice("train.decay", "cosine"),
        Choice("train.epochs", epochs, why),
        Choice(
            "train.patience", None, "the learning rate falls to 0; a validation loss of few clips would stop at random"
        ),
        *learned,
        Choice("train.seed", 1234),
        Choice("train.threads", 2),
        Choice("prune.optimizer", "adam"),
        Choice("prune.learning_rate", 1e-3),
        Choice("prune.decay", "cosine"),
        Choice("prune.epochs", max(1, round(epochs / 6))),
        *again,
        Choice("prune.options.polynomial", {"end": 0.5}),
    ]


def _sweep() -> list[Choice]:
    return [
        Choice("sweep.criteria", ["magnitude"]),
        Choice("sweep.schedules", ["polynomial"]),
        Choice("sweep.sparsities", [0.5], "more sparsities cost one fine-tuning each"),
        Choice("sweep.schemes", ["float32", "dynamic_wi8_afp32", DEPLOYED]),
        Choice("sweep.seeds", [1234]),
        Choice("sweep.store", "models/cells"),
    ]


def _select(task: Task, names: Names, target: Target) -> list[Choice]:
    counts = Counter(names.label.values)
    if task == "multi-label":
        metric, why = "pr_auc", "mean average precision over the labels"
    elif task == "binary":
        metric, why = "roc_auc", "how well scores order the two classes, whatever their share"
    elif max(counts.values()) > 3 * min(counts.values()):
        metric, why = "balanced_accuracy", "some classes are rare and count as much as the others"
    else:
        metric, why = "accuracy", "classes are about equally frequent"
    return [
        Choice("select.metric", metric, why),
        Choice("select.margin", 0.01, "a smaller variant may be this much worse"),
        Choice("select.prefer", "sent_bytes"),
        Choice(
            "select.budget",
            {"raw_bytes": target.raw_bytes, "latency_ms": target.latency_ms},
            "what the device allows",
        ),
        Choice("select.golden_recordings", 4, "recordings of the validation split that travel with the model"),
        Choice("select.registered_name", target.registered_name),
        Choice("push.keep_releases", 3),
        Choice("push.devices", [{"name": "local", "transport": "local", "folder": "models/devices/local"}]),
    ]
