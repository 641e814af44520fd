"""Layers of a float32 file whose weights are rounded: which tensors they read, and the rows that meet their weights."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from stages.core.litert import flatbuffer, operators
from stages.runtime.quiet import quiet

SUPPORTED = ("CONV_2D", "FULLY_CONNECTED")
"""Operators whose output is a matrix product of rows of the input and the weights."""


@dataclass(frozen=True)
class Layer:
    """Weights of the file, and the operators that read them.

    Attributes
    ----------
    kernel : str
        Name of the weights' tensor.
    bias : str or None
        Name of the bias's tensor; None if there is none, or if other weights' operators add it too.
    operator : str
        One of `SUPPORTED`.
    shape : tuple[int, ...]
        Shape of the weights: filters first.
    sources : tuple[str, ...]
        Names of the tensors that are multiplied with the weights; several if a recurrence is written out.
    options : schema.Conv2DOptionsT or schema.FullyConnectedOptionsT
        Options of the first operator.
    """

    kernel: str
    bias: str | None
    operator: str
    shape: tuple[int, ...]
    sources: tuple[str, ...]
    options: Any

    def rows(self, x: np.ndarray) -> np.ndarray:
        """Return what is multiplied with each filter's weights.

        Parameters
        ----------
        x : np.ndarray, shape (n, *shape of a source), float32
            Values of a source for n clips.

        Returns
        -------
        np.ndarray, shape (n * positions, weights of a filter)
        """
        n_weights = int(np.prod(self.shape[1:]))
        if self.operator == "FULLY_CONNECTED":
            return x.reshape(-1, n_weights)
        height, width, channels = self.shape[1:]
        steps = self.options.strideH, self.options.strideW
        dilations = self.options.dilationHFactor, self.options.dilationWFactor
        spans = [(size - 1) * d + 1 for size, d in zip((height, width), dilations, strict=True)]
        x = x.reshape(len(x), *x.shape[-3:])
        if self.options.padding == schema.Padding.SAME:
            sizes = zip(x.shape[1:3], spans, steps, strict=True)
            missing = [max((-(-size // step) - 1) * step + span - size, 0) for size, span, step in sizes]
            x = np.pad(x, ((0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, spans, axis=(1, 2))
        windows = windows[:, :: steps[0], :: steps[1], :, :: dilations[0], :: dilations[1]]
        return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, height * width * channels)


def find(float32: bytes) -> list[Layer]:
    """Return the layers of a float32 file in the order in which they run."""
    model = schema.ModelT.InitFromPackedBuf(float32, 0)
    graph, codes = model.subgraphs[0], operators.names_of(model.operatorCodes)
    names = [tensor.name.decode() for tensor in graph.tensors]
    buffers = [tensor.buffer for tensor in graph.tensors]
    constants = flatbuffer.float_constants(float32)
    readers: defaultdict[int, list[int]] = defaultdict(list)  # by buffer: equal constants may share one
    for number, operator in enumerate(graph.operators):
        for i in operator.inputs:
            if i >= 0 and names[i] in constants:
                readers[buffers[i]].append(number)
    layers, seen = [], set()
    for operator in graph.operators:
        code = codes[operator.opcodeIndex]
        if code not in SUPPORTED or names[kernel := operator.inputs[1]] not in constants:
            continue
        if buffers[kernel] in seen:
            continue
        seen.add(buffers[kernel])
        users = [graph.operators[number] for number in readers[buffers[kernel]]]
        if any(codes[user.opcodeIndex] != code or buffers[user.inputs[1]] != buffers[kernel] for user in users):
            continue  # the same numbers serve another purpose
        bias = operator.inputs[2] if len(operator.inputs) > 2 else -1
        alone = bias >= 0 and names[bias] in constants and readers[buffers[bias]] == readers[buffers[kernel]]
        layers.append(
            Layer(
                kernel=names[kernel],
                bias=names[bias] if alone else None,
                operator=code,
                shape=tuple(int(size) for size in graph.tensors[kernel].shape),
                sources=tuple(names[user.inputs[0]] for user in users),
                options=operator.builtinOptions,
            )
        )
    return layers


class Values:
    """Values of a float32 tensor anywhere within a file, for clips.

    Parameters
    ----------
    float32 : bytes
    tensor : str
        Its name.
    """

    def __init__(self, float32: bytes, tensor: str) -> None:
        whole = Interpreter(model_content=float32)
        self._is_input = whole.get_input_details()[0]["name"] == tensor
        if not self._is_input:
            with quiet():
                self._interpreter = Interpreter(model_content=flatbuffer.ending_at(float32, tensor), num_threads=1)
                self._interpreter.allocate_tensors()
            (self._input,), (self._output,) = (
                self._interpreter.get_input_details(),
                self._interpreter.get_output_details(),
            )

    def of(self, clips: np.ndarray) -> np.ndarray:
        """Return the values, shape (n, *shape of the tensor), for clips of shape (n, ...)."""
        if self._is_input:
            return clips[:, np.newaxis]
        found = []
        for clip in clips:
            self._interpreter.set_tensor(self._input["index"], clip[np.newaxis])
            self._interpreter.invoke()
            found.append(self._interpreter.get_tensor(self._output["index"]))
        return np.stack(found)
