"""Instructions that a decision takes on 64-bit Arm, for every scheme of three networks; prints Markdown.

    python -m tests.bench.arm_instructions RESULTS.jsonl [--architecture edac_cnn edac_cnn_lstm] [--runs 3]

QEMU's user-mode emulation runs the device's own code (`stages.runtime.litert`, LiteRT on one thread) and a plug-in of
it counts the instructions of each decision, the front end aside. Cycles are out of an emulator's reach; instructions do
not depend on what else a machine does. Python's interpreter, which runs beside, spreads them by some ten thousand. Two
processors: a Cortex-A72 (Raspberry Pi 4) and a Cortex-A76 (Raspberry Pi 5), which has dot products of 8-bit integers.
Weights are random, 90 % of them zero, of the published shapes; *scores differ by* is against this machine, on the last
clip. What RESULTS holds is not counted again. Needs what `tests/device/arm.py` needs, qemu-user and a C compiler.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from stages.core.nn.keras import keras
from stages.core.project import plugins, tables
from stages.quantize.convert import to_float32
from stages.quantize.params import SCHEMES, QuantizeParams
from stages.quantize.waveform import with_frames
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


def settle(model: keras.Model, clips: np.ndarray) -> None:
    """Give a network of random weights scores of these clips that spread, as a trained network's do."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(clips, training=True)
    last = model.layers[-1]
    kernel, _ = last.get_weights()
    logits = keras.Model(model.inputs, last.input)(clips, training=False).numpy() @ kernel
    last.set_weights([kernel * 1.5 / logits.std(), -1.5 * logits.mean(axis=0) / logits.std()])


def count(counter: Counter, path: Path, clips: np.ndarray) -> dict[str, Any]:
    """Return a file's bytes, and for each processor the instructions, their spread and the scores' difference."""
    np.save(path.with_suffix(".npy"), clips)
    found: dict[str, Any] = {"bytes": path.stat().st_size}
    here = Model(path).run(clips[-1:])[0]
    for processor in PROCESSORS:
        counts, there = counter.decision(processor.name, path, path.with_suffix(".npy"))
        found[processor.name] = {
            "instructions": float(np.median(counts)),
            "spread": float(np.ptp(counts) / np.median(counts)),
            "difference": float(np.abs(here - np.array(there)).max()),
        }
    return found


def counted(known: list[dict[str, Any]], architectures: Sequence[str], runs: int, results: Path) -> None:
    """Count what is not known yet, and append it."""
    done = {(row["network"], row["scheme"]) for row in known}
    with tempfile.TemporaryDirectory() as made:
        counter = Counter(Path(made))
        for architecture in architectures:
            missing = [name for name in plugins.names(SCHEMES) if (architecture, name) not in done]
            if not missing:
                continue
            model, inputs = network_and_clips(architecture, 32)
            settle(model, inputs)
            float32 = to_float32(model)
            for name in tqdm(missing, desc=architecture):
                scheme, config = QuantizeParams().scheme(name)
                path = Path(made) / "model.tflite"
                path.write_bytes(with_frames(scheme.quantize(config, float32, inputs)))
                known.append({"network": architecture, "scheme": name} | count(counter, path, inputs[:runs]))
                with results.open("a") as stream:
                    stream.write(json.dumps(known[-1]) + "\n")


def main() -> None:
    """Count what is missing, then print the table: millions of instructions, by processor."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path)
    networks = ["edac_cnn", "ds_cnn", "strided_cnn"]
    parser.add_argument("--architecture", nargs="+", choices=sorted(SHAPES), default=networks)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    lines = asked.results.read_text().splitlines() if asked.results.is_file() else []
    known = [json.loads(line) for line in lines]
    counted(known, asked.architecture, asked.runs, asked.results)
    for architecture in asked.architecture:
        rows = []
        for row in (row for row in known if row["network"] == architecture):
            cells = [f"{row['bytes']:,}"]
            for processor in PROCESSORS:
                of = row[processor.name]
                cells += [f"{of['instructions'] / 1e6:.2f}", f"{of['spread']:.2%}", f"{of['difference']:.0e}"]
            rows.append((row["scheme"], *cells))
        head = ["scheme", "bytes"]
        for processor in PROCESSORS:
            head += [f"{processor.name}: million instructions", "spread", "scores differ by"]
        print(f"\n{architecture}\n\n{tables.markdown(head, rows, text_columns=1)}")


if __name__ == "__main__":
    main()
