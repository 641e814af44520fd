"""Prunable parts of a network: kernels, weight by weight, and units of layers."""

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stages.core.nn import units as structure
from stages.core.nn.keras import keras, tf
from stages.core.project.errors import ModelError, ParameterError
from stages.core.project.params import known


class Kernel:
    """A kernel whose weights are pruned singly.

    Attributes
    ----------
    name : str
        Name of its layer.
    variables : tuple of one tf.Variable
    sparsity_scale : float
        Multiplier on the target sparsity.
    size : int
        Number of weights.
    """

    def __init__(self, name: str, kernel: "tf.Variable", sparsity_scale: float = 1) -> None:
        self.name, self.variables, self.sparsity_scale = name, (kernel,), sparsity_scale
        self.size = int(kernel.shape.num_elements())

    def gather(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Return the array that a criterion ranks, given an array per variable."""
        return arrays[0]

    def spread(self, kept: np.ndarray) -> Iterator[tuple["tf.Variable", np.ndarray]]:
        """Yield each variable and its mask, given the mask of the weights."""
        yield self.variables[0], kept.reshape(self.variables[0].shape)


class Units:
    """The units of one layer, which are pruned whole.

    Attributes
    ----------
    name : str
        Name of the layer.
    variables : tuple of tf.Variable
        The layer's own variables that lead into its units: kernels first, bias last.
    sparsity_scale : float
        Multiplier on the target sparsity.
    size : int
        Number of units.
    """

    def __init__(self, group: structure.Group, layer: "keras.layers.Layer", sparsity_scale: float = 1) -> None:
        own = {weight.ref() for weight in layer.trainable_weights}
        self.name, self._group = group.name, group
        self._own = sorted((s for s in group.incoming if s.variable.ref() in own), key=lambda s: -len(s.variable.shape))
        self.variables, self.sparsity_scale = tuple(share.variable for share in self._own), sparsity_scale
        self.size = group.n_units

    def gather(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Return a row per unit, given an array per variable."""
        rows = []
        for share, array in zip(self._own, arrays, strict=True):
            by_unit = np.moveaxis(array, share.axis, 0)[np.argsort(share.units, kind="stable")]
            rows.append(by_unit.reshape(self.size, -1))
        return np.concatenate(rows, axis=1)

    def spread(self, kept: np.ndarray) -> Iterator[tuple["tf.Variable", np.ndarray]]:
        """Yield each variable that leads into a unit and its mask, given the mask of the units."""
        for share in self._group.incoming:
            along = np.where(share.units == structure.FIXED, True, kept[share.units])
            yield (
                share.variable,
                along.reshape([-1 if i == share.axis else 1 for i in range(len(share.variable.shape))]),
            )


Prunable = Kernel | Units


@dataclass(frozen=True)
class KernelSparsity:
    """Zeros of one prunable kernel.

    Attributes
    ----------
    layer : str
    n_weights, n_zeros : int
    """

    layer: str
    n_weights: int
    n_zeros: int

    @property
    def sparsity(self) -> float:
        """Fraction of zeros."""
        return self.n_zeros / self.n_weights


def prunables_of(model: "keras.Model", granularity: str, layers: Mapping[str, float] | None = None) -> list[Prunable]:
    """Return the kernels or the layers' units that a criterion ranks.

    Parameters
    ----------
    model : tf_keras.Model
    granularity : {"weight", "unit"}
    layers : Mapping or None
        Layer-name globs to a multiplier on the target sparsity (`PruneParams.layers`); layers with 0 are left out.

    Raises
    ------
    ModelError
        If there is nothing to prune.
    ParameterError
        If a pattern matches no layer.
    """
    layers, kernels = layers or {}, list(prunable_kernels(model))
    names = list(dict.fromkeys(name for name, _ in kernels))
    for pattern in layers:
        if not fnmatch.filter(names, pattern):
            raise ParameterError(
                f"prune.layers has {pattern!r}, but no such layer is prunable. {known(pattern, names)}"
            )

    def scale(name: str) -> float:
        return next((scale for pattern, scale in layers.items() if fnmatch.fnmatchcase(name, pattern)), 1)

    found: list[Prunable]
    if granularity == "unit":
        groups = [group for group in structure.unit_groups(model) if scale(group.name)]
        found = [Units(group, model.get_layer(group.name), scale(group.name)) for group in groups]
    else:
        found = [Kernel(name, kernel, scale(name)) for name, kernel in kernels if scale(name)]
    if not found:
        raise ModelError(f"The network has nothing to prune by {granularity}. Take another criterion or architecture.")
    return found


def prunable_kernels(model: "keras.Model") -> Iterator[tuple[str, "tf.Variable"]]:
    """Yield the layer's name and the variable of every prunable kernel, in layer order.

    Those are the kernels of tfmot's registry: dense layers, convolutions (the pointwise kernel of separable ones, none
    of depthwise ones), embeddings, and both kernels of recurrent cells. A layer with a method `get_prunable_weights`
    names its own.
    """
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


def layer_report(model: "keras.Model") -> list[KernelSparsity]:
    """Count the zeros of every prunable kernel, in layer order."""
    arrays = [(name, kernel.numpy()) for name, kernel in prunable_kernels(model)]
    return [KernelSparsity(name, values.size, int(np.count_nonzero(values == 0))) for name, values in arrays]


def measured_sparsity(model: "keras.Model") -> float:
    """Return the fraction of zeros among all prunable weights."""
    rows = layer_report(model)
    return sum(row.n_zeros for row in rows) / sum(row.n_weights for row in rows)
