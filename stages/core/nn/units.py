"""The units of a network - filters, neurons, LSTM cells -, where each of their weights lies, and networks without some.

Every unit has a number. `walk` carries the numbers along the layers: the last axis of each tensor has one per position,
so that after a flattening each filter's number stands once per place, and a depthwise convolution or a normalisation
passes the numbers on. What a layer of unknown kind reads is not removable, and the reason is kept.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from stages.core.nn import channels
from stages.core.nn.keras import keras, tf
from stages.core.project.errors import ModelError

Role = Literal["incoming", "outgoing", "statistics"]

FIXED = -1  # the number of a position that belongs to no removable unit


@dataclass(frozen=True)
class Share:
    """Part of a variable that belongs to the units of a group.

    Attributes
    ----------
    variable : tf.Variable
    axis : int
        From 0.
    units : np.ndarray, shape (variable.shape[axis],), int
        The unit, from 0, that each position along the axis belongs to; -1 for none of the group's.
    """

    variable: "tf.Variable"
    axis: int
    units: np.ndarray


@dataclass(frozen=True)
class Group:
    """The units of one layer, which can be removed singly.

    Attributes
    ----------
    name : str
        Name of the layer.
    n_units : int
    incoming : tuple[Share, ...]
        All that must be zero for a unit's output to be exactly 0 wherever a weight reads it: the kernel's columns (the
        kernel comes first), the bias, and the scale, offset and depthwise kernels that follow.
    outgoing : tuple[Share, ...]
        The rows of the kernels that read it.
    statistics : tuple[Share, ...]
        Moving means and variances: they go with the unit and need no mask.
    """

    name: str
    n_units: int
    incoming: tuple[Share, ...]
    outgoing: tuple[Share, ...]
    statistics: tuple[Share, ...]


@dataclass
class Step:
    """One layer at work: the numbers of the units on the last axis of what it reads and writes.

    `source` and `target` name tensors; `sources` is every tensor read.
    """

    layer: "keras.layers.Layer"
    kind: str
    sources: tuple[int, ...]
    target: int
    ids_in: tuple[np.ndarray, ...]
    ids: np.ndarray = field(default_factory=lambda: np.zeros(0, int))


class Walk:
    """A network's layers in the order of their work, and the units found on the way.

    Parameters
    ----------
    model : tf_keras.Model
        Functional or sequential, built.

    Attributes
    ----------
    steps : list of Step
    obstacles : dict[str, str]
        Layer whose units cannot be removed, to the reason.
    outputs : set of int
        The tensors that leave the network.
    """

    def __init__(self, model: "keras.Model") -> None:
        self.model = model
        self.steps: list[Step] = []
        self.obstacles: dict[str, str] = {}
        self._starts: dict[str, tuple[int, int]] = {}  # layer to its first unit's number and how many it has
        self._shares: list[tuple[Role, tf.Variable, int, np.ndarray]] = []
        self.outputs = {id(t) for t in _list(model.outputs)}
        nodes = [n for depth in sorted(model._nodes_by_depth, reverse=True) for n in model._nodes_by_depth[depth]]
        ids: dict[int, np.ndarray] = {}
        uses = Counter(id(node.layer) for node in nodes)
        for node in nodes:
            layer = node.layer
            sources = tuple(id(t) for t in _list(node.keras_inputs))
            outputs = _list(node.outputs)
            kind = channels.kind_of(layer)
            if uses[id(layer)] > 1 or len(outputs) > 1 or (len(sources) > 1 and kind != "concatenation"):
                kind = "unknown"
            step = Step(layer, kind, sources, id(outputs[0]), tuple(ids[s] for s in sources))
            step.ids = self._follow(step, tuple(outputs[0].shape[1:]), tuple(_list(node.input_shapes)[0][1:]))
            for tensor in outputs:
                ids[id(tensor)] = step.ids
            if self.outputs & {id(t) for t in outputs}:
                self._fix(step.ids, "they are the network's output")
            self.steps.append(step)

    def groups(self) -> list[Group]:
        """Return the groups of removable units, in the order of their layers."""
        found = []
        for name, (start, n) in self._starts.items():
            if name in self.obstacles:
                continue
            shares: dict[str, list[Share]] = {"incoming": [], "outgoing": [], "statistics": []}
            for role, variable, axis, ids in self._shares:
                mine = (ids >= start) & (ids < start + n)
                if mine.any():
                    shares[role].append(Share(variable, axis, np.where(mine, ids - start, FIXED)))
            found.append(Group(name, n, *(tuple(shares[r]) for r in ("incoming", "outgoing", "statistics"))))
        return found

    @property
    def n_units(self) -> int:
        """How many units there are, removable or not."""
        return sum(n for _, n in self._starts.values())

    def numbers(self, kept: Mapping[str, Sequence[int]]) -> np.ndarray:
        """Return which unit numbers are kept: bool, one per unit of the network; layers not named are whole.

        Raises
        ------
        ModelError
            If a layer has no removable units, or not those.
        """
        whole = np.ones(self.n_units + 1, bool)  # the last is FIXED's
        for name, units in kept.items():
            if name not in self._starts or name in self.obstacles:
                raise ModelError(f"Layer {name!r} has no removable units: {self.obstacles.get(name, 'it makes none')}.")
            start, n = self._starts[name]
            chosen = np.asarray(units, int)
            if not chosen.size or chosen.min() < 0 or chosen.max() >= n or (np.diff(chosen) <= 0).any():
                raise ModelError(f"The kept units of {name!r} must rise within 0 and {n - 1}, at least one of them.")
            whole[start : start + n] = False
            whole[start + chosen] = True
        return whole

    def start(self, name: str) -> int:
        """Return the number of a layer's first unit."""
        return self._starts[name][0]

    def shares(self) -> list[tuple[Role, "tf.Variable", int, np.ndarray]]:
        """Return role, variable, axis and the units' numbers along it, of everything that belongs to units."""
        return self._shares

    def _follow(self, step: Step, shape: tuple[int, ...], shape_in: tuple[int, ...]) -> np.ndarray:
        """Return the numbers on the output's last axis, and note whose weights these are."""
        layer, kind = step.layer, step.kind
        if kind == "input":
            return np.full(shape[-1] if shape else 1, FIXED)
        ids = step.ids_in[0]
        if kind == "convolution" or kind == "dense":
            self._share("outgoing", layer.kernel, -2, ids)
            made = self._make(layer, layer.kernel, getattr(layer, "bias", None), 1)
            if not channels.is_elementwise(layer):
                self._fix(made, f"{layer.name} ends in {channels.activation_of(layer)}")
            return made
        if kind == "lstm":
            cell = layer.cell
            self._share("outgoing", cell.kernel, 0, ids)
            made = self._make(layer, cell.kernel, cell.bias, 4)
            self._share("incoming", cell.recurrent_kernel, 1, np.tile(made, 4))
            self._share("outgoing", cell.recurrent_kernel, 0, made)
            return made
        if kind == "attention":
            self._share("outgoing", layer.kernel, 0, ids)
            return ids
        if kind == "depthwise":
            self._share("incoming", layer.depthwise_kernel, -2, ids)
            made = np.repeat(ids, layer.depth_multiplier)
            self._share("incoming", layer.bias, 0, made)
            return made
        if kind == "normalisation":
            for variable in (layer.gamma, layer.beta):
                self._share("incoming", variable, 0, ids)
            for variable in (layer.moving_mean, layer.moving_variance):
                self._share("statistics", variable, 0, ids)
            return ids
        if kind == "rearrangement":
            moved = channels.rearranged(layer, ids, shape_in, shape)
            if moved is not None:
                return moved
        elif kind == "concatenation":
            return np.concatenate(step.ids_in)
        elif kind in ("elementwise", "pooling", "padding"):
            return ids
        for read in step.ids_in:
            self._fix(read, f"{layer.name} ({type(layer).__name__}) reads them, which is not understood")
        return np.full(shape[-1] if shape else 1, FIXED)

    def _make(self, layer: "keras.layers.Layer", kernel: "tf.Variable", bias: Any, n_gates: int) -> np.ndarray:
        n = kernel.shape[-1] // n_gates
        start = self.n_units
        self._starts[layer.name] = (start, n)
        made = np.arange(start, start + n)
        self._share("incoming", kernel, -1, np.tile(made, n_gates))
        self._share("incoming", bias, 0, np.tile(made, n_gates))
        return made

    def _share(self, role: Role, variable: Any, axis: int, ids: np.ndarray) -> None:
        if variable is not None and (ids != FIXED).any():
            self._shares.append((role, variable, axis % len(variable.shape), ids))

    def _fix(self, ids: np.ndarray, reason: str) -> None:
        for name, (start, n) in self._starts.items():
            if ((ids >= start) & (ids < start + n)).any():
                self.obstacles.setdefault(name, reason)


