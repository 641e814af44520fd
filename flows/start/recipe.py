"""Choose every parameter for a set of recordings and a device, each with its reason.

The rules are general: they look at lengths, rates, classes and groups, never at what the recordings are of.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from flows.start import background, frontend, sides, sizes
from flows.start.choice import Choice
from flows.start.fields import SEPARATORS
from flows.start.guess import EACH_FILE
from flows.start.naming import Names
from flows.start.survey import Survey
from stages.core.artifacts.recordings import SEPARATOR
from stages.core.project.errors import DataError, require
from stages.pull import joined

ARCHITECTURE = "ds_cnn"
DEPLOYED = "static_wi8_ai8"
BATCH = 64
_POSITIVE = "positive pos true yes ill sick abnormal anomaly anomalous disease diseased faulty fault 1"
POSITIVE = frozenset(_POSITIVE.split())
_NEGATIVE = (
    "negative neg false no not none without absent well healthy normal control controls good ok intact background 0"
)
NEGATIVE = frozenset(_NEGATIVE.split())
_SHORT = 1500  # steps, below which a higher learning rate and less variation learn more
_OPERATIONS_PER_S = 8e9  # multiply-adds in training, forward and backward, of two ordinary cores
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
    split, n_train = sides.split(names, warnings)
    behind = background.label_of(names)
    clip = frontend.clip(survey.without(behind), warnings)
    n_train = round(n_train * (clip.of_recording if behind is None else survey.clips(clip.seconds)))
    heard, shape = frontend.frontend(survey, clip, warnings)
    network_shape = sizes.Shape(shape, len(labels))
    width, size = sizes.widest(ARCHITECTURE, network_shape, raw_bytes=target.raw_bytes, scheme=DEPLOYED)
    training = _training(n_train, size, target, names, shape)
    choices = [
        *_whole_labels(names),
        *_near_duplicates(names),
        *_ordered(labels, task, target, warnings),
        *split,
        Choice("augment.preset", "none", "training varies every clip anew at each step, which needs no copies"),
        *heard,
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
    return Recipe(tuple(background.heard_behind(choices, names, clip.seconds)), tuple(warnings))


Task = Literal["binary", "classes", "multi-label"]


def _ordered(labels: list[str], task: Task, target: Target, warnings: list[str]) -> list[Choice]:
    if task != "binary":
        return []
    likely = [label for label in labels if label.casefold() in POSITIVE]
    others = [label for label in labels if NEGATIVE.isdisjoint(SEPARATORS.split(label.casefold()))]
    told = next((found[0] for found in (likely, others) if len(found) == 1), None)
    positive = target.positive or told or labels[-1]
    if positive not in labels:
        raise DataError(f"--positive must be one of the labels {labels[0]!r} and {labels[1]!r}; got {positive!r}.")
    if target.positive is None and told is None:
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


def _training(n_train: int, size: sizes.Size, target: Target, names: Names, shape: tuple[int, ...]) -> list[Choice]:
    batch = BATCH if n_train >= 4 * BATCH else 32
    affordable = target.minutes * 60 * _OPERATIONS_PER_S / (3 * batch * size.multiply_adds)
    steps = round(min(max(_STEPS, 65 * math.sqrt(n_train)), _MOST_STEPS, max(300.0, affordable)))
    epochs = max(2, round(steps * batch / max(n_train, 1)))
    why = f"{steps} steps of {batch} clips, by the number of clips ({n_train})"
    if steps == round(max(300.0, affordable)):
        why = f"{steps} steps of {batch} clips, as many as {target.minutes:g} minutes are expected to allow"
    short = steps < _SHORT
    vary = {
        "p": 0.4 if short else 0.7,
        "stretch": 1.25,
        "bands": round(shape[1] / 16),
        "gain_db": 6,
        "noise_db": [20, 60],
    }
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
        Choice("train.learning_rate", 6.5e-3 if short else 3e-3, f"{steps} steps are few (docs/recipes.md)" * short),
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
