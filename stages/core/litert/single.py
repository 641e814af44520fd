"""Front end and model merged into one `.tflite`: waveform in, scores out, float32 at both ends.

The steps between the two files, which the runtime's code computes, become operators of LiteRT: the crops of the
features, quantisation of the model's input, dequantisation of its output and the mean over the crops. Each is composed
so that it rounds as the runtime does: scores are the same to the bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from stages.core.litert import buffers
from stages.core.litert.graph import Graph
from stages.core.litert.operators import DTYPES
from stages.core.project.errors import ModelError

INPUT, OUTPUT = "waveform", "scores"
"""Names of the merged file's input and output, and of its signature's."""
_INTEGERS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-(2**15), 2**15 - 1)}
_TYPES = schema.TensorType
_PAIRWISE = 8  # accumulators of NumPy's sum along a contiguous axis
_PAIRWISE_BLOCK = 128


def merge(frontend: bytes, model: bytes, *, n_crops: int = 1) -> bytes:
    """Merge a front end and a model into one file that computes the scores of a waveform.

    Parameters
    ----------
    frontend : bytes
        A `.tflite`, float32 waveform to float32 features.
    model : bytes
        A `.tflite`, features to scores; float32 or integer at either end.
    n_crops : int
        Crops of the features along time, whose scores are averaged; see `stages.runtime.crops`.

    Returns
    -------
    bytes
        A `.tflite` with signature ``waveform -> scores``, float32 at both ends. Its scores equal those of the two files
        in turn, to the bit on the same machine.

    Raises
    ------
    ModelError
        If either is no LiteRT model of one graph with one input and one output, or the two do not fit each other.
    """
    graph = _Merged("single")
    first, second = _read(frontend, "The front end"), _read(model, "The model")
    waveform, features = graph.append(first, {})
    if DTYPES[graph.tensors[waveform].type] != "float32" or DTYPES[graph.tensors[features].type] != "float32":
        raise ModelError("The front end must be float32 at both ends to be merged. Run `dvc repro features` again.")
    outputs = [_scores(graph, second, crop) for crop in _crops(graph, features, second, n_crops)]
    scores = outputs[0] if n_crops == 1 else _mean(graph, outputs)
    graph.tensors[waveform].name, graph.tensors[scores].name = INPUT.encode(), OUTPUT.encode()
    return graph.pack(waveform, scores)


@dataclass
class _Part:
    """One unpacked model of a single graph."""

    tree: Any
    graph: Any

    @property
    def input(self) -> Any:
        return self.graph.tensors[self.graph.inputs[0]]


def _read(content: bytes, owner: str) -> _Part:
    tree = schema.ModelT.InitFromPackedBuf(buffers.inside(content), 0)
    if len(tree.subgraphs) != 1 or len(tree.subgraphs[0].inputs) != 1 or len(tree.subgraphs[0].outputs) != 1:
        raise ModelError(f"{owner} must be one graph with one input and one output to be merged. Convert it again.")
    return _Part(tree, tree.subgraphs[0])


@dataclass
class _Merged(Graph):
    """The merged graph while it grows."""

    _constants: dict[tuple[int, int], int] = field(default_factory=dict)  # of a part: tensor to merged tensor
    _kept: list[_Part] = field(default_factory=list)  # so that an id stays a part's own

    def append(self, part: _Part, given: dict[int, int]) -> tuple[int, int]:
        """Append a part, its constants once however often it comes; return its input and output.

        Parameters
        ----------
        part : _Part
        given : dict[int, int]
            Tensor of the part to the merged tensor that takes its place.
        """
        self._kept.append(part)
        place = dict(given)
        for index, tensor in enumerate(part.graph.tensors):
            if index in place:
                continue
            stored = part.tree.buffers[tensor.buffer].data
            constant = stored is not None and len(stored) > 0
            if constant and (id(part), index) in self._constants:
                place[index] = self._constants[id(part), index]
                continue
            copy = schema.TensorT()
            vars(copy).update(vars(tensor))
            copy.buffer = self.buffer(stored) if constant else 0
            place[index] = self.add(copy)
            if constant:
                self._constants[id(part), index] = place[index]
        for operator in part.graph.operators:
            copy = schema.OperatorT()
            vars(copy).update(vars(operator))
            copy.opcodeIndex = self.code(part.tree.operatorCodes[operator.opcodeIndex])
            copy.inputs, copy.outputs = (
                [place.get(int(i), -1) for i in s] for s in (operator.inputs, operator.outputs)
            )
            if operator.intermediates is not None:
                copy.intermediates = [place[int(i)] for i in operator.intermediates]
            self.operators.append(copy)
        return place[int(part.graph.inputs[0])], place[int(part.graph.outputs[0])]

    def binary(self, code: str, tensor: int, other: int, options: str) -> int:
        """Append an element-wise operator of a float32 tensor and another one; return its output."""
        return self.apply(code, (tensor, other), self.activation(self.tensors[tensor].shape, _TYPES.FLOAT32), options)

    def pack(self, waveform: int, scores: int) -> bytes:
        """Return the file."""
        model, graph, signature = schema.ModelT(), schema.SubGraphT(), schema.SignatureDefT()
        graph.tensors, graph.operators, graph.name = self.tensors, self.operators, b"main"
        graph.inputs, graph.outputs = [waveform], [scores]
        signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
        signature.inputs, signature.outputs = [_named(INPUT, waveform)], [_named(OUTPUT, scores)]
        model.version, model.description = 3, b"EDAC front end and model"
        model.operatorCodes, model.subgraphs, model.buffers = self.codes, [graph], self.buffers
        model.signatureDefs = [signature]
        return buffers.pack(model)


def _crops(graph: _Merged, features: int, model: _Part, n_crops: int) -> list[int]:
    """Return the tensors that the model takes in turn, as `stages.runtime.crops.crops` cuts them."""
    shape, taken = ([int(n) for n in t.shape] for t in (graph.tensors[features], model.input))
    fits = shape == taken if n_crops == 1 else len(shape) == len(taken) and shape[2:] == taken[2:]
    spare = shape[1] - taken[1]
    if not fits or spare < n_crops - 1:
        raise ModelError(f"The model must take the front end's features {shape}; it takes {taken} in {n_crops} crops.")
    if n_crops == 1:
        return [features]
    stride = max(spare // (n_crops - 1), 1)
    size = graph.constant(np.asarray(taken, np.int32))
    found = []
    for crop in range(n_crops):
        begin = graph.constant(np.asarray([0, crop * stride, *[0] * (len(shape) - 2)], np.int32))
        found.append(
            graph.apply("SLICE", (features, begin, size), graph.activation(taken, _TYPES.FLOAT32), "SliceOptions")
        )
    return found


def _scores(graph: _Merged, model: _Part, features: int) -> int:
    """Append the model for one crop; return its float32 scores."""
    kind = DTYPES[model.input.type]
    if kind == "float32":
        _, output = graph.append(model, {int(model.graph.inputs[0]): features})
    elif kind in _INTEGERS:
        entrance, output = graph.append(model, {})
        _quantise(graph, features, entrance)
    else:
        raise ModelError(f"The model's input must be float32 or an integer; it is {kind}. Use another scheme.")
    kind = DTYPES[graph.tensors[output].type]
    if kind == "float32":
        return output
    if kind not in _INTEGERS:
        raise ModelError(f"The model's output must be float32 or an integer; it is {kind}. Use another scheme.")
    real = graph.activation(graph.tensors[output].shape, _TYPES.FLOAT32)
    return graph.apply("DEQUANTIZE", (output,), real, "DequantizeOptions")


def _quantise(graph: _Merged, features: int, target: int) -> None:
    """Append `stages.runtime.litert.quantise`, in whose place LiteRT's QUANTIZE would round some numbers otherwise."""
    tensor = graph.tensors[target]
    lowest, highest = _INTEGERS[DTYPES[tensor.type]]
    scale, zero_point = (float(each[0]) for each in (tensor.quantization.scale, tensor.quantization.zeroPoint))

    def number(value: float) -> int:
        return graph.constant(np.asarray([value], np.float32))

    values = graph.binary("DIV", features, number(scale), "DivOptions")
    values = graph.apply("ROUND", (values,), graph.activation(tensor.shape, _TYPES.FLOAT32))
    values = graph.binary("ADD", values, number(zero_point), "AddOptions")
    values = graph.binary("MAXIMUM", values, number(lowest), "MaximumMinimumOptions")
    values = graph.binary("MINIMUM", values, number(highest), "MaximumMinimumOptions")
    graph.apply("CAST", (values,), target, "CastOptions", inDataType=_TYPES.FLOAT32, outDataType=tensor.type)


