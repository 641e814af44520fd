"""Made-up test sets with a known truth, and the row of the table that a simulation gives."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.stats import norm

from stages.core.scoring import metrics


@dataclass(frozen=True)
class Result:
    """What a simulation found of one promise.

    Attributes
    ----------
    promise : str
    setting : str
    promised : str
        E.g. ``"0.95"`` or ``"at most 0.05"``.
    before, now : str
        The same by the method before and by the one in use; ``"-"`` if there was none.
    """

    promise: str
    setting: str
    promised: str
    before: str
    now: str


@dataclass(frozen=True)
class Setting:
    """Groups of clips whose scores are normal about 0 and 1 classes' means.

    Attributes
    ----------
    n_groups, size : int
        Clips of each group; where `size` is negative, geometric of mean ``-size``.
    auc : float
        True ROC-AUC.
    alike : float
        Correlation of the errors of two clips of a group.
    prevalence : float
    mixed : bool
        Whether a group holds clips of both classes.
    """

    n_groups: int
    size: int = 1
    auc: float = 0.85
    alike: float = 0.0
    prevalence: float = 0.5
    mixed: bool = False

    @property
    def distance(self) -> float:
        """Between the means of the classes."""
        return float(np.sqrt(2) * norm.ppf(self.auc))

    def __str__(self) -> str:
        """Return the setting for the table."""
        size = {1: "1 clip"}.get(self.size, f"{abs(self.size)} clips" + (" on average" if self.size < 0 else ""))
        tail = ", groups of both classes" if self.mixed else ""
        tail += f", {self.prevalence:.0%} positive" if self.prevalence != 0.5 else ""
        return f"{self.n_groups} groups of {size}, AUC {self.auc:g}{tail}"

    def labels(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw classes and groups, both (n,) int, of which every class has three groups."""
        while True:
            sizes = np.full(self.n_groups, self.size) if self.size > 0 else rng.geometric(-1 / self.size, self.n_groups)
            groups = np.repeat(np.arange(self.n_groups), sizes)
            y = (rng.random(len(groups) if self.mixed else self.n_groups) < self.prevalence).astype(np.int64)
            y = y if self.mixed else y[groups]
            if min(len(np.unique(groups[y == label])) for label in (0, 1)) >= 3:
                return y, groups

    def noise(self, groups: np.ndarray, rng: np.random.Generator, k: int | None = None) -> np.ndarray:
        """Draw standard normal errors that groups share, (n,) or (k, n)."""
        shape = () if k is None else (k,)
        shared = rng.standard_normal((*shape, self.n_groups))[..., groups]
        own = rng.standard_normal((*shape, len(groups)))
        noise: np.ndarray = np.sqrt(self.alike) * shared + np.sqrt(1 - self.alike) * own
        return noise

    def probabilities(self, y: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Return the calibrated probability of the positive class."""
        odds = np.log(self.prevalence / (1 - self.prevalence))
        log_odds = self.distance * (self.distance * (y - 0.5) + noise) + odds
        return np.asarray(1 / (1 + np.exp(-log_odds)))


@cache
def truth(metric: str, setting: Setting) -> float:
    """Return the metric of infinitely many groups, from 400,000."""
    rng = np.random.default_rng(5)
    y = (rng.random(400_000) < setting.prevalence).astype(np.int64)
    return float(metrics.measure(metric, y, setting.probabilities(y, rng.standard_normal(len(y)))))


def percentile_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Return the percentile bootstrap's interval, the method before."""
    low, high = np.nanquantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
