"""The `evaluate` section of `params.yaml`."""

from dataclasses import dataclass, field

from stages.core.project.errors import require
from stages.core.scoring.metrics import MetricParams


@dataclass(frozen=True)
class Robustness:
    """Conditions under which every variant is scored again on the test recordings; none by default.

    Attributes
    ----------
    noise_snr_db : tuple[float, ...]
        White noise so far below the recording's own power.
    gain_db : tuple[float, ...]
        Changes of level, cut off at full scale.
    sample_rates : tuple[int, ...]
        That the recording is resampled to and back (Hz); 8000 is a telephone's.
    """

    noise_snr_db: tuple[float, ...] = ()
    gain_db: tuple[float, ...] = ()
    sample_rates: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges."""
        for rate in self.sample_rates:
            require(rate >= 1000, "evaluate.robustness.sample_rates", "be at least 1000 Hz", rate, "Try 8000.")
        for name in ("noise_snr_db", "gain_db"):
            for level in getattr(self, name):
                require(-100 <= level <= 100, f"evaluate.robustness.{name}", "be decibels in [-100, 100]", level)
        for name in ("noise_snr_db", "gain_db", "sample_rates"):
            values = getattr(self, name)
            require(
                len(set(values)) == len(values), f"evaluate.robustness.{name}", "name each value once", list(values)
            )


@dataclass(frozen=True)
class EvaluateParams:
    """How variants are judged.

    Attributes
    ----------
    bootstrap_resamples : int
        Resamples of the groups behind every interval.
    confidence : float
        Of the intervals, in (0, 1).
    specificity : float
        At which the sensitivity is reported, in (0, 1).
    calibration_bins : int
    latency_warmup : int
        Runs before the clock starts, every time a model is loaded.
    latency_runs : int
        Timed runs of each model, on one clip or one of its crops.
    seed : int
        Of the bootstrap and of noise.
    robustness : Robustness
        Noise, levels and rates under which the test recordings are scored again.
    """

    bootstrap_resamples: int = 1000
    confidence: float = 0.95
    specificity: float = 0.90
    calibration_bins: int = 10
    latency_warmup: int = 20
    latency_runs: int = 200
    seed: int = 1234
    robustness: Robustness = field(default_factory=Robustness)

    def __post_init__(self) -> None:
        """Check the ranges."""
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
        """The part that `stages.core.scoring.metrics` needs."""
        return MetricParams(
            resamples=self.bootstrap_resamples,
            confidence=self.confidence,
            specificity=self.specificity,
            calibration_bins=self.calibration_bins,
            seed=self.seed,
        )
