"""Prune while fine-tuning: masks of single weights or of whole units, chosen by a schedule and applied in every step.

For magnitude the masks are those of TensorFlow Model Optimization's wrapper, whose schedules are used and which is the
oracle in the tests: a kernel of n weights keeps the `max(round(n (1 - sparsity)), 1)` most important. A masked weight
still takes the optimizer's step before a choice, so that the choice may bring it back. Three things differ. The
threshold is found by partition, in linear time, where the wrapper sorts; of equally important weights no more are kept
than asked for, where the wrapper keeps them all and misses the sparsity; and a masked weight is +0.0 where the
wrapper's product keeps the sign, which would cost the deflated file a random bit per weight.

The mask of a unit covers all that leads into it, so that its output is exactly 0; `stages.prune.shrink` then takes it
out of the network.
"""

import fnmatch
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core.artifacts.dataset import Split
from stages.core.nn import units as structure
from stages.core.project.errors import ModelError, ParameterError, require
from stages.core.project.params import known
from stages.core.training import loop, optimizer
from stages.core.training.distillation import Taught
from stages.prune.params import CRITERIA, SCHEDULES, PruneParams, sparsity_at

if TYPE_CHECKING:
    from stages.core.nn.keras import keras, tf

SAMPLE = 2**16  # of a kernel's weights, to find near which value its threshold lies


def finetune(
    model: "keras.Model",
    split: Split,
    params: PruneParams,
    *,
    schedule: str,
    sparsity: float,
    seed: int,
    criterion: str = "magnitude",
    taught: Taught | None = None,
    checkpoint: Path | None = None,
) -> list[dict[str, float]]:
    """Prune a copy of the baseline while it learns on, with a fresh optimizer; there is no early stopping.

    Call `stages.core.nn.keras.make_deterministic` first, once per process.

    Parameters
    ----------
    model : tf_keras.Model
        A fresh copy of the baseline (`stages.core.nn.network.load`). Changed.
    split : Split
        Training split.
    params : PruneParams
    schedule : str
        A file of `stages/prune/schedules/`.
    sparsity : float
        To end with: the fraction in [0, 1) of the prunable weights, or of the units, by the criterion's granularity.
    seed : int
    criterion : str
        A file of `stages/prune/criteria/`.
    taught : Taught or None
    checkpoint : Path or None
        Both as in `stages.core.training.loop.fit`.

    Returns
    -------
    list of dict
        One per epoch, keys `stages.core.training.loop.HISTORY_COLUMNS`.

    Raises
    ------
    ParameterError
        For a sparsity out of range, an unknown criterion or schedule, or a parameter one of them refuses.
    ModelError
        If units are to be pruned and the network has none that can be removed.
    """
    require(0 <= sparsity < 1, "sweep.sparsities", "be fractions in [0, 1)", sparsity, "Write 0.8 for 80 %.")
    n_steps = params.epochs * math.ceil(len(split) / params.batch_size)
    module, config = params.plug_in(CRITERIA, criterion)
    prunables = prunables_of(model, module.GRANULARITY, params.layers)
    n_units = sum(p.size for p in prunables) if module.GRANULARITY == "unit" else 0
    n_first, of_weights = getattr(module, "weights_first", _no_weights_first)(config, n_steps)
    masks = Masks(
        model,
        prunables,
        (module, config),
        _after(n_first, sparsity_at(params, schedule, target=sparsity, n_steps=n_steps - n_first, n_units=n_units)),
        n_steps,
        scope=params.scope,
        least=params.min_units if n_units else 1,
        multiple=params.unit_multiple if n_units else 1,
        seed=seed,
        rewind=getattr(params.plug_in(SCHEDULES, schedule)[1], "rewind", None),
    )
    acting: Masks | WeightsFirst = masks
    if n_first:
        magnitude = params.plug_in(CRITERIA, "magnitude")
        weights = Masks(model, prunables_of(model, "weight", params.layers), magnitude, of_weights, n_first)
        acting = WeightsFirst(weights, masks, n_first)
    return loop.fit(
        model,
        split,
        params,
        seed=seed,
        taught=taught,
        around_update=acting.around_update,
        after_step=acting.after_step,
        state=acting.state,
        checkpoint=checkpoint,
        description=f"{criterion} {schedule} {sparsity:g}",
    )