def _mean(graph: _Merged, outputs: Sequence[int]) -> int:
    """Append the mean of several crops' scores, added in the order in which NumPy adds them."""
    single = int(np.prod([int(n) for n in graph.tensors[outputs[0]].shape])) == 1
    total = _pairwise(graph, list(outputs)) if single else _in_turn(graph, outputs)
    return graph.binary("DIV", total, graph.constant(np.asarray([len(outputs)], np.float32)), "DivOptions")


def _in_turn(graph: _Merged, terms: Sequence[int]) -> int:
    total = terms[0]
    for term in terms[1:]:
        total = graph.binary("ADD", total, term, "AddOptions")
    return total


def _pairwise(graph: _Merged, terms: Sequence[int]) -> int:
    """Add terms as `numpy.sum` does along a contiguous axis (pairwise summation, eight accumulators)."""
    n = len(terms)
    if n < _PAIRWISE:
        return _in_turn(graph, terms)
    if n > _PAIRWISE_BLOCK:
        half = n // 2 - n // 2 % _PAIRWISE
        return _in_turn(graph, (_pairwise(graph, terms[:half]), _pairwise(graph, terms[half:])))
    whole = n - n % _PAIRWISE
    sums = [_in_turn(graph, terms[i:whole:_PAIRWISE]) for i in range(_PAIRWISE)]
    while len(sums) > 1:
        sums = [_in_turn(graph, sums[i : i + 2]) for i in range(0, len(sums), 2)]
    return _in_turn(graph, (sums[0], *terms[whole:]))


def _named(name: str, tensor: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), tensor
    return entry
