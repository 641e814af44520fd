"""The first convolution of a waveform in 8-bit integers, with several places computed at once.

Kernels for integers multiply vectors of channels. A waveform has one channel, so that each tap of a filter fills one of
8 or 16 lanes, and a network on raw audio spends most of its time there. Read as frames of several samples, the same
waveform has as many channels. One convolution of frames gives several outputs of each filter: the filter at several
places, with zeros where it does not reach. Every sum is of the same integers, so that scores stay the same to the bit.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from stages.core.litert import buffers, operators
from stages.core.litert.graph import Graph

CHANNELS = 32  # of a convolution of frames, at most: vectors are full, and its weights few


@dataclass(frozen=True)
class _Frames:
    """A convolution of one channel, and of how many places at once it becomes one.

    Attributes
    ----------
    taps, stride, filters : int
        Length, stride and number of the given convolution's filters.
    n_samples, n_outputs : int
        Steps that it reads and makes.
    places : int
        Outputs of each filter that one step of the new convolution makes.
    """

    taps: int
    stride: int
    filters: int
    n_samples: int
    n_outputs: int
    places: int

    @property
    def length(self) -> int:
        """Samples of a frame."""
        return self.places * self.stride

    @property
    def frames(self) -> int:
        """Frames that a step of the new convolution reads."""
        return -(-(self.taps + (self.places - 1) * self.stride) // self.length)

    @property
    def steps(self) -> int:
        """Steps that the new convolution makes."""
        return -(-self.n_outputs // self.places)

    @property
    def n_frames(self) -> int:
        """Frames of the whole waveform."""
        return self.steps + self.frames - 1

    def kernel(self, taps: np.ndarray) -> np.ndarray:
        """Return the filters at all places: (filters, taps) to (places * filters, 1, frames, length)."""
        found = np.zeros((self.places, self.filters, self.frames * self.length), taps.dtype)
        for place in range(self.places):
            found[place, :, place * self.stride :][:, : self.taps] = taps
        return found.reshape(self.places * self.filters, 1, self.frames, self.length)


def with_frames(model: bytes) -> bytes:
    """Return a model whose convolutions of a waveform, in 8-bit integers, are of frames; it scores as before.

    Parameters
    ----------
    model : bytes
        Content of a `.tflite`.

    Returns
    -------
    bytes
        The same where there is no such convolution, as in networks on spectrograms.
    """
    tree, changed = schema.ModelT.InitFromPackedBuf(model, 0), False
    names = operators.names_of(tree.operatorCodes)
    for graph in tree.subgraphs:
        uses = Counter(int(i) for operator in graph.operators for i in operator.inputs)
        grown = Graph("frames", tree.buffers, tree.operatorCodes, graph.tensors)
        for operator in graph.operators:
            frames = _frames(tree, graph, operator, uses) if names[operator.opcodeIndex] == "CONV_2D" else None
            if frames is None:
                grown.operators.append(operator)
            else:
                _append(grown, operator, frames)
                changed = True
        graph.operators = grown.operators
    if not changed:
        return model
    read = {each.buffer for each in chain(tree.metadata or (), *(graph.tensors for graph in tree.subgraphs))}
    for i, buffer in enumerate(tree.buffers):
        if i not in read:
            buffer.data = None
    return buffers.pack(tree)


def _frames(tree: Any, graph: Any, operator: Any, uses: Mapping[int, int]) -> _Frames | None:
    """Return how a convolution becomes one of frames; None if it is no convolution of a waveform in integers."""
    if len(operator.inputs) != 3 or any(uses[int(i)] > 1 for i in operator.inputs[1:]):
        return None
    options, (source, kernel, _) = operator.builtinOptions, (graph.tensors[i] for i in operator.inputs)
    target = graph.tensors[operator.outputs[0]]
    filters, height, taps, channels = map(int, kernel.shape)
    integers = {operators.DTYPES[t.type] for t in (source, kernel, target)} == {"int8"}
    plain = options.padding == schema.Padding.VALID and options.dilationWFactor == 1 and int(source.shape[1]) == 1
    constant = tree.buffers[kernel.buffer].data is not None and kernel.sparsity is None
    places = CHANNELS // filters
    if not (integers and plain and constant) or (height, channels) != (1, 1) or places < 2:
        return None
    return _Frames(taps, int(options.strideW), filters, int(source.shape[2]), int(target.shape[2]), places)


def _append(graph: Graph, operator: Any, frames: _Frames) -> None:
    """Append what takes the place of a convolution, which is changed and part of it."""
    source, kernel, bias = map(int, operator.inputs)
    target = int(operator.outputs[0])
    n_samples, n_outputs = frames.n_frames * frames.length, frames.steps * frames.places
    heard = source
    if n_samples > frames.n_samples:  # by what no filter reaches
        rest = _like(graph, source, n_samples - frames.n_samples, 1)
        graph.tensors[rest].buffer = graph.buffer(np.zeros(n_samples - frames.n_samples, np.int8))
        heard = _like(graph, source, n_samples, 1)
        graph.apply("CONCATENATION", (source, rest), heard, "ConcatenationOptions", version=2, axis=2)
    elif n_samples < frames.n_samples:
        heard = _first(graph, source, _like(graph, source, n_samples, 1))
    _fill(graph, kernel, frames.kernel(_values(graph, kernel).reshape(frames.filters, frames.taps)), frames)
    _fill(graph, bias, np.tile(_values(graph, bias), frames.places), frames)
    framed = _reshape(graph, heard, _like(graph, source, frames.n_frames, frames.length))
    made = _like(graph, target, frames.steps, frames.places * frames.filters)
    operator.inputs, operator.outputs, operator.builtinOptions.strideW = [framed, kernel, bias], [made], 1
    graph.operators.append(operator)
    if n_outputs == frames.n_outputs:
        _reshape(graph, made, target)
    else:
        _first(graph, _reshape(graph, made, _like(graph, target, n_outputs, frames.filters)), target)


def _values(graph: Graph, index: int) -> np.ndarray:
    tensor = graph.tensors[index]
    return np.frombuffer(bytes(graph.buffers[tensor.buffer].data), operators.DTYPES[tensor.type])


def _fill(graph: Graph, index: int, values: np.ndarray, frames: _Frames) -> None:
    """Give a tensor values for every place, with the scales of each."""
    tensor = graph.tensors[index]
    tensor.shape, tensor.buffer = list(values.shape), graph.buffer(values)
    for name in ("scale", "zeroPoint"):
        each = getattr(tensor.quantization, name)
        if each is not None and len(each) == frames.filters:
            setattr(tensor.quantization, name, np.tile(each, frames.places))


def _like(graph: Graph, index: int, steps: int, channels: int) -> int:
    """Append a tensor with the scale of another one, for so many steps and channels."""
    tensor = graph.tensors[index]
    return graph.activation((1, 1, steps, channels), tensor.type, tensor.quantization)


def _reshape(graph: Graph, source: int, target: int) -> int:
    shape = list(map(int, graph.tensors[target].shape))
    to = graph.constant(np.asarray(shape, np.int32))
    return graph.apply("RESHAPE", (source, to), target, "ReshapeOptions", newShape=shape)


def _first(graph: Graph, source: int, target: int) -> int:
    """Append the operator that takes the first steps of a tensor, as many as another one has."""
    size = np.asarray(graph.tensors[target].shape, np.int32)
    inputs = source, graph.constant(np.zeros_like(size)), graph.constant(size)
    return graph.apply("SLICE", inputs, target, "SliceOptions", version=2)
