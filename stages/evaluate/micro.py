"""8-bit model files in TensorFlow Lite Micro, which microcontrollers run; where the extra `micro` is installed.

Each file must give the integers of LiteRT's reference kernels to the bit, or is refused with the reason: an operator
that Micro lacks, or other integers. The bytes of the arena are those that a microcontroller must have in memory while
it computes. `python -m stages.evaluate.micro MODEL CLIPS.npy` is run as a child, whose kernels may crash.
"""

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from stages.core.project import lazy
from stages.runtime.litert import quantise

if TYPE_CHECKING:
    from tflite_micro.python.tflite_micro import runtime as micro
else:
    micro = lazy.module("tflite_micro.python.tflite_micro.runtime")

CLIPS = 8
_LONGEST_S = 600.0
_ARENA = 64 * 2**20  # offered; what of it is used is what counts
_TOTAL = re.compile(r"Arena allocation total (\d+) bytes")
_MISSING = re.compile(r"Didn't find op for builtin opcode '(\w+)'")
_UNPREPARED = re.compile(r"Node (\w+) \(number")


@dataclass(frozen=True)
class MicroRun:
    """Result of running a file in TensorFlow Lite Micro.

    Attributes
    ----------
    arena_bytes : int or None
        Bytes of its arena; None where it is refused.
    refused : str
        Why it is refused, naming the operator; "" where it gives LiteRT's integers.
    """

    arena_bytes: int | None
    refused: str = ""


def available() -> bool:
    """Return whether TensorFlow Lite Micro is installed here."""
    return importlib.util.find_spec("tflite_micro") is not None


def run(model: Path, clips: np.ndarray) -> MicroRun:
    """Run a model file in TensorFlow Lite Micro and in LiteRT, in a child process.

    Parameters
    ----------
    model : Path
        A `.tflite`.
    clips : np.ndarray, shape (n, *input_shape), float32
        At most `CLIPS` of them are run.
    """
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "clips.npy", clips[:CLIPS])
        command = [sys.executable, "-m", "stages.evaluate.micro", str(model), str(Path(folder) / "clips.npy")]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LONGEST_S)
        except subprocess.TimeoutExpired:
            return MicroRun(None, f"does not answer within {_LONGEST_S:g} s")
    if done.returncode:
        return MicroRun(None, _reason(done.returncode, done.stderr))
    different, steps = json.loads(done.stdout.splitlines()[-1])
    if different:
        return MicroRun(None, f"{different} of its outputs are not LiteRT's integers, by up to {steps} steps")
    total = _TOTAL.search(done.stderr)
    return MicroRun(int(total[1])) if total else MicroRun(None, "does not say how large its arena is")


def _reason(code: int, said: str) -> str:
    """Return why Micro refused a file, from what it printed.

    Examples
    --------
    >>> _reason(1, "Didn't find op for builtin opcode 'UNPACK'")
    'has no operator UNPACK'
    >>> _reason(1, "Node FULLY_CONNECTED (number 0f) failed to prepare with status 1")
    'cannot prepare the operator FULLY_CONNECTED'
    >>> _reason(-11, "")
    'crashes (signal 11)'
    """
    if missing := _MISSING.search(said):
        return f"has no operator {missing[1]}"
    if unprepared := _UNPREPARED.search(said):
        return f"cannot prepare the operator {unprepared[1]}"
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith("INFO")]
    return f"crashes (signal {-code})" if code < 0 else (lines[-1].strip() if lines else f"ends with exit code {code}")


def main() -> None:
    """Run both and print how many outputs differ, and by how many steps at most; Micro's own words are on stderr."""
    model, clips = Path(sys.argv[1]).read_bytes(), np.load(sys.argv[2])
    reference = Interpreter(model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    reference.allocate_tensors()
    (given,), (returned,) = reference.get_input_details(), reference.get_output_details()
    device: Any = micro.Interpreter.from_bytes(model, arena_size=_ARENA)
    different, steps = 0, 0.0
    for clip in clips:
        stored = quantise(clip[np.newaxis], given)
        reference.set_tensor(given["index"], stored)
        reference.invoke()
        device.set_input(stored, 0)
        device.invoke()
        expected, found = reference.get_tensor(returned["index"]), device.get_output(0)
        different += int((expected != found).sum())
        steps = max(steps, float(np.abs(expected.astype(np.float64) - found).max()))
    device.print_allocations()
    print(json.dumps([different, steps]))


if __name__ == "__main__":
    main()