class Masks:
    """The masks of what is prunable in a model, kept up to date by a schedule.

    Parameters
    ----------
    model : tf_keras.Model
        Masked at once if the schedule asks for it before the first step, and in every step.
    prunables : Sequence of Kernel or Units
    criterion : (module, Config)
    at : callable
        Step, from 1, to whether to renew the masks before it and the sparsity to renew them to.
    n_steps : int
        How many steps there will be.
    scope : {"layer", "global"}
    least : int
        Weights of each kernel, or units of each layer, that are kept in any case.
    multiple : int
        Of which each keeps so many, rounded up.
    seed : int
    rewind : Path or None
        Weights that every renewal sets the model to.

    Attributes
    ----------
    masks : list of tf.Variable, bool
        True where a weight is kept.
    state : list of tf.Variable
        What must survive a kill: the masks, the criterion's statistics, and whether the step to come is free of masks.
    """

    def __init__(
        self,
        model: "keras.Model",
        prunables: "Sequence[Kernel | Units]",
        criterion: tuple[ModuleType, Any],
        at: Callable[[int], tuple[bool, float]],
        n_steps: int,
        *,
        scope: str = "layer",
        least: int = 1,
        multiple: int = 1,
        seed: int = 0,
        rewind: Path | None = None,
    ) -> None:
        from stages.core.nn.keras import tf

        self._model, self._prunables, self._rewind = model, list(prunables), rewind
        self._module, self._config = criterion
        self._at, self._n_steps = at, n_steps
        self._scope, self._least, self._multiple, self._seed = scope, least, multiple, seed

        masked = {v.ref(): v for p in self._prunables for v, _ in p.spread(np.ones(p.size, bool))}
        self._mask_of = {r: tf.Variable(tf.ones(v.shape, tf.bool), trainable=False) for r, v in masked.items()}
        self._accumulate = getattr(self._module, "accumulate", None)
        learned = [v for p in self._prunables for v in p.variables] if self._accumulate else []
        self._statistic_of = {v.ref(): tf.Variable(tf.zeros(v.shape), trainable=False) for v in learned}
        self._warm_up = min(self._config.warm_up, n_steps - 1) if self._accumulate else 0
        self._free = tf.Variable(False, trainable=False)
        self.masks = list(self._mask_of.values())
        self.state = [*self.masks, *self._statistic_of.values(), self._free]
        large = [v for v in masked.values() if v.shape.num_elements() >= optimizer.LARGE]
        small = [v for v in masked.values() if v.shape.num_elements() < optimizer.LARGE]
        self._apply = [
            tf.function(partial(self._mask, variables), jit_compile=variables is large)
            for variables in (large, small)
            if variables
        ]
        self.after_step(0)

    def around_update(self, variable: "tf.Variable", gradient: "tf.Tensor", update: Callable[[], None]) -> None:
        """Update a variable and mask it, unless the masks are to be chosen anew from what the step makes of it."""
        from stages.core.nn.keras import tf

        statistic = self._statistic_of.get(variable.ref())
        if statistic is not None and self._accumulate:
            statistic.assign(self._accumulate(self._config, statistic.value(), variable.value(), gradient))
        update()
        mask = self._mask_of.get(variable.ref())
        if mask is not None:
            variable.assign(tf.where(mask | self._free, variable, 0.0))

    def after_step(self, step: int) -> bool:
        """Choose the masks anew if the schedule asks for it before the next step; return whether that rewound."""
        due, sparsity = self._due(step + 1)
        if due:
            self._renew(sparsity)
        self._free.assign(self._due(step + 2)[0])
        return due and self._rewind is not None

    def values(self) -> dict[Any, np.ndarray]:
        """Return what is masked, as it is now, by reference."""
        return {p.variables[0].ref(): p.variables[0].numpy() for p in self._prunables if isinstance(p, Kernel)}

    def release(self, values: Mapping[Any, np.ndarray]) -> None:
        """Mask nothing any more; what was masked takes these values, of `values` at some time before."""
        for ref, mask in self._mask_of.items():
            variable = ref.deref()
            variable.assign(np.where(mask.numpy(), variable.numpy(), values[ref]))
            mask.assign(np.ones(mask.shape, bool))
        self._free.assign(False)

    def _due(self, step: int) -> tuple[bool, float]:
        """Return what the schedule asks for before a step; what falls into the warm-up is made up for at its end."""
        first = self._warm_up + 1
        if not first <= step <= self._n_steps:
            return False, 0.0
        due, sparsity = self._at(step)
        return due or (step == first and any(self._at(earlier)[0] for earlier in range(1, first))), sparsity

    def _renew(self, sparsity: float) -> None:
        importances = [
            self._module.importance(
                self._config,
                prunable.gather([_view(v) for v in prunable.variables]),
                prunable.gather([_view(self._statistic_of[v.ref()]) for v in prunable.variables])
                if self._accumulate
                else None,
                np.random.default_rng((self._seed, 2, i)),
            ).ravel()
            for i, prunable in enumerate(self._prunables)
        ]
        parts = [prunable.part for prunable in self._prunables]
        masks = most_important(
            importances, sparsity, self._scope, least=self._least, multiple=self._multiple, parts=parts
        )
        chosen: dict[Any, np.ndarray] = {}
        for prunable, kept in zip(self._prunables, masks, strict=True):
            for variable, mask in prunable.spread(kept):
                earlier = chosen.get(variable.ref())
                chosen[variable.ref()] = mask if earlier is None else earlier & mask
        for ref, mask in self._mask_of.items():
            mask.assign(np.broadcast_to(chosen[ref], mask.shape))
        if self._rewind is not None:
            from stages.core.nn.keras import load_weights

            load_weights(self._model, self._rewind)
        self.apply()

    def apply(self) -> None:
        """Write +0.0 where the masks say so."""
        for apply in self._apply:
            apply()

    def _mask(self, variables: Sequence["tf.Variable"]) -> None:
        from stages.core.nn.keras import tf

        for variable in variables:
            variable.assign(tf.where(self._mask_of[variable.ref()], variable, 0.0))


