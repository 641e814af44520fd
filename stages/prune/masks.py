"""Masks of weights and units, and the pruners that renew them during fine-tuning.

With the magnitude criterion, masks are those of TensorFlow Model Optimization's wrapper, the oracle in the tests: a
kernel of n weights keeps the `max(round(n (1 - sparsity)), 1)` most important. A masked weight takes the optimizer's
step before the masks are renewed, so that it can return. Three things differ from the wrapper. The threshold is found
by partition, in linear time, where the wrapper sorts. Ties are broken, where the wrapper keeps them all and misses the
sparsity. And a masked weight is +0.0, where the wrapper's product keeps the sign, which costs the deflated file a
random bit per weight.

The mask of a unit covers every weight that leads into it, so that its output is exactly 0; `stages.prune.shrink` then
removes it from the network.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from stages.core.nn.keras import tf
from stages.core.training import optimizer
from stages.core.training.loop import Hooks
from stages.prune.importance import most_important
from stages.prune.prunables import Kernel, Prunable

Schedule = Callable[[int], tuple[bool, float]]
"""Step, from 1, to whether the masks are renewed before it and the sparsity to renew them to."""


@dataclass(frozen=True)
class Criterion:
    """A plug-in of `stages/prune/criteria/` and its parameters."""

    module: ModuleType
    config: Any


@dataclass(frozen=True)
class KeepRule:
    """Number of weights or units that a renewal of the masks keeps.

    Attributes
    ----------
    scope : {"layer", "global"}
        Scope of the sparsity: each kernel (or layer's units) by itself, or all together.
    min_kept : int
        Number kept of each in any case.
    round_up_to : int
        Multiple to which the number kept of each is rounded up.
    """

    scope: str = "layer"
    min_kept: int = 1
    round_up_to: int = 1


class Masks:
    """One boolean variable per masked weight variable, True where a weight is kept.

    Attributes
    ----------
    prunables : list of Kernel or Units
    variables : list of tf.Variable, bool
        The masks; all True at first.
    """

    def __init__(self, prunables: Sequence[Prunable]) -> None:
        self.prunables = list(prunables)
        masked = {v.ref(): v for p in self.prunables for v, _ in p.spread(np.ones(p.size, bool))}
        self._mask_of = {r: tf.Variable(tf.ones(v.shape, tf.bool), trainable=False) for r, v in masked.items()}
        self.variables = list(self._mask_of.values())
        large = [v for v in masked.values() if v.shape.num_elements() >= optimizer.LARGE]
        small = [v for v in masked.values() if v.shape.num_elements() < optimizer.LARGE]
        self._apply = [
            tf.function(partial(self._mask, variables), jit_compile=variables is large, autograph=False)
            for variables in (large, small)
            if variables
        ]

    def of(self, variable: "tf.Variable") -> "tf.Variable | None":
        """Return the mask of a variable, None if it is not masked."""
        return self._mask_of.get(variable.ref())

    def assign(self, kept: Sequence[np.ndarray]) -> None:
        """Set the masks, given one array of kept weights or units per prunable."""
        chosen: dict[Any, np.ndarray] = {}
        for prunable, each in zip(self.prunables, kept, strict=True):
            for variable, mask in prunable.spread(each):
                earlier = chosen.get(variable.ref())
                chosen[variable.ref()] = mask if earlier is None else earlier & mask
        for ref, stored in self._mask_of.items():
            stored.assign(np.broadcast_to(chosen[ref], stored.shape))

    def apply(self) -> None:
        """Write +0.0 where the masks are False."""
        for apply in self._apply:
            apply()

    def values(self) -> dict[Any, np.ndarray]:
        """Return the current values of the prunable kernels, by reference."""
        return {p.variables[0].ref(): p.variables[0].numpy() for p in self.prunables if isinstance(p, Kernel)}

    def release(self, values: Mapping[Any, np.ndarray]) -> None:
        """Unmask everything; masked weights take their earlier `values`."""
        for ref, mask in self._mask_of.items():
            variable = ref.deref()
            variable.assign(np.where(mask.numpy(), variable.numpy(), values[ref]))
            mask.assign(np.ones(mask.shape, bool))

    def _mask(self, variables: Sequence["tf.Variable"]) -> None:
        for variable in variables:
            variable.assign(tf.where(self._mask_of[variable.ref()], variable, 0.0))


class Pruner:
    """Renews masks by a schedule and a criterion, and masks every update of a weight.

    Parameters
    ----------
    masks : Masks
        Renewed at once if the schedule asks for it before the first step.
    criterion : Criterion
    schedule : callable
    n_steps : int
        Number of steps of the fine-tuning.
    keep : KeepRule
    seed : int
        Seed of the criterion's draws.

    Attributes
    ----------
    masks : Masks
    rewind : callable or None
        Called at each renewal to reset the network's weights. A round begins then: the optimizer and the schedule of
        the learning rate start again, and the latter ends with the round.
    state : list of tf.Variable
        State of a resumable run: the masks, the criterion's statistics, and a flag that leaves the next step unmasked.
    """

    def __init__(
        self,
        masks: Masks,
        criterion: Criterion,
        schedule: Schedule,
        n_steps: int,
        *,
        keep: KeepRule | None = None,
        seed: int = 0,
    ) -> None:
        self.masks, self._module, self._config = masks, criterion.module, criterion.config
        self._schedule, self._n_steps, self._keep, self._seed = schedule, n_steps, keep or KeepRule(), seed
        self._accumulate = getattr(self._module, "accumulate", None)
        learned = [v for p in masks.prunables for v in p.variables] if self._accumulate else []
        self._statistic_of = {v.ref(): tf.Variable(tf.zeros(v.shape), trainable=False) for v in learned}
        self._warm_up = min(self._config.warm_up, n_steps - 1) if self._accumulate else 0
        self._unmasked = tf.Variable(False, trainable=False)
        self.rewind: Callable[[], None] | None = None
        self.state = [*masks.variables, *self._statistic_of.values(), self._unmasked]

    def start(self) -> None:
        """Renew the masks if the schedule asks for it before the first step."""
        self.after_step(0)

    def hooks(self) -> Hooks:
        """Return the hooks of the training loop."""
        return Hooks(self.update, self.after_step, self.state, self.first_round())

    def first_round(self) -> int:
        """Return the number of steps before the second renewal of the masks; 0 without rewinding."""
        return self._round_from(1) if self.rewind is not None else 0

    def update(self, variable: "tf.Variable", gradient: "tf.Tensor", apply_update: Callable[[], None]) -> None:
        """Update a variable and mask it, unless the masks are about to be renewed."""
        statistic = self._statistic_of.get(variable.ref())
        if statistic is not None and self._accumulate:
            statistic.assign(self._accumulate(self._config, statistic.value(), variable.value(), gradient))
        apply_update()
        mask = self.masks.of(variable)
        if mask is not None:
            variable.assign(tf.where(mask | self._unmasked, variable, 0.0))

    def after_step(self, step: int) -> int:
        """Renew the masks if the schedule asks for it before the next step.

        Returns
        -------
        int
            Number of steps of the round that begins, if the weights were rewound; else 0.
        """
        due, sparsity = self._due(step + 1)
        if due:
            self._renew(sparsity)
        self._unmasked.assign(self._due(step + 2)[0])
        return self._round_from(step + 1) if due and self.rewind is not None else 0

    def release(self, values: Mapping[Any, np.ndarray]) -> None:
        """Unmask everything; masked weights take their earlier `values`."""
        self.masks.release(values)
        self._unmasked.assign(False)

    def _due(self, step: int) -> tuple[bool, float]:
        """Return the schedule's answer for a step; renewals within the warm-up are made up for at its end."""
        first = self._warm_up + 1
        if not first <= step <= self._n_steps:
            return False, 0.0
        due, sparsity = self._schedule(step)
        return due or (step == first and any(self._schedule(earlier)[0] for earlier in range(1, first))), sparsity

    def _round_from(self, step: int) -> int:
        """Return the number of steps from a step on until the masks are renewed again, or to the end."""
        later = (other - step for other in range(step + 1, self._n_steps + 1) if self._due(other)[0])
        return next(later, self._n_steps - step + 1)

    def _renew(self, sparsity: float) -> None:
        prunables, keep = self.masks.prunables, self._keep
        importances = [
            self._module.importance(
                self._config,
                prunable.gather([_view(v) for v in prunable.variables]),
                prunable.gather([_view(self._statistic_of[v.ref()]) for v in prunable.variables])
                if self._accumulate
                else None,
                np.random.default_rng((self._seed, 2, i)),
            ).ravel()
            for i, prunable in enumerate(prunables)
        ]
        scales = [prunable.sparsity_scale for prunable in prunables]
        self.masks.assign(
            most_important(
                importances,
                sparsity,
                keep.scope,
                min_kept=keep.min_kept,
                round_up_to=keep.round_up_to,
                scales=scales,
            )
        )
        if self.rewind is not None:
            self.rewind()
        self.masks.apply()


class WeightsFirst:
    """Prunes weights in the first steps, then units; the weights are unmasked in between.

    Parameters
    ----------
    weights, units : Pruner
    n_first : int
        Number of steps in which weights are pruned.
    """

    def __init__(self, weights: Pruner, units: Pruner, n_first: int) -> None:
        self._weights, self._units, self._n_first = weights, units, n_first
        self._given: dict[Any, np.ndarray] = {}
        self.state = [*weights.state, *units.state]

    def start(self) -> None:
        """Renew the masks if a schedule asks for it before the first step."""
        self._units.start()
        self._weights.start()
        self._given = self._weights.masks.values()

    def hooks(self) -> Hooks:
        """Return the hooks of the training loop."""
        return Hooks(self.update, self.after_step, self.state, self._units.first_round())

    def update(self, variable: "tf.Variable", gradient: "tf.Tensor", apply_update: Callable[[], None]) -> None:
        """Update a variable and mask it by both pruners."""
        self._units.update(variable, gradient, lambda: self._weights.update(variable, gradient, apply_update))

    def after_step(self, step: int) -> int:
        """Renew the masks of weights, later those of units; return what `Pruner.after_step` returns."""
        if step < self._n_first:
            self._weights.after_step(step)
        rewound = self._units.after_step(step)
        if step == self._n_first:
            self._weights.release(self._given)
            self._units.masks.apply()
        return rewound


def _view(variable: "tf.Variable") -> np.ndarray:
    return np.asarray(variable.value())  # its memory, where `numpy` copies
