"""A model file through the LiteRT interpreter: load it, run it, time it."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from stages.runtime import storage
from stages.runtime.crops import crops
from stages.runtime.errors import RuntimeInputError
from stages.runtime.quiet import quiet


class Model:
    """A `.tflite` with one float or quantised input and output, run one clip at a time.

    Integer tensors are quantised on the way in and dequantised on the way out with the scale and zero point that the
    file states, so that callers see real numbers whatever the bit-width.

    Parameters
    ----------
    source : Path or bytes
        The file, or its content.
    threads : int
        Threads of the interpreter.

    Attributes
    ----------
    input_shape, output_shape : tuple[int, ...]
        Shape of one clip: without the batch axis, which is 1 in the file.

    Raises
    ------
    RuntimeInputError
        If `source` is not a model that LiteRT can run, or its batch axis is not 1.
    """

    def __init__(self, source: Path | bytes, *, threads: int = 1) -> None:
        name = str(source) if isinstance(source, Path) else "The model"
        try:
            with quiet():
                if isinstance(source, Path):
                    storage.require_regular(source)
                    source.open("rb").close()
                    self._interpreter = Interpreter(model_path=str(source), num_threads=threads)  # maps it into memory
                else:
                    self._interpreter = Interpreter(model_content=source, num_threads=threads)
                self._interpreter.allocate_tensors()
        except OSError as error:
            raise RuntimeInputError(f"{name} cannot be read ({error.strerror}). Check the path.") from None
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise RuntimeInputError(f"{name} is not a model that LiteRT can run ({reason}). Replace it.") from None
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0]["shape"][0] != 1:
            raise RuntimeInputError(f"{name} must have one input of batch size 1 and one output. Export it again.")
        self._input, self._output = inputs[0], outputs[0]
        self.input_shape = tuple(int(n) for n in self._input["shape"][1:])
        self.output_shape = tuple(int(n) for n in self._output["shape"][1:])

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Run the model on every clip of a batch.

        Parameters
        ----------
        batch : np.ndarray, shape (n, *input_shape), float32

        Returns
        -------
        np.ndarray, shape (n, *output_shape), float32

        Raises
        ------
        RuntimeInputError
            If the clips have another shape.
        """
        if batch.shape[1:] != self.input_shape:
            raise RuntimeInputError(f"The model takes clips of shape {self.input_shape}; got {batch.shape[1:]}.")
        outputs = np.empty((len(batch), *self.output_shape), np.float32)
        for i in range(len(batch)):
            outputs[i] = self._run_one(batch[i : i + 1])
        return outputs

    def mean(self, crops: np.ndarray) -> np.ndarray:
        """Run the model on every crop of one clip and return the mean of its outputs.

        Parameters
        ----------
        crops : np.ndarray, shape (n, *input_shape), float32

        Returns
        -------
        np.ndarray, shape output_shape, float32
        """
        outputs = self.run(crops)
        return outputs[0] if len(outputs) == 1 else np.asarray(outputs.mean(axis=0))

    def mean_over_crops(self, features: np.ndarray, n_crops: int) -> np.ndarray:
        """Run the model on equally spaced crops of every clip and return the means of its outputs.

        Parameters
        ----------
        features : np.ndarray, shape (n, n_steps, ...), float32
            What the front end gave.
        n_crops : int

        Returns
        -------
        np.ndarray, shape (n, *output_shape), float32
        """
        return np.stack([self.mean(clip) for clip in crops(features, n_crops, self.input_shape[0])])

    def _run_one(self, clip: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._input["index"], quantise(clip, self._input))
        self._interpreter.invoke()
        return dequantise(self._interpreter.get_tensor(self._output["index"]), self._output)[0]


def quantise(values: np.ndarray, tensor: Mapping[str, Any]) -> np.ndarray:
    """Return real numbers as `tensor` (an entry of the interpreter's details) stores them."""
    dtype = np.dtype(tensor["dtype"])
    scale, zero_point = tensor["quantization"]
    if dtype.kind == "f" or not scale:
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values / np.float32(scale)) + zero_point, limits.min, limits.max).astype(dtype)


def dequantise(values: np.ndarray, tensor: Mapping[str, Any]) -> np.ndarray:
    """Return what `tensor` stores as real numbers, float32."""
    scale, zero_point = tensor["quantization"]
    if values.dtype.kind == "f" or not scale:
        return values.astype(np.float32)
    return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def latency(model: Model, sample: np.ndarray, *, warmup: int, runs: int) -> np.ndarray:
    """Time the model on one clip, from real numbers in to real numbers out.

    Parameters
    ----------
    model : Model
    sample : np.ndarray, shape input_shape, float32
    warmup : int
        Runs before the clock starts.
    runs : int

    Returns
    -------
    np.ndarray, shape (runs,), float64
        Seconds of each run.
    """
    batch = sample[np.newaxis]
    for _ in range(warmup):
        model.run(batch)
    seconds = np.empty(runs)
    for i in range(runs):
        start = time.perf_counter()
        model.run(batch)
        seconds[i] = time.perf_counter() - start
    return seconds
