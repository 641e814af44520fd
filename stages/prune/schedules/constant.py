"""The full sparsity from the first step on.

References
----------
EDAC, arXiv:2309.05357 (2023), section 4: `ConstantSparsity` of TensorFlow Model Optimization, frequency 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

from stages.core.nn import keras
from stages.core.project.errors import require


@dataclass(frozen=True)
class Config:
    """Parameters of the constant schedule.

    Attributes
    ----------
    frequency : int
        Choose the masks anew before every so many steps; in between, a masked weight stays masked.
    """

    frequency: int = 1

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.frequency >= 1, "prune.options.constant.frequency", "be at least 1 step", self.frequency)


def sparsity_at(config: Config, target: float, n_steps: int, _n_units: int) -> Callable[[int], tuple[bool, float]]:
    """Return the schedule as the contract of this folder has it."""
    keras.load()  # before tfmot does, which then takes the same
    import tensorflow_model_optimization as tfmot

    schedule = tfmot.sparsity.keras.ConstantSparsity(target, begin_step=0, frequency=config.frequency)

    def at(step: int) -> tuple[bool, float]:
        due, sparsity = schedule(step)
        return bool(due) or step == n_steps, float(sparsity)

    return at
