"""Waveform to decision with the EDAC CNN at 8 bits, our runtime against the usual way; prints JSON.

    python -m tests.bench.device [--rounds 30] [--runs 20] [--cold-starts 7]

*usual* is what a newcomer writes: MFCCs by librosa, then the LiteRT interpreter; once as it comes, once with every
thread pool held to one thread. *ours* is `stages.runtime.classify`, one thread. Each lives in a process of its own.
They take turns in every round, each round another first, so that whatever else the machine does falls on all alike; a
ratio is the median over the rounds of the two medians in one round, that of `best` times is of the two quickest runs.
`cpu_ms` is the processor's time of all threads, which others on the machine lengthen less than the clock's. A cold
start is from starting Python to the first answer about a WAV file, in a process that ends after it; its peak memory is
what that process held at most. The weights are random, as time does not depend on them, but for the last layer, which
is scaled so that the sounds' scores differ.

`parts` is where our time goes: the quickest of 200 runs of each part by itself, and what the front end's arithmetic
alone takes at the speed of a large float32 matrix product of NumPy's on one thread: the machine's limit of that graph.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from stages.core.litert.flops import flops
from stages.core.nn import network
from stages.core.project import files, provenance
from stages.features.export import export
from stages.features.frontends import mfcc
from stages.quantize.convert import to_float32
from stages.quantize.schemes import dynamic_wi8_afp32
from stages.runtime import manifest
from stages.runtime.audio import read_wav
from stages.runtime.litert import Model

if TYPE_CHECKING:
    from stages.core.nn.keras import keras

BAR = 3.0
CONFIG = mfcc.Config()
SOUNDS = 8
ONE_THREAD = {f"{pool}_NUM_THREADS": "1" for pool in ("OMP", "OPENBLAS", "MKL", "NUMBA")}

USUAL = """
import sys
import librosa
import numpy as np
from ai_edge_litert.interpreter import Interpreter

folder = sys.argv[1]
interpreter = Interpreter(model_path=folder + "/model.tflite")
interpreter.allocate_tensors()
into, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

def read(path):
    samples, _ = librosa.load(path, sr=22050)
    return samples

def classify(samples):
    features = librosa.feature.mfcc(y=samples, sr=22050, n_mfcc=15).T[np.newaxis, :, :, np.newaxis]
    interpreter.set_tensor(into, features.astype(np.float32))
    interpreter.invoke()
    return float(interpreter.get_tensor(out)[0, 0])
"""

OURS = """
import sys
from pathlib import Path
from stages.runtime.audio import read_wav
from stages.runtime.classify import Classifier

folder = sys.argv[1]
classifier = Classifier(Path(folder))

def read(path):
    samples, _ = read_wav(Path(path))
    return samples

def classify(samples):
    return classifier.classify(samples, 22050)["score"]
"""

# Answers the first sound at once, then times as many runs as it is told, line by line.
SERVE = """
import json, time
print(json.dumps(classify(read(folder + "/0.wav"))), flush=True)
sounds = [read(f"{folder}/{i}.wav") for i in range(int(sys.argv[2]))]
for line in sys.stdin:
    runs = []
    for i in range(int(line)):
        start, busy = time.perf_counter(), time.process_time()
        classify(sounds[i % len(sounds)])
        runs.append([time.perf_counter() - start, time.process_time() - busy])
    print(json.dumps(runs), flush=True)
held = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("VmHWM"))
peak = int(held["VmHWM"].split()[0]) / 1024
print(json.dumps({"scores": [classify(sound) for sound in sounds], "peak_rss_mib": peak}))
"""

# Times each part of ours by itself, in turns, and a large matrix product.
PARTS = """
import json, time
import numpy as np