class WeightsFirst:
    """Masks of weights for the first steps, then masks of units; to be used as `Masks` is.

    Parameters
    ----------
    weights, units : Masks
    n_first : int
        Steps that the weights' masks last.
    """

    def __init__(self, weights: Masks, units: Masks, n_first: int) -> None:
        self._weights, self._units, self._n_first = weights, units, n_first
        self._given = weights.values()
        self.state = [*weights.state, *units.state]

    def around_update(self, variable: "tf.Variable", gradient: "tf.Tensor", update: Callable[[], None]) -> None:
        """Update a variable and mask it by both."""
        self._units.around_update(variable, gradient, lambda: self._weights.around_update(variable, gradient, update))

    def after_step(self, step: int) -> bool:
        """Choose the masks of weights anew, or those of units by what is left, and let the former go."""
        if step < self._n_first:
            self._weights.after_step(step)
        rewound = self._units.after_step(step)
        if step == self._n_first:
            self._weights.release(self._given)
            self._units.apply()
        return rewound


def _no_weights_first(_config: Any, _n_steps: int) -> tuple[int, Callable[[int], tuple[bool, float]]]:
    return 0, lambda _: (False, 0.0)


def _after(n: int, at: Callable[[int], tuple[bool, float]]) -> Callable[[int], tuple[bool, float]]:
    """Return a schedule that begins n steps later."""
    return lambda step: at(step - n) if step > n else (False, 0.0)


def _view(variable: "tf.Variable") -> np.ndarray:
    return np.asarray(variable.value())  # its memory, where `numpy` copies


