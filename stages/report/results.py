"""Read a sweep's variants from MLflow and average them over seeds."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from stages.core.project.errors import DataError
from stages.core.scoring.baseline import baseline, is_baseline
from stages.core.tracking.connection import Tracker
from stages.core.tracking.records import Logged, Sweep

Quantity = Callable[[Logged], float | None]


@dataclass(frozen=True)
class Results:
    """A sweep and its variants.

    Attributes
    ----------
    sweep : Sweep
    variants : tuple[Logged, ...]
    """

    sweep: Sweep
    variants: tuple[Logged, ...]

    @property
    def reference(self) -> Logged:
        """The float32 baseline, which sizes are compared with."""
        return baseline(v for v in self.variants if v.plain)

    @property
    def schedules(self) -> list[str]:
        """Schedules of the pruned variants, sorted."""
        return sorted({v.schedule for v in self.variants} - {""})

    @property
    def schemes(self) -> list[str]:
        """Quantisation schemes, the highest bit-width first, then by name."""
        return [scheme for _, scheme in sorted({(-v.bit_width, v.scheme) for v in self.variants})]

    @property
    def sparsities(self) -> list[float]:
        """Sparsities of all variants, with the baseline's 0."""
        return sorted({v.sparsity for v in self.variants})

    def cell(self, schedule: str, sparsity: float, scheme: str) -> list[Logged]:
        """Return the plain variants of a cell of the grid, one per seed; at sparsity 0 the baseline's.

        Parameters
        ----------
        schedule : str
        sparsity : float
        scheme : str
        """
        place = (schedule if sparsity else "", sparsity, scheme)
        return [v for v in self.variants if v.plain and (v.schedule, v.sparsity, v.scheme) == place]


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over seeds.

    Attributes
    ----------
    mean : float
    sd : float or None
        None for a single value.
    n : int
    """

    mean: float
    sd: float | None
    n: int


def read(tracker: Tracker, *, architecture: str, sweep: str | None = None) -> Results:
    """Read a sweep from MLflow.

    Parameters
    ----------
    tracker : Tracker
    architecture : str
        File of `stages/train/architectures/`; its newest sweep is read.
    sweep : str or None
        Name or run id of another sweep.

    Raises
    ------
    DataError
        If there is no such sweep, or it has no float32 baseline.
    """
    sweeps = tracker.sweeps()
    if sweep is None:
        found = [each for each in sweeps if each.parameters.get("architecture") == architecture]
        described = f"of the architecture {architecture!r}"
    else:
        found = [each for each in sweeps if sweep in (each.name, each.run_id)]
        described = f"called {sweep!r}"
    if not found:
        known = ", ".join(f"{s.name} ({s.parameters.get('architecture', 'architecture unknown')})" for s in sweeps)
        raise DataError(
            f"MLflow has no sweep {described}; it has {known or 'none'}. Run `dvc repro sweep`, or name one."
        )
    results = Results(found[0], tuple(tracker.variants(found[0].run_id)))
    if not any(is_baseline(v) and v.plain for v in results.variants):
        raise DataError(f"{found[0].name} has no finished float32 baseline. Run `dvc repro sweep` again.")
    return results


def spread(variants: Iterable[Logged], quantity: Quantity) -> Spread | None:
    """Return the mean and standard deviation of a quantity over variants; None where nothing was measured."""
    values = [value for value in map(quantity, variants) if value is not None]
    if not values:
        return None
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def auc(variant: Logged) -> float | None:
    """Return the ROC-AUC on the test split."""
    return variant.figures.get("test.roc_auc")


def deflated_mb(variant: Logged) -> float:
    """Return the size after deflate in MB (1e6 bytes)."""
    return variant.figures["deflated_bytes"] / 1e6


def latency_ms(variant: Logged) -> float | None:
    """Return the median latency of one clip on one thread in ms."""
    return variant.figures.get("latency_p50_ms")


def smallest_nearly_best(results: Results, *, margin: float) -> Logged | None:
    """Return the smallest variant after deflate whose validation ROC-AUC is at most `margin` below the best one's."""
    judged = [v for v in results.variants if "validation.roc_auc" in v.figures]
    if not judged:
        return None
    floor = max(v.figures["validation.roc_auc"] for v in judged) - margin
    return _smallest([v for v in judged if v.figures["validation.roc_auc"] >= floor - 1e-9])


def smallest_overlapping(results: Results) -> Logged | None:
    """Return the smallest variant after deflate whose interval on validation overlaps that of the float32 baseline."""
    low = results.reference.figures.get("validation.roc_auc.low")
    highs = [v for v in results.variants if "validation.roc_auc.high" in v.figures]
    return None if low is None else _smallest([v for v in highs if v.figures["validation.roc_auc.high"] >= low])


def _smallest(variants: Sequence[Logged]) -> Logged | None:
    return min(variants, key=lambda v: (v.figures["deflated_bytes"], v.name), default=None)
