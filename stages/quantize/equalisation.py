"""Cross-layer equalisation: scale the channels between two layers so that few bits serve all of them alike.

Where the function between two layers is positively homogeneous (ReLU, pooling, none), the filter that makes a channel
can be multiplied by a number and the weights that read the channel divided by it: the network computes the same.

- `weights`: the number makes the largest weights on both sides equal (Nagel et al., "Data-Free Quantization Through
  Weight Equalization and Bias Correction", ICCV 2019, section 4.1).
- `activations`: the number balances the channel's largest value on calibration clips against the largest weight that
  reads it (Xiao et al., "SmoothQuant", ICML 2023). Scales are per filter, so that the filter itself loses nothing.

The number is rounded to a power of two, by which floating-point arithmetic scales without an error: the scores of the
float32 file stay the same to the bit.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from stages.core.litert import flatbuffer, operators
from stages.quantize.weight_layers import Values

METHODS = ("none", "weights", "activations")
ACTIVATIONS_SHARE = 0.25
"""Share of a channel's spread that stays with its activations where these are measured; the weights get the rest. 0.5
does about as well (docs/four_bits.md)."""
SWEEPS = 30
"""Times that all channels are visited; a layer between two others is scaled on both sides."""
LARGEST_EXPONENT = 20
_MAKERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_HOMOGENEOUS = (schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU)
_OTHER = -1  # in place of a channel: not one of the maker's


@dataclass(frozen=True)
class Reader:
    """Weights that read channels.

    Attributes
    ----------
    kernel : str
        Name of the weights' tensor.
    axis : int
        Axis of the weights that runs over what they read.
    channels : np.ndarray, int
        Channel at each place of that axis; -1 for one of another layer.
    """

    kernel: str
    axis: int
    channels: np.ndarray


@dataclass(frozen=True)
class Pair:
    """A layer and all that reads its channels.

    Attributes
    ----------
    kernel : str
        Name of the weights that make the channels.
    bias : str or None
        Name of their bias; None if there is none, or if it is zero.
    axis : int
        Axis of the weights that runs over the channels.
    output : str
        Name of the tensor with the channels on its last axis.
    readers : tuple[Reader, ...]
    """

    kernel: str
    bias: str | None
    axis: int
    output: str
    readers: tuple[Reader, ...]


def equalise(float32: bytes, clips: np.ndarray | None = None) -> bytes:
    """Return a float32 file with other weights that computes the same, to the bit.

    Parameters
    ----------
    float32 : bytes
    clips : np.ndarray, shape (n, ...), float32, or None
        Calibration clips, on which activations are measured; without them, the weights on both sides are made equal.

    Returns
    -------
    bytes
        The very same bytes if no two layers follow each other so.
    """
    pairs = find(float32)
    if not pairs:
        return float32
    constants = flatbuffer.float_constants(float32)
    activations = [None if clips is None else _largest_activations(float32, pair, clips) for pair in pairs]
    kernels = {name for pair in pairs for name in (pair.kernel, *(reader.kernel for reader in pair.readers))}
    magnitudes = {name: np.abs(constants[name]).astype(np.float64) for name in kernels}
    exponents = [np.zeros(magnitudes[pair.kernel].shape[pair.axis]) for pair in pairs]
    for _ in range(SWEEPS):
        largest_step = 0.0
        for pair, exponent, active in zip(pairs, exponents, activations, strict=True):
            made = _largest(magnitudes[pair.kernel], pair.axis) if active is None else active * np.exp2(exponent)
            step = _step(pair, magnitudes, made, 0.5 if active is None else ACTIVATIONS_SHARE)
            _scale(pair, magnitudes, np.exp2(step))
            exponent += step
            largest_step = max(largest_step, float(np.abs(step).max()))
        if largest_step < 0.01:
            break
    for pair, exponent in zip(pairs, exponents, strict=True):
        factors = np.exp2(np.clip(np.rint(exponent), -LARGEST_EXPONENT, LARGEST_EXPONENT)).astype(np.float32)
        _scale(pair, constants, factors)
        if pair.bias is not None:
            constants[pair.bias] *= factors
    return flatbuffer.with_float_constants(float32, constants)


def _largest_activations(float32: bytes, pair: Pair, clips: np.ndarray) -> np.ndarray:
    """Return the largest magnitude of each channel on clips."""
    values, found = Values(float32, pair.output), []
    for clip in clips:
        (each,) = values.of(clip[np.newaxis])
        found.append(np.abs(each).reshape(-1, each.shape[-1]).max(axis=0))
    return np.max(found, axis=0).astype(np.float64)


def _step(pair: Pair, magnitudes: dict[str, np.ndarray], made: np.ndarray, share: float) -> np.ndarray:
    """Return the binary logarithm of what makes ``made**share`` and the largest weights ``read**(1 - share)`` equal."""
    read = np.zeros(len(made))
    for reader in pair.readers:
        ours = reader.channels != _OTHER
        np.maximum.at(read, reader.channels[ours], _largest(magnitudes[reader.kernel], reader.axis)[ours])
    alive = (made > 0) & (read > 0)
    made, read = (np.log2(np.where(alive, each, 1)) for each in (made, read))
    return np.asarray((1 - share) * read - share * made)


def _largest(values: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(values.max(axis=tuple(a for a in range(values.ndim) if a != axis)))


def _scale(pair: Pair, values: dict[str, np.ndarray], factors: np.ndarray) -> None:
    """Multiply what makes each channel, and divide what reads it."""
    values[pair.kernel] = values[pair.kernel] * _along(factors, pair.axis, values[pair.kernel].ndim)
    for reader in pair.readers:
        by = np.append(factors, factors.dtype.type(1))[reader.channels]  # the last for those of other layers
        values[reader.kernel] = values[reader.kernel] / _along(by, reader.axis, values[reader.kernel].ndim)


def _along(values: np.ndarray, axis: int, ndim: int) -> np.ndarray:
    return values.reshape([-1 if a == axis else 1 for a in range(ndim)])


def find(float32: bytes) -> list[Pair]:
    """Return the pairs of a float32 file, in the order in which they run."""
    return _Graph(float32).pairs()


class _Graph:
    def __init__(self, float32: bytes) -> None:
        self.model = schema.ModelT.InitFromPackedBuf(float32, 0)
        self.graph, self.codes = self.model.subgraphs[0], operators.names_of(self.model.operatorCodes)
        self.constants = flatbuffer.float_constants(float32)
        self.shapes = [tuple(int(size) for size in tensor.shape) for tensor in self.graph.tensors]
        self.names = [tensor.name.decode() for tensor in self.graph.tensors]
        self.readers: defaultdict[int, list[Any]] = defaultdict(list)
        self.uses: defaultdict[int, int] = defaultdict(int)  # of a buffer: equal constants may share one
        for operator in self.graph.operators:
            for tensor in operator.inputs:
                if tensor >= 0:
                    self.readers[tensor].append(operator)
                    self.uses[self.graph.tensors[tensor].buffer] += 1

    def pairs(self) -> list[Pair]:
        return [pair for operator in self.graph.operators if (pair := self._pair(operator)) is not None]

    def _pair(self, maker: Any) -> Pair | None:
        if not (self._has_own_weights(maker) and _is_homogeneous(maker)):
            return None
        bias = maker.inputs[2] if len(maker.inputs) > 2 else -1
        values = self.constants.get(self.names[bias]) if bias >= 0 else np.zeros(1)
        if values is None or (values.any() and not self._is_own(bias)):
            return None
        (output,) = maker.outputs
        channels = np.broadcast_to(np.arange(self.shapes[output][-1]), self.shapes[output])
        readers = self._follow(output, channels)
        if not readers:
            return None
        return Pair(
            kernel=self.names[maker.inputs[1]],
            bias=self.names[bias] if values.any() else None,
            axis=self._axis_of_filters(maker),
            output=self.names[output],
            readers=tuple(readers),
        )

    def _name(self, operator: Any) -> str:
        return self.codes[operator.opcodeIndex]

    def _is_own(self, tensor: int) -> bool:
        """Whether a tensor is a float constant that a single operator reads."""
        return self.names[tensor] in self.constants and self.uses[self.graph.tensors[tensor].buffer] == 1

    def _has_own_weights(self, operator: Any) -> bool:
        return self._name(operator) in _MAKERS and self._is_own(operator.inputs[1])

    def _axis_of_filters(self, maker: Any) -> int:
        return len(self.shapes[maker.inputs[1]]) - 1 if self._name(maker) == "DEPTHWISE_CONV_2D" else 0

    def _follow(self, tensor: int, channels: np.ndarray) -> list[Reader] | None:
        """Return all weights that read a tensor, or None if something else does.

        `channels` holds, for each of its elements, the channel that it belongs to.
        """
        if tensor in self.graph.outputs or not self.readers[tensor]:
            return None
        found: list[Reader] = []
        for operator in self.readers[tensor]:
            if self._name(operator) in _MAKERS:
                reader = self._reader(operator, tensor, channels)
                if reader is None:
                    return None
                found.append(reader)
                continue
            passed = self._passed(operator, tensor, channels)
            further = None if passed is None else self._follow(operator.outputs[0], passed)
            if further is None:
                return None
            found += further
        return found

    def _reader(self, operator: Any, tensor: int, channels: np.ndarray) -> Reader | None:
        if not self._has_own_weights(operator) or operator.inputs[0] != tensor:
            return None
        kernel, shape = self.names[operator.inputs[1]], self.shapes[operator.inputs[1]]
        depthwise = self._name(operator) == "DEPTHWISE_CONV_2D"
        width = self.shapes[tensor][-1] if depthwise else shape[-1]
        rows = channels.reshape(-1, width)
        if (rows != rows[0]).any() or (self._name(operator) == "CONV_2D" and self.shapes[tensor][-1] != width):
            return None
        read = np.repeat(rows[0], shape[-1] // width) if depthwise else rows[0]
        return Reader(kernel, len(shape) - 1, read)

    def _passed(self, operator: Any, tensor: int, channels: np.ndarray) -> np.ndarray | None:
        """Return the channel of each element of an operator's output; None if it is not homogeneous or mixes them."""
        name, shape = self._name(operator), self.shapes[operator.outputs[0]]
        if not _is_homogeneous(operator):
            return None
        if name in ("RELU", "LEAKY_RELU"):
            return channels
        if name in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"):
            return channels.reshape(shape)
        if name in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
            return self._pooled(channels, (1, 2), shape)
        if name in ("MEAN", "REDUCE_MAX"):
            axes = tuple(int(axis) % channels.ndim for axis in self._integers(operator.inputs[1]))
            return self._pooled(channels, axes, shape)
        if name == "TRANSPOSE":
            return channels.transpose(self._integers(operator.inputs[1]))
        if name == "PAD":  # zeros are of any channel
            return np.pad(channels, self._integers(operator.inputs[1]).reshape(-1, 2), mode="edge")
        if name == "CONCATENATION" and list(operator.inputs).count(tensor) == 1:
            parts = [
                channels if source == tensor else np.full(self.shapes[source], _OTHER) for source in operator.inputs
            ]
            return np.concatenate(parts, axis=operator.builtinOptions.axis)
        return None

    def _pooled(self, channels: np.ndarray, axes: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray | None:
        first = channels[tuple(slice(1) if axis in axes else slice(None) for axis in range(channels.ndim))]
        if (channels != first).any():
            return None
        return first.reshape(shape) if first.size == np.prod(shape) else np.broadcast_to(first, shape)

    def _integers(self, tensor: int) -> np.ndarray:
        return np.asarray(self.model.buffers[self.graph.tensors[tensor].buffer].data, np.uint8).view(np.int32)


def _is_homogeneous(operator: Any) -> bool:
    return getattr(operator.builtinOptions, "fusedActivationFunction", _HOMOGENEOUS[0]) in _HOMOGENEOUS