class Kernel:
    """One kernel, whose weights are pruned singly.

    Attributes
    ----------
    name : str
        Of its layer.
    variables : tuple of one tf.Variable
    part : float
        Of the sparsity, that it takes.
    size : int
        How many weights.
    """

    def __init__(self, name: str, kernel: "tf.Variable", part: float = 1) -> None:
        self.name, self.variables, self.part = name, (kernel,), part
        self.size = int(kernel.shape.num_elements())

    def gather(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Return what a criterion judges, given an array per variable."""
        return arrays[0]

    def spread(self, kept: np.ndarray) -> Iterator[tuple["tf.Variable", np.ndarray]]:
        """Yield every variable and its mask, given which weights are kept."""
        yield self.variables[0], kept.reshape(self.variables[0].shape)


class Units:
    """The units of one layer, which are pruned whole.

    Attributes
    ----------
    name : str
        Of the layer.
    variables : tuple of tf.Variable
        The layer's own that lead into its units: kernels first, bias last.
    part : float
        Of the sparsity, that it takes.
    size : int
        How many units.
    """

    def __init__(self, group: structure.Group, layer: "keras.layers.Layer", part: float = 1) -> None:
        own = {weight.ref() for weight in layer.trainable_weights}
        self.name, self._group = group.name, group
        self._own = sorted((s for s in group.incoming if s.variable.ref() in own), key=lambda s: -len(s.variable.shape))
        self.variables, self.part = tuple(share.variable for share in self._own), part
        self.size = group.n_units

    def gather(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Return a row per unit, given an array per variable."""
        rows = []
        for share, array in zip(self._own, arrays, strict=True):
            by_unit = np.moveaxis(array, share.axis, 0)[np.argsort(share.units, kind="stable")]
            rows.append(by_unit.reshape(self.size, -1))
        return np.concatenate(rows, axis=1)

    def spread(self, kept: np.ndarray) -> Iterator[tuple["tf.Variable", np.ndarray]]:
        """Yield every variable that leads into a unit and its mask, given which units are kept."""
        for share in self._group.incoming:
            along = np.where(share.units == structure.FIXED, True, kept[share.units])
            yield (
                share.variable,
                along.reshape([-1 if i == share.axis else 1 for i in range(len(share.variable.shape))]),
            )


def prunables_of(
    model: "keras.Model", granularity: str, layers: Mapping[str, float] | None = None
) -> list[Kernel | Units]:
    """Return what a criterion of a granularity chooses from.

    Parameters
    ----------
    model : tf_keras.Model
    granularity : {"weight", "unit"}
    layers : Mapping or None
        As `PruneParams.layers`; what takes no part of the sparsity is left out.

    Raises
    ------
    ModelError
        If there is nothing.
    ParameterError
        If a pattern fits no layer's name.
    """
    layers, kernels = layers or {}, list(prunable_kernels(model))
    names = list(dict.fromkeys(name for name, _ in kernels))
    for pattern in layers:
        if not fnmatch.filter(names, pattern):
            raise ParameterError(
                f"prune.layers has {pattern!r}, but no such layer is prunable. {known(pattern, names)}"
            )

    def part(name: str) -> float:
        return next((part for pattern, part in layers.items() if fnmatch.fnmatchcase(name, pattern)), 1)

    found: list[Kernel | Units]
    if granularity == "unit":
        found = [Units(g, model.get_layer(g.name), part(g.name)) for g in structure.unit_groups(model) if part(g.name)]
    else:
        found = [Kernel(name, kernel, part(name)) for name, kernel in kernels if part(name)]
    if not found:
        raise ModelError(f"The network has nothing to prune by {granularity}. Take another criterion or architecture.")
    return found


def most_important(
    importances: Sequence[np.ndarray],
    sparsity: float,
    scope: str = "layer",
    *,
    least: int = 1,
    multiple: int = 1,
    parts: Sequence[float] | None = None,
) -> list[np.ndarray]:
    """Return the masks that keep the most important.

    Parameters
    ----------
    importances : Sequence of np.ndarray, each of shape (n,)
        One per kernel or layer.
    sparsity : float
        Fraction in [0, 1) to mask: of each of them, or of all together.
    scope : {"layer", "global"}
    least : int
        To be kept of each in any case.
    multiple : int
        To which the number kept of each is rounded up.
    parts : Sequence[float] or None
        Of the sparsity that each takes, by layer.

    Returns
    -------
    list of np.ndarray, bool
        Same shapes; of equals those that come first are kept.
    """
    if scope == "layer":
        each = [_n_kept(i.size, sparsity * part) for i, part in zip(importances, parts or repeat(1), strict=False)]
        return [_largest(i, _up(max(n, least), multiple)) for i, n in zip(importances, each, strict=True)]
    together = np.concatenate(importances).astype(np.float32, copy=False)
    bounds = np.cumsum([importance.size for importance in importances])[:-1]
    for part, importance in zip(np.split(together, bounds), importances, strict=True):
        part[_largest(importance, least)] = np.inf
    masks = np.split(_largest(together, max(_n_kept(together.size, sparsity), least * len(importances))), bounds)
    if multiple == 1:
        return masks
    return [_largest(i, _up(int(mask.sum()), multiple)) for i, mask in zip(importances, masks, strict=True)]


def _up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _n_kept(size: int, sparsity: float) -> int:
    return max(int(np.round(np.float32(size) * (1 - np.float32(sparsity)))), 1)  # in float32, as tfmot rounds


def _largest(values: np.ndarray, n: int) -> np.ndarray:
    """Return where the n largest of (size,) values are, by the partition of the few near the threshold.

    A sample tells which those are (Floyd, Rivest, "Expected time bounds for selection", Communications of the ACM
    18(3), 1975, section 2); where it is not like the rest, all are partitioned.
    """
    n = min(n, values.size)
    low, high = _bracket(values, n)
    mask = values > high
    near = np.flatnonzero((values < low) == mask)
    missing = n - np.count_nonzero(mask)
    if not 0 < missing <= near.size:
        near, missing, mask = np.arange(values.size), np.intp(n), np.zeros(values.size, bool)
    candidates = values[near]
    threshold = np.partition(candidates, near.size - missing)[near.size - missing]
    mask[near[candidates > threshold]] = True
    mask[near[candidates == threshold][: n - np.count_nonzero(mask)]] = True
    return mask


def _bracket(values: np.ndarray, n: int) -> tuple[float, float]:
    """Return two bounds that the n-th largest is, all but surely, between."""
    sample = values[:: values.size // SAMPLE | 1]  # odd, so that no row of a power of two is always left out
    share = n / values.size
    middle, spread = sample.size * (1 - share), 4 * math.sqrt(sample.size * share * (1 - share)) + 1
    first, last = int(middle - spread), int(middle + spread)
    if first < 0 or last >= sample.size:
        return -math.inf, math.inf
    ordered = np.partition(sample, [first, last])
    return ordered[first], ordered[last]


def prunable_kernels(model: "keras.Model") -> Iterator[tuple[str, "tf.Variable"]]:
    """Yield the name of the layer and the variable of every kernel that pruning acts on, in layer order.

    Those of tfmot's registry: dense layers, convolutions (of separable ones the pointwise kernel, of depthwise ones
    none), embeddings, and both kernels of recurrent cells. Another layer joins by a method `get_prunable_weights`.
    """
    from stages.core.nn.keras import keras

    layers = keras.layers
    attributes = {
        (layers.DepthwiseConv1D, layers.DepthwiseConv2D): (),
        (layers.SeparableConv1D, layers.SeparableConv2D): ("pointwise_kernel",),
        (layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.Dense): ("kernel",),
        (layers.Embedding,): ("embeddings",),
        (layers.LSTMCell, layers.GRUCell, layers.SimpleRNNCell): ("kernel", "recurrent_kernel"),
    }
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from prunable_kernels(layer)
        elif hasattr(layer, "get_prunable_weights"):
            yield from ((layer.name, weight) for weight in layer.get_prunable_weights())
        else:
            owner = getattr(layer, "cell", layer)
            names = next((names for classes, names in attributes.items() if isinstance(owner, classes)), ())
            yield from ((layer.name, getattr(owner, name)) for name in names)


def layer_report(model: "keras.Model") -> list[dict[str, Any]]:
    """Return one row per prunable kernel: `layer`, `n_weights`, `n_zeros`, `sparsity`."""
    rows = []
    for name, kernel in prunable_kernels(model):
        values = kernel.numpy()
        n_zeros = values.size - int(np.count_nonzero(values))
        rows.append({"layer": name, "n_weights": values.size, "n_zeros": n_zeros, "sparsity": n_zeros / values.size})
    return rows


def measured_sparsity(model: "keras.Model") -> float:
    """Return the fraction of zeros among all prunable weights."""
    rows = layer_report(model)
    return sum(row["n_zeros"] for row in rows) / sum(row["n_weights"] for row in rows)
