"""The `quantize` section of `params.yaml`."""

from dataclasses import dataclass, field, fields
from types import ModuleType
from typing import Any, ClassVar, Literal

from stages.core.project import plugins
from stages.core.project.errors import require
from stages.core.project.params import Options
from stages.core.training.params import FitParams

SCHEMES = "stages.quantize.schemes"
CALIBRATIONS = ("min_max", "percentile", "mse")
ROUNDINGS = ("nearest", "adaround", "gptq")
EQUALISATIONS = ("none", "weights", "activations")
_GENERAL = ("calibration", "weight_rounding", "bias_correction", "equalisation")
"""Parameters of this section that are options of the schemes too."""


def is_lossy(scheme: ModuleType) -> bool:
    """Tell whether a scheme's module changes scores by more than rounding: it has few bits, or says so itself."""
    return scheme.BIT_WIDTH <= 8 or getattr(scheme, "LOSSY", False)


def needs_clips(scheme: ModuleType, config: Any) -> bool:
    """Tell whether a scheme must be given calibration clips: for ranges of activations, or for rounding weights."""
    return scheme.NEEDS_CALIBRATION or getattr(config, "needs_clips", False)


@dataclass(frozen=True)
class AwareParams(FitParams):
    """Parameters of quantisation-aware training; see `FitParams`."""

    SECTION: ClassVar[str] = "quantize.aware"

    learning_rate: float = 1e-4
    decay: Literal["none", "cosine", "linear", "steps"] = "cosine"
    epochs: int = 5


@dataclass(frozen=True)
class QuantizeParams:
    """Parameters of quantisation.

    Attributes
    ----------
    calibration_clips : int
        Number of training clips that full-integer schemes take their ranges from.
    seed : int
        Seed of the choice of those clips.
    calibration : str
        Method that takes a range from them: ``"min_max"``, or clipped by ``"percentile"`` or by ``"mse"``; see
        `stages.quantize.ranges`. A scheme's own option of this name goes first.
    weight_rounding : str
        How weights of fewer than 8 bits are rounded: each to the ``"nearest"``, or all of a layer to the least error of
        its output on the calibration clips, by ``"adaround"`` or by ``"gptq"``; see `stages.quantize.post_training`.
        Weights that quantisation-aware training has found are rounded to the nearest. A scheme's own option of this
        name goes first.
    bias_correction : bool
        Whether biases take up the mean error that this rounding adds to each filter's output on the calibration clips.
        A scheme's own option of this name goes first.
    equalisation : str
        Cross-layer equalisation before weights of fewer than 8 bits are rounded: the channels between two layers are
        scaled so that few bits serve all of them alike, by the largest ``"weights"`` on both sides, or by the largest
        ``"activations"`` on the calibration clips too; see `stages.quantize.equalisation`. A scheme's own option of
        this name goes first.
    options : dict
        Scheme name to that scheme's own parameters.
    aware : AwareParams
        Parameters of quantisation-aware training, for the schemes in ``sweep.qat_schemes``.
    """

    calibration_clips: int = 128
    seed: int = 1234
    calibration: str = "min_max"
    weight_rounding: str = "nearest"
    bias_correction: bool = False
    equalisation: str = "none"
    options: dict[str, Options] = field(default_factory=dict)
    aware: AwareParams = field(default_factory=AwareParams)

    def __post_init__(self) -> None:
        """Check the ranges."""
        clips = self.calibration_clips
        require(clips >= 1, "quantize.calibration_clips", "be at least 1", clips, "128 is a good start.")
        require(self.seed >= 0, "quantize.seed", "be 0 or more", self.seed, "Any fixed whole number will do.")
        known = self.calibration in CALIBRATIONS
        require(known, "quantize.calibration", f"be one of {', '.join(CALIBRATIONS)}", self.calibration)
        known = self.weight_rounding in ROUNDINGS
        require(known, "quantize.weight_rounding", f"be one of {', '.join(ROUNDINGS)}", self.weight_rounding)
        known = self.equalisation in EQUALISATIONS
        require(known, "quantize.equalisation", f"be one of {', '.join(EQUALISATIONS)}", self.equalisation)

    def scheme(self, name: str) -> tuple[ModuleType, Any]:
        """Return a scheme's module and its filled `Config`.

        Raises
        ------
        ParameterError
            If there is no such scheme, or its options do not fit.
        """
        module = plugins.load(SCHEMES, name, "quantize.scheme")
        own = {field.name for field in fields(module.Config)}
        general = {option: getattr(self, option) for option in _GENERAL if option in own}
        options = {**self.options, name: general | (self.options.get(name) or {})}
        return plugins.configure(SCHEMES, name, options, "quantize")