samples = read(folder + "/0.wav")
clip = classifier.clip(samples, 22050)[np.newaxis]
features = classifier.frontend.run(clip)
matrix = np.random.default_rng(0).standard_normal((1024, 1024), np.float32)
parts = {
    "all_ms": lambda: classify(samples),
    "front_end_ms": lambda: classifier.frontend.run(clip),
    "model_ms": lambda: classifier.model.run(features),
    "silence_ms": lambda: classifier.is_silent(samples, 22050),
    "matrix_product_ms": lambda: matrix @ matrix,
}
best = dict.fromkeys(parts, float("inf"))
for _ in range(200):
    for name, run in parts.items():
        start = time.perf_counter()
        run()
        best[name] = min(best[name], 1e3 * (time.perf_counter() - start))
print(json.dumps({name: round(value, 3) for name, value in best.items()}))
"""

WAYS: dict[str, tuple[str, dict[str, str]]] = {
    "ours": (OURS, {}),
    "usual_one_thread": (USUAL, ONE_THREAD),
    "usual_default": (USUAL, {}),
}


def make_sounds(folder: Path) -> np.ndarray:
    """Write bursts of noise, some with a tone, as WAV files; return them: shape (SOUNDS, clip_samples), float32."""
    rng, t = np.random.default_rng(0), np.arange(CONFIG.clip_samples) / CONFIG.sample_rate
    for i in range(SOUNDS):
        burst = rng.standard_normal(len(t)) * np.exp(-4 * ((t - rng.uniform(0, 7)) % 2)) * 10 ** rng.uniform(-2, -0.7)
        tone = 0.1 * np.sin(2 * np.pi * rng.uniform(100, 5000) * t) * (i % 2)
        soundfile.write(folder / f"{i}.wav", np.clip(burst + tone, -1, 1), CONFIG.sample_rate, subtype="PCM_16")
    return np.stack([read_wav(folder / f"{i}.wav")[0] for i in range(SOUNDS)])


def _spread_scores(model: "keras.Model", features: np.ndarray) -> None:
    from stages.core.nn.keras import keras

    last = model.layers[-1]
    before = keras.Model(model.inputs, model.layers[-2].output)(features).numpy()
    kernel, _ = last.get_weights()
    logits = before @ kernel
    last.set_weights([kernel / logits.std(), -logits.mean(axis=0) / logits.std()])


def prepare(folder: Path) -> None:
    """Write a release of the EDAC CNN with random weights, and sounds."""
    from stages.core.nn.keras import keras

    keras.utils.set_random_seed(1)
    model, _ = network.build("edac_cnn", {}, mfcc.feature_shape(CONFIG), 2)
    frontend, sounds = export(mfcc, CONFIG), make_sounds(folder)
    _spread_scores(model, Model(frontend).run(sounds))
    small = dynamic_wi8_afp32.quantize(dynamic_wi8_afp32.Config(), to_float32(model), None)
    (folder / manifest.MODEL).write_bytes(small)
    (folder / manifest.FRONTEND).write_bytes(frontend)
    (folder / "MODEL_CARD.md").write_text("Random weights.\n")
    values = {
        "schema": manifest.SCHEMA,
        "name": "bench",
        "version": 1,
        "device_class": manifest.ANY_CLASS,
        "card": "MODEL_CARD.md",
        "labels": ["negative", "positive"],
        "threshold": 0.5,
        "sample_rate": CONFIG.sample_rate,
        "clip_samples": CONFIG.clip_samples,
        "files": {path.name: files.sha256(path) for path in sorted(folder.iterdir())},
        "golden": [{"file": "0.wav", "scores": [0.5]}],
        "tolerance": 1.0,
        "model": {},
    }
    files.write_json(folder / manifest.NAME, values)


def start(way: str, folder: Path, sounds: int) -> "subprocess.Popen[str]":
    """Start a process that serves one way."""
    source, threads = WAYS[way]
    environment = {key: value for key, value in os.environ.items() if key not in ONE_THREAD} | threads
    environment["PYTHONPATH"] = str(provenance.ROOT)
    command = [sys.executable, "-c", source + SERVE, str(folder), str(sounds)]
    return subprocess.Popen(command, env=environment, stdin=-1, stdout=-1, stderr=subprocess.DEVNULL, text=True)


def ask(process: "subprocess.Popen[str]", runs: int) -> dict[str, float]:
    """Return the milliseconds of some runs: median and least by the clock, median of the processor's."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{runs}\n")
    process.stdin.flush()
    clock, cpu = 1e3 * np.array(json.loads(process.stdout.readline())).T
    return {"time_ms": float(np.median(clock)), "cpu_ms": float(np.median(cpu)), "best": float(clock.min())}


