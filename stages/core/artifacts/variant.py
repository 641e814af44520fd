"""`variants.json` of the sweep: every model file of the grid and its scores.

A *cell* of the grid is (criterion, schedule, sparsity, seed, distilled). Its fine-tuned network is converted once and
gives one *variant* per quantisation scheme. The sha256 of the file is the variant's identity everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from stages.core.artifacts import json_file
from stages.core.artifacts.estimates import SplitMetrics, Threshold
from stages.core.artifacts.network import NOT_CALIBRATED, ScoreCalibration
from stages.core.artifacts.rejection import NO_REJECTION, FittedRejection
from stages.core.artifacts.teacher import NO_TEACHER, Teacher


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """One model file: how it was made and what it contains.

    Attributes
    ----------
    name : str
        Name for people and for file names, e.g. ``"polynomial-s0.90-static_wi8_ai8-seed1234"``; variants of the
        unpruned baseline are called ``"baseline-float32"`` and so on.
    key : str
        Digest of everything that made the file.
    criterion, schedule : str
        Pruning criterion and schedule; empty for the baseline.
    sparsity : float
        Target sparsity, a fraction in [0, 1).
    measured_sparsity : float
        Fraction of the unpruned network's prunable weights that were pruned: zero before rounding, or removed with
        their unit.
    scheme : str
        Quantisation scheme.
    bit_width : int
        Bit-width that the scheme is named for: that of the weights, where LiteRT has such operators.
    seed : int
    sha256 : str
        Digest of the file.
    raw_bytes : int
    deflated_bytes : int
        Size after deflate at zlib's level 6.
    keras_difference : float
        Largest absolute difference between the file's scores and the Keras function's, over the validation split.
    weights : dict[str, int]
        Operator and dtype to the number of weights stored that way, e.g. ``{"CONV_2D int4": 8768}``.
    mean_bits : float
        Mean bits per stored weight.
    calibration : dict
        `clips` (number of training clips), `seed` and `method` of the calibration set, for schemes that need one; and
        `weight_rounding` and `bias_correction` (``"yes"`` or ``"no"``) where weights are rounded by those clips; and
        `equalisation` where there is one.
    parameters : int
        Parameters of the network that was converted, after removed units.
    flops : int
        Floating-point operations for one clip or one crop; see `stages.core.litert.flops`.
    aware : bool
        Whether the network was fine-tuned with quantisation-aware training for the scheme.
    distilled : bool
        Whether the last fine-tuning learned from a teacher; the baseline's own training does not count.
    teacher : Teacher
        Teacher that the network learned from at any step; `NO_TEACHER` if there was none.
    rounded_zeros : float
        Fraction of the unpruned network's prunable weights that rounding to few bits made zero.
    median_difference : float
        Median absolute difference between the file's scores and the Keras function's, over the validation clips that
        this is undecided about.
    rank_correlation : float or None
        Spearman correlation between them, mean over classes; None where scores are too alike to rank.
    xz_bytes : int
        Size after xz, as a push sends it.
    score_calibration : ScoreCalibration
        Calibration of the scores that is part of the weights.
    """

    name: str
    key: str
    criterion: str
    schedule: str
    sparsity: float
    measured_sparsity: float
    scheme: str
    bit_width: int
    seed: int
    sha256: str
    raw_bytes: int
    deflated_bytes: int
    keras_difference: float
    weights: dict[str, int] = field(default_factory=dict)
    mean_bits: float = 0.0
    calibration: dict[str, str | float] = field(default_factory=dict)
    parameters: int = 0
    flops: int = 0
    aware: bool = False
    distilled: bool = False
    teacher: Teacher = NO_TEACHER
    rounded_zeros: float = 0.0
    median_difference: float = 0.0
    rank_correlation: float | None = None
    xz_bytes: int = 0
    score_calibration: ScoreCalibration = NOT_CALIBRATED


@dataclass(frozen=True, kw_only=True)
class Variant(ModelFile):
    """One model file of the grid with its metrics.

    Attributes
    ----------
    operators : dict[str, int]
        Builtin operator to the number of times that the file uses it.
    metrics : dict[str, SplitMetrics]
        ``"validation"`` and ``"test"`` to the metrics on that split.
    rejection : FittedRejection
        When the variant says "unknown".
    """

    operators: dict[str, int]
    metrics: dict[str, SplitMetrics]
    rejection: FittedRejection = NO_REJECTION

    @property
    def threshold(self) -> Threshold:
        """Decision threshold, chosen on the validation split."""
        return self.metrics["validation"].threshold

    @property
    def file(self) -> ModelFile:
        """The variant without operators and metrics."""
        return ModelFile(**{each.name: getattr(self, each.name) for each in fields(ModelFile)})


def write_variants(path: Path, variants: Sequence[Variant]) -> None:
    """Write variants as one JSON list, in the order given."""
    json_file.write(path, variants)


def write_variant(path: Path, variant: Variant) -> None:
    """Write one variant as JSON."""
    json_file.write(path, variant)


def read_variant(path: Path) -> Variant:
    """Read what `write_variant` wrote."""
    return json_file.read(Variant, path, stage="sweep")


def read_variants(path: Path) -> list[Variant]:
    """Read what `write_variants` wrote."""
    return json_file.read_list(Variant, path, stage="sweep")