def unit_groups(model: "keras.Model") -> list[Group]:
    """Return the groups of units that can be removed from a network, in the order of its layers.

    Parameters
    ----------
    model : tf_keras.Model
        Functional or sequential, built. Not changed; the shares hold its variables.
    """
    return Walk(model).groups()


def obstacles(model: "keras.Model") -> dict[str, str]:
    """Return the layers whose units cannot be removed, and why: the output, and what an unknown layer reads."""
    return Walk(model).obstacles


def keep(
    model: "keras.Model", kept: Mapping[str, Sequence[int]], *, weights: Sequence[np.ndarray] | None = None
) -> "keras.Model":
    """Return a network without the units that are not kept, with the weights of the others.

    Parameters
    ----------
    model : tf_keras.Model
        Not changed.
    kept : Mapping
        Layer to its kept units, rising from 0; layers not named are whole.
    weights : Sequence of np.ndarray or None
        To take instead of the model's own, in the order of `model.get_weights()`.

    Returns
    -------
    tf_keras.Model
        Uncompiled, with layers of the same names.

    Raises
    ------
    ModelError
        If a layer has no removable units, or not those.
    """
    walk = Walk(model)
    whole = walk.numbers(kept)
    steps = {step.layer.name: step for step in walk.steps}

    def copy(layer: "keras.layers.Layer") -> "keras.layers.Layer":
        config, step = layer.get_config(), steps[layer.name]
        width = int(whole[step.ids].sum())
        if step.kind == "convolution":
            config["filters"] = width
        elif step.kind in ("dense", "lstm"):
            config["units"] = width
        elif type(layer).__name__ == "Reshape":
            config["target_shape"] = (*layer.output_shape[1:-1], width)
        return type(layer).from_config(config)

    smaller = keras.models.clone_model(model, clone_function=copy)
    selections: dict[int, list[tuple[int, np.ndarray]]] = {}
    for _, variable, axis, ids in walk.shares():
        selections.setdefault(id(variable), []).append((axis, np.flatnonzero(whole[ids])))
    chosen = []
    for variable, values in zip(model.weights, weights or model.get_weights(), strict=True):
        for axis, positions in selections.get(id(variable), []):
            values = np.take(values, positions, axis)
        chosen.append(values)
    smaller.set_weights(chosen)
    return smaller


def _list(values: Any) -> list[Any]:
    if isinstance(values, dict):
        return list(values.values())
    return list(values) if isinstance(values, list) else [values]