def cold_start(way: str, folder: Path) -> dict[str, float]:
    """Return the seconds to the first answer of a fresh process, and its peak memory."""
    begin = time.perf_counter()
    with start(way, folder, 0) as process:
        assert process.stdout
        process.stdout.readline()
        seconds = time.perf_counter() - begin
        out, _ = process.communicate()
    return {"cold_start_s": seconds, "cold_peak_rss_mib": json.loads(out)["peak_rss_mib"]}


def parts(folder: Path) -> dict[str, float]:
    """Return the milliseconds of our parts, and those of the front end's arithmetic at this machine's speed."""
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": str(provenance.ROOT)}
    command = [sys.executable, "-c", OURS + PARTS, str(folder)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(run.stdout)
    per_ms = 2 * 1024**3 / found.pop("matrix_product_ms")
    operations = 2 * flops((folder / manifest.FRONTEND).read_bytes())  # which counts multiply-adds
    return found | {
        "gflops_of_a_matrix_product": round(per_ms / 1e6, 1),
        "front_end_mflops": round(operations / 1e6, 1),
        "front_end_at_that_speed_ms": round(operations / per_ms, 3),
    }


def measure(folder: Path, *, rounds: int, runs: int, cold_starts: int) -> dict[str, Any]:
    """Return every figure, per way and against ours."""
    for way in WAYS:
        cold_start(way, folder)  # brings the files into the page cache
    cold = [{way: cold_start(way, folder) for way in WAYS} for _ in range(cold_starts)]
    served = {way: start(way, folder, SOUNDS) for way in WAYS}
    for process in served.values():
        assert process.stdout
        process.stdout.readline()
        ask(process, runs)  # to warm up
    turns = [[*WAYS][i % len(WAYS) :] + [*WAYS][: i % len(WAYS)] for i in range(rounds)]
    warm = [{way: ask(served[way], runs) for way in turn} for turn in turns]
    ends = {way: json.loads(process.communicate()[0]) for way, process in served.items()}

    def median(figures: list[dict[str, dict[str, float]]], way: str, name: str) -> float:
        return round(statistics.median(figure[way][name] for figure in figures), 3)

    def ratio(figures: list[dict[str, dict[str, float]]], way: str, name: str) -> float:
        return round(statistics.median(figure[way][name] / figure["ours"][name] for figure in figures), 2)

    named = [("time_ms", warm), ("cpu_ms", warm), ("cold_start_s", cold), ("cold_peak_rss_mib", cold)]
    result: dict[str, Any] = {"model": "edac_cnn, dynamic_wi8_afp32", "parts": parts(folder)}
    for way in WAYS:
        result[way] = {name: median(figures, way, name) for name, figures in named}
        result[way]["best_time_ms"] = round(min(figure[way]["best"] for figure in warm), 3)
        result[way]["peak_rss_mib"] = round(ends[way]["peak_rss_mib"], 1)
    for way in WAYS:
        if way != "ours":
            ratios = {name: ratio(figures, way, name) for name, figures in named}
            for name in ("best_time_ms", "peak_rss_mib"):
                ratios[name] = round(result[way][name] / result["ours"][name], 2)
            result[way]["ratio"] = ratios
            differences = np.abs(np.subtract(ends[way]["scores"], ends["ours"]["scores"]))
            result[way]["largest_score_difference"] = float(differences.max())
    result["scores"] = ends["ours"]["scores"]
    result["bar"] = BAR
    result["reached"] = {
        way: {name: value >= BAR for name, value in result[way]["ratio"].items()} for way in WAYS if way != "ours"
    }
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--cold-starts", type=int, default=7)
    with tempfile.TemporaryDirectory() as temporary:
        prepare(Path(temporary))
        print(json.dumps(measure(Path(temporary), **vars(parser.parse_args())), indent=2))
