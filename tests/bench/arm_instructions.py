"""Instructions that a decision takes on 64-bit Arm, for every scheme of three networks; prints Markdown.

    python -m tests.bench.arm_instructions [--architecture edac_cnn strided_cnn] [--runs 10]

QEMU's user-mode emulation runs the device's own code (`stages.runtime.litert`, LiteRT on one thread) and a plug-in of
it counts the instructions of each decision, the front end aside. Cycles are out of an emulator's reach; instructions
are exact to 0.1 %, and do not depend on what else a machine does. Two processors: a Cortex-A72 (Raspberry Pi 4) and a
Cortex-A76 (Raspberry Pi 5), which has dot products of 8-bit integers. Weights are random, 90 % of them zero, of the
published shapes. Needs what `tests/device/arm.py` needs, qemu-user and a C compiler.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stages.core.project import plugins, tables
from stages.quantize.convert import to_float32
from stages.quantize.params import SCHEMES, QuantizeParams
from stages.runtime.litert import Model
from tests.bench.schemes import SHAPES, network_and_clips
from tests.device.arm import CORTEX_A72, CORTEX_A76, Device, make_device

PLUGIN = Path(__file__).with_name("count_instructions.c")
PROCESSORS = (CORTEX_A72, CORTEX_A76)
GUEST = """
import json, os, sys
from pathlib import Path
import numpy as np
from stages.runtime.litert import Model
model, clips = Model(Path(sys.argv[1])), np.load(sys.argv[2])
for clip in clips:
    os.getsid(0)
    scores = model.run(clip[np.newaxis])
os.getsid(0)
print(json.dumps(scores[0].tolist()))
"""


class Counter:
    """Counts the instructions of decisions on emulated processors.

    Parameters
    ----------
    folder : Path
        For the plug-in and counts.
    """

    def __init__(self, folder: Path) -> None:
        plugin, self._count = folder / "count.so", folder / "count.txt"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", plugin, PLUGIN], check=True)
        emulator = ["qemu-aarch64", "-plugin", f"file={plugin}", "-d", "plugin", "-D", str(self._count)]
        made = make_device().folder
        self._devices = {processor.name: Device(made, processor, emulator) for processor in PROCESSORS}

    def decision(self, processor: str, model: Path, clips: Path) -> tuple[np.ndarray, list[float]]:
        """Return the instructions of the decision on each clip, and the scores of the last."""
        printed = self._devices[processor].python("-c", GUEST, model, clips, cwd=Path(__file__).parents[2])
        return np.diff(np.array(self._count.read_text().split(), np.int64)), json.loads(printed)


def rows(counter: Counter, architecture: str, folder: Path, runs: int) -> Iterator[Sequence[str]]:
    """Return a row per scheme: bytes; for each processor instructions, their spread, and how far off scores are."""
    model, inputs = network_and_clips(architecture, 32)
    np.save(folder / "clips.npy", inputs[:runs])
    float32 = to_float32(model)
    for name in plugins.names(SCHEMES):
        scheme, config = QuantizeParams().scheme(name)
        made = scheme.quantize(config, float32, inputs)
        path = folder / f"{name}.tflite"
        path.write_bytes(made)
        cells = []
        for processor in PROCESSORS:
            counts, there = counter.decision(processor.name, path, folder / "clips.npy")
            differences = np.abs(Model(path).run(inputs[runs - 1][np.newaxis])[0] - np.array(there))
            cells += [f"{np.median(counts) / 1e6:.2f}", f"{np.ptp(counts[1:]) / np.median(counts):.2%}"]
            cells += [f"{differences.max():.0e}"]
        yield architecture, name, f"{len(made):,}", *cells


def main() -> None:
    """Count and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    known = ["edac_cnn", "edac_cnn_lstm", "strided_cnn"]
    parser.add_argument("--architecture", nargs="+", choices=sorted(SHAPES), default=known)
    parser.add_argument("--runs", type=int, default=10)
    asked = parser.parse_args()
    head = ["network", "scheme", "bytes"]
    for processor in PROCESSORS:
        head += [f"{processor.name}: million instructions", "spread", "scores differ by"]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        counter = Counter(folder)
        found = [row for name in asked.architecture for row in rows(counter, name, folder, asked.runs)]
    print(tables.markdown(head, found, text_columns=2))


if __name__ == "__main__":
    main()
