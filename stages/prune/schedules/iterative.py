"""Prune, train, prune more, in rounds of equal length; with rewinding, from the same weights in every round.

In every round the same fraction of what is left goes, or `removals_per_round` units.

References
----------
Frankle and Carbin, "The Lottery Ticket Hypothesis", ICLR 2019, section 2, and, for rewinding to the weights of an early
epoch, Frankle et al., "Stabilizing the Lottery Ticket Hypothesis", arXiv:1903.01611 (2019).
Mohaimenuzzaman et al., "Environmental Sound Classification on the Edge", Pattern Recognition 133 (2023), section 4: one
unit per round.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stages.core.project.errors import require


@dataclass(frozen=True)
class Config:
    """Parameters of the iterative schedule.

    Attributes
    ----------
    rounds : int
        With fewer steps than rounds, several fall on one step.
    removals_per_round : int
        With a criterion of units: as many rounds as it takes to remove this many in each. 0 goes by `rounds`.
    rewind : Path or None
        A baseline's `weights.npz`, say of the same training after one epoch. If given, every round is a training of its
        own: from these weights, masked, with a new optimizer and the whole schedule of the learning rate.
    """

    rounds: int = 5
    removals_per_round: int = 0
    rewind: Path | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "prune.options.iterative"
        require(self.rounds >= 1, f"{owner}.rounds", "be at least 1", self.rounds)
        require(self.removals_per_round >= 0, f"{owner}.removals_per_round", "be 0 or more", self.removals_per_round)


def sparsity_at(config: Config, target: float, n_steps: int, n_units: int) -> Callable[[int], tuple[bool, float]]:
    """Return the schedule as the contract of this folder has it.

    Examples
    --------
    >>> at = sparsity_at(Config(rounds=2), 0.75, 10, 0)
    >>> [(step, at(step)[1]) for step in range(1, 11) if at(step)[0]]
    [(1, 0.5), (6, 0.75)]
    """
    if config.removals_per_round and n_units:
        removals = round(target * n_units)
        rounds = max(math.ceil(removals / config.removals_per_round), 1)
    else:
        rounds = config.rounds

    def started(step: int) -> int:
        """Return how many rounds have started before a step: the first before step 1, all before the last."""
        return min(math.ceil(step * rounds / n_steps), rounds)

    def at(step: int) -> tuple[bool, float]:
        n = started(step)
        if n == rounds:
            sparsity = target
        elif config.removals_per_round and n_units:
            sparsity = n * config.removals_per_round / n_units
        else:
            sparsity = 1 - (1 - target) ** (n / rounds)
        return n > started(step - 1), sparsity

    return at
