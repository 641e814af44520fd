"""The first convolution of a waveform in 8-bit integers, with several places computed at once.

Kernels for integers multiply vectors of channels. A waveform has one channel, so that each tap of a filter fills one of
8 or 16 lanes, and a network on raw audio spends most of its time there. Read as frames of several samples, the same
waveform has as many channels. One convolution of frames gives several outputs of each filter: the filter at several
places, with zeros where it does not reach. Every sum is of the same integers, so that scores stay the same to the bit.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from stages.core.litert import buffers, operators

CHANNELS = 32  # of a convolution of frames, at most: vectors are full, and its weights few


@dataclass(frozen=True)
class _Frames:
    """A convolution of one channel, and of how many places at once it becomes one.

    Attributes
    ----------
    taps, stride, filters : int
        Of the convolution as it is.
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
    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    names, changed = operators.names_of(tree.operatorCodes), False
    for graph in tree.subgraphs:
        uses = Counter(int(i) for operator in graph.operators for i in operator.inputs)
        found = []
        for operator in graph.operators:
            frames = _frames(tree, graph, operator, uses) if names[operator.opcodeIndex] == "CONV_2D" else None
            found += [operator] if frames is None else _Rewriting(tree, graph).of(operator, frames)
            changed = changed or frames is not None
        graph.operators = found
    if not changed:
        return model
    read = {tensor.buffer for graph in tree.subgraphs for tensor in graph.tensors}
    for i, buffer in enumerate(tree.buffers):
        if i not in read and i not in {each.buffer for each in tree.metadata or ()}:
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


@dataclass(frozen=True)
class _Rewriting:
    """Puts a convolution of frames, and what it needs around it, in the place of another."""

    tree: Any
    graph: Any

    def of(self, operator: Any, frames: _Frames) -> list[Any]:
        """Return the operators that take the place of one; it is changed, and one of them."""
        source, kernel, bias = map(int, operator.inputs)
        target = int(operator.outputs[0])
        n_samples, n_outputs = frames.n_frames * frames.length, frames.steps * frames.places
        found, heard = [], source
        if n_samples > frames.n_samples:  # by what no filter reaches
            heard = self._like(source, 1, n_samples, 1)
            rest = self._like(source, 1, n_samples - frames.n_samples, 1)
            self.graph.tensors[rest].buffer = self._buffer(np.zeros(n_samples - frames.n_samples, np.int8))
            found.append(self._operator("CONCATENATION", (source, rest), heard, "ConcatenationOptions", axis=2))
        elif n_samples < frames.n_samples:
            heard = self._like(source, 1, n_samples, 1)
            found.append(self._slice(source, heard))
        framed = self._like(source, 1, frames.n_frames, frames.length)
        made = self._like(target, 1, frames.steps, frames.places * frames.filters)
        self._fill(kernel, frames.kernel(self._values(kernel).reshape(frames.filters, frames.taps)), frames)
        self._fill(bias, np.tile(self._values(bias), frames.places), frames)
        operator.inputs, operator.outputs, operator.builtinOptions.strideW = [framed, kernel, bias], [made], 1
        found += [self._reshape(heard, framed), operator]
        if n_outputs == frames.n_outputs:
            return [*found, self._reshape(made, target)]
        apart = self._like(target, 1, n_outputs, frames.filters)
        return [*found, self._reshape(made, apart), self._slice(apart, target)]

    def _values(self, index: int) -> np.ndarray:
        tensor = self.graph.tensors[index]
        return np.frombuffer(bytes(self.tree.buffers[tensor.buffer].data), operators.DTYPES[tensor.type])

    def _fill(self, index: int, values: np.ndarray, frames: _Frames) -> None:
        """Give a tensor values for every place, with the scales of each."""
        tensor = self.graph.tensors[index]
        tensor.shape, tensor.buffer = list(values.shape), self._buffer(values)
        for name in ("scale", "zeroPoint"):
            each = getattr(tensor.quantization, name)
            if each is not None and len(each) == frames.filters:
                setattr(tensor.quantization, name, np.tile(each, frames.places))

    def _like(self, index: int, *shape: int) -> int:
        """Append a tensor of a batch of 1 with the numbers of another one, in another shape."""
        tensor, copy = self.graph.tensors[index], schema.TensorT()
        copy.type, copy.quantization, copy.shape, copy.buffer = tensor.type, tensor.quantization, [1, *shape], 0
        copy.name = b"%s/frames%d" % (tensor.name, len(self.graph.tensors))
        return self._add(copy)

    def _integers(self, values: Sequence[int]) -> int:
        tensor, numbers = schema.TensorT(), np.asarray(values, np.int32)
        tensor.shape, tensor.type = list(numbers.shape), schema.TensorType.INT32
        tensor.name, tensor.buffer = b"frames/constant%d" % len(self.graph.tensors), self._buffer(numbers)
        return self._add(tensor)

    def _shape(self, index: int) -> list[int]:
        return list(map(int, self.graph.tensors[index].shape))

    def _reshape(self, source: int, target: int) -> Any:
        shape = self._shape(target)
        return self._operator("RESHAPE", (source, self._integers(shape)), target, "ReshapeOptions", newShape=shape)

    def _slice(self, source: int, target: int) -> Any:
        size = self._shape(target)
        inputs = source, self._integers([0] * len(size)), self._integers(size)
        return self._operator("SLICE", inputs, target, "SliceOptions")

    def _operator(self, code: str, inputs: tuple[int, ...], output: int, options: str, **values: Any) -> Any:
        names = operators.names_of(self.tree.operatorCodes)
        if code not in names:
            known = schema.OperatorCodeT()
            known.builtinCode = known.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, code)
            known.version = 2 if code in ("SLICE", "CONCATENATION") else 1  # the first that take int8
            self.tree.operatorCodes.append(known)
        operator = schema.OperatorT()
        operator.opcodeIndex = (names if code in names else [*names, code]).index(code)
        operator.inputs, operator.outputs = list(inputs), [output]
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(schema, f"{options}T")()
        vars(operator.builtinOptions).update(values)
        return operator

    def _buffer(self, values: np.ndarray) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.tree.buffers.append(buffer)
        return len(self.tree.buffers) - 1

    def _add(self, tensor: Any) -> int:
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1
