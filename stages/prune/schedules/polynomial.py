"""Increase the sparsity fast at first and then ever more slowly to its target, by default at the last step.

References
----------
Zhu and Gupta, "To prune, or not to prune", arXiv:1710.01878 (2017), equation 1.
EDAC, arXiv:2309.05357 (2023), section 4: `PolynomialDecay` of TensorFlow Model Optimization, frequency 100. There the
target was missed whenever the number of steps was no multiple of 100; here the last step always reaches it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.core.nn import keras
from stages.core.project import lazy
from stages.core.project.errors import require

if TYPE_CHECKING:
    import tensorflow_model_optimization as tfmot
else:
    tfmot = lazy.module("tensorflow_model_optimization")


@dataclass(frozen=True)
class Config:
    """Parameters of the polynomial schedule.

    Attributes
    ----------
    initial_sparsity : float
        Sparsity at the start, in [0, 1).
    power : int
        Exponent of the polynomial; Zhu and Gupta use 3.
    frequency : int
        Number of steps between renewals of the masks. EDAC's 100 leaves a fine-tuning of a few hundred steps no time
        to recover.
    end : float
        Fraction of the steps, in (0, 1], after which the target is reached. The remaining steps only recover, which
        pruning whole units needs more than pruning single weights.
    """

    initial_sparsity: float = 0.0
    power: int = 3
    frequency: int = 10
    end: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        initial, owner = self.initial_sparsity, "prune.options.polynomial"
        rule, advice = "be a fraction in [0, 1)", "Write 0.5 for 50 %."
        require(0 <= initial < 1, f"{owner}.initial_sparsity", rule, initial, advice)
        require(self.power >= 1, f"{owner}.power", "be at least 1", self.power)
        require(self.frequency >= 1, f"{owner}.frequency", "be at least 1 step", self.frequency)
        require(0 < self.end <= 1, f"{owner}.end", "be a fraction in (0, 1]", self.end, "Write 0.5 for half-way.")


def sparsity_at(config: Config, target: float, n_steps: int, _n_units: int) -> Callable[[int], tuple[bool, float]]:
    """Return the schedule as the contract of this folder has it.

    Examples
    --------
    >>> at = sparsity_at(Config(), 0.8, 10, 0)
    >>> [round(at(step)[1], 3) for step in (1, 5, 10)]
    [0.217, 0.7, 0.8]
    """
    keras.load()  # before tfmot does, which then takes the same
    last = max(round(config.end * n_steps), 1)
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        min(config.initial_sparsity, target),
        target,
        begin_step=0,
        end_step=last,
        power=config.power,
        frequency=config.frequency,
    )

    def at(step: int) -> tuple[bool, float]:
        due, sparsity = schedule(step)
        return bool(due) or step == last, float(sparsity)

    return at
