"""The full sparsity from the first step on.

References
----------
EDAC, arXiv:2309.05357 (2023), section 4: `ConstantSparsity` of TensorFlow Model Optimization, frequency 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

from stages.core.project.errors import require


@dataclass(frozen=True)
class Config:
    """Parameters of the constant schedule.

    Attributes
    ----------
    frequency : int
        Number of steps between renewals of the masks, from the first step on; in between, a masked weight stays masked.
        The masks are renewed before the last step too.
    """

    frequency: int = 1

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.frequency >= 1, "prune.options.constant.frequency", "be at least 1 step", self.frequency)


def sparsity_at(config: Config, target: float, n_steps: int, _n_units: int) -> Callable[[int], tuple[bool, float]]:
    """Return the schedule as the contract of this folder has it.

    Examples
    --------
    >>> at = sparsity_at(Config(frequency=3), 0.5, 8, 0)
    >>> [step for step in range(1, 9) if at(step)[0]]
    [1, 4, 7, 8]
    """
    return lambda step: ((step - 1) % config.frequency == 0 or step == n_steps, target)
