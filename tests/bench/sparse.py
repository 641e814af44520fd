"""Sparse files against dense ones: bytes, latency and loading time by sparsity; prints JSON.

    python -m tests.bench.sparse [--architecture edac_cnn ds_cnn] [--sparsity 0.3 0.6 0.9] [--rounds 60] [--arm]

Both files hold the same weights and give the same scores; they take turns in every round, on one thread. A ratio is the
median over the rounds of dense over sparse: above 1, sparse is faster. For the forms that LiteRT refuses, its reason.

With --arm the float32 pair also runs on the emulated Arm of `tests/device/arm.py`, which `make arm` makes. XNNPACK
skips zeros there (`sparse_cnn`) and not on x86 with AVX; an emulator's times say how many instructions are saved, and
no more.
"""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.litert import flatbuffer
from stages.core.project import compression
from stages.quantize.convert import to_float32
from stages.quantize.params import QuantizeParams
from stages.quantize.schemes import _sparse
from stages.runtime.errors import RuntimeInputError
from stages.runtime.litert import Model
from tests.bench.schemes import SHAPES, network_and_clips, timed

PAIRS = ("float32", "float16", "weight_only_wi8_afp32")
ROOT = Path(__file__).parents[2]
GUEST = """
import json, sys, time
from pathlib import Path
import numpy as np
from stages.runtime.litert import Model
names = ("dense", "sparse")
models = {name: Model(Path(f"{name}.tflite")) for name in names}
clip = np.random.default_rng(1).normal(size=(1, *models["dense"].input_shape)).astype(np.float32)
seconds = {name: [] for name in names}
for i in range(-2, int(sys.argv[1])):
    for name in names:
        start = time.process_time()
        models[name].run(clip)
        if i >= 0:
            seconds[name].append(time.process_time() - start)
ratio = np.median(np.divide(seconds["dense"], seconds["sparse"]))
print(json.dumps({f"{n}_ms": round(1e3 * np.median(seconds[n]), 1) for n in names} | {"speed_ratio": round(ratio, 2)}))
"""
REFUSED = ("dynamic_wi8_afp32", "static_wi8_ai8")


def quantised(scheme: str, float32: bytes, clips: np.ndarray) -> bytes:
    """Return a scheme's file."""
    module, config = QuantizeParams().scheme(scheme)
    return bytes(module.quantize(config, float32, clips))


def compared(dense: bytes, sparse: bytes, clips: np.ndarray, rounds: int) -> dict[str, Any]:
    """Return bytes and ratios of a pair of files."""
    contents = {"dense": dense, "sparse": sparse}
    models = {name: Model(content) for name, content in contents.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    loading: dict[str, list[float]] = {name: [] for name in models}
    for i in range(-5, rounds):  # the first five rounds warm up
        for name, model in models.items():
            took = timed(lambda model=model: model.run(clips[:1]))[0]  # type: ignore[misc]
            if i >= 0:
                seconds[name].append(took)
        if i >= 0 and i % 10 == 0:
            for name, content in contents.items():
                loading[name].append(timed(lambda content=content: Model(content))[0])  # type: ignore[misc]
    return {
        "raw_bytes": {name: len(content) for name, content in contents.items()},
        "raw_ratio": round(len(dense) / len(sparse), 2),
        "deflated_bytes": {name: compression.deflated_bytes(content) for name, content in contents.items()},
        "median_ms": {name: round(1e3 * float(np.median(took)), 3) for name, took in seconds.items()},
        "speed_ratio": round(float(np.median(np.divide(seconds["dense"], seconds["sparse"]))), 2),
        "loading_ms": {name: round(1e3 * float(np.median(took)), 1) for name, took in loading.items()},
        "same_scores": bool(np.array_equal(models["dense"].run(clips), models["sparse"].run(clips))),
    }


def on_arm(dense: bytes, sparse: bytes, rounds: int) -> dict[str, float]:
    """Return processor times in ms of a pair of files on an emulated Arm, and the median ratio over the rounds."""
    from tests.device.arm import make_device

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "stages" / "runtime", folder / "stages" / "runtime")
        (folder / "dense.tflite").write_bytes(dense)
        (folder / "sparse.tflite").write_bytes(sparse)
        return dict(json.loads(make_device().python("-c", GUEST, str(rounds), cwd=folder)))


def measure(architecture: str, sparsity: float, rounds: int, *, arm: bool) -> dict[str, Any]:
    """Return every pair at one sparsity, and why the others do not run."""
    model, clips = network_and_clips(architecture, 4, sparsity)
    float32 = to_float32(model)
    found: dict[str, Any] = {"sparsity": round(flatbuffer.read(float32).sparsity, 3)}
    for scheme in PAIRS:
        sparse = quantised(f"sparse_{scheme}", float32, clips)
        found[scheme] = compared(quantised(scheme, float32, clips), sparse, clips, rounds)
    if arm:
        found["float32"]["arm"] = on_arm(float32, quantised("sparse_float32", float32, clips), min(rounds, 9))
    for scheme in REFUSED:
        try:
            Model(_sparse.encode(quantised(scheme, float32, clips)))
            found[scheme] = "runs"
        except RuntimeInputError as error:
            found[scheme] = str(error)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", nargs="+", choices=sorted(SHAPES), default=["edac_cnn", "ds_cnn"])
    parser.add_argument("--sparsity", type=float, nargs="+", default=[0.3, 0.6, 0.9])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--arm", action="store_true")
    given = parser.parse_args()
    result = {
        a: {str(s): measure(a, s, given.rounds, arm=given.arm) for s in given.sparsity} for a in given.architecture
    }
    print(json.dumps({"cpus": os.cpu_count(), "load_average": round(os.getloadavg()[0], 2)} | result, indent=2))
