"""Students of wav2vec2-base's real shape, random weights: bytes, processor time and peak memory; prints JSON.

    python -m tests.bench.wav2vec2 [--layers 1 2 4] [--seconds 1] [--rounds 3] [--runs 3] [--recordings FOLDER]

A checkpoint of 94.4 M parameters is written, students take layers of it and are converted, each in a process of its
own. Then, round by round, every file and PyTorch's network of as many layers take turns: each in a process of its own,
on one thread, timed by the processor (the least of `--runs` after one to warm up), with the kernel's own record of the
memory it held at most. Figures are medians over the rounds; a ratio is PyTorch's median over LiteRT's.

`differences` are the mean distances of a score from the float32 file's, over sixteen clips of either kind, with a head
that spreads the scores: of pink noise; of pure tones, of which most filters of the first convolution hear nothing; and
of the loudest part of sixteen recordings below a folder.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RATE = 16_000
N_LAYERS = 12  # of base
SCHEMES = ("float32", "weight_only_wi8_afp32", "dynamic_wi8_afp32", "static_wi8_ai8")
STATIC = ("static_wi8_ai16", "static_wi8_ai8")
COMPARED = [
    *((name, "") for name in SCHEMES[1:3]),
    *((name, way) for name in STATIC for way in ("min_max", "percentile")),
]


def clips(seconds: float, n: int = 1) -> np.ndarray:
    """Return noise, (n, n_samples, 1) float32."""
    return np.random.default_rng(0).normal(0, 0.1, (n, int(seconds * RATE), 1)).astype(np.float32)


def loudest(folder: Path, seconds: float, n: int = 16) -> np.ndarray:
    """Return the loudest part of recordings chosen at random that are long enough, (n, n_samples, 1) float32."""
    from stages.core.audio import decode

    n_samples, found = int(seconds * RATE), list[np.ndarray]()
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".ogg", ".flac"))
    for path in np.random.default_rng(0).permutation(np.array(paths, object)):
        heard = decode.load(path, RATE)
        if len(found) == n:
            break
        if len(heard) >= n_samples:
            starts = range(0, len(heard) - n_samples + 1, RATE // 4)
            windows = [heard[start : start + n_samples] for start in starts]
            found.append(max(windows, key=lambda window: float(np.square(window).sum())))
    return np.array(found, np.float32)[..., None]


def sounds(seconds: float, n: int = 16) -> dict[str, np.ndarray]:
    """Return clips of pink noise and of tones from 100 to 5,100 Hz, each (n, n_samples, 1) float32."""
    t = np.arange(int(seconds * RATE)) / RATE
    white = np.random.default_rng(1).normal(size=(n, t.size))
    pink = np.fft.irfft(np.fft.rfft(white) / np.sqrt(20 + np.fft.rfftfreq(t.size, 1 / RATE)), n=t.size)
    tones = np.sin(2 * np.pi * 100 * 1.3 ** np.arange(n)[:, None] * t) + white / 50
    return {
        name: (0.2 * x / x.std(axis=1, keepdims=True))[..., None].astype(np.float32)
        for name, x in (("pink noise", pink), ("tones", tones))
    }


def spread(model: Any, heard: np.ndarray) -> None:
    """Change the head so that the scores of clips have a mean of one half and are far apart."""
    from stages.core.training.distillation_loss import logits_network

    logits = logits_network(model)(heard).numpy()
    kernel, bias = model.layers[-1].get_weights()
    gain = 2 / logits.std()
    model.layers[-1].set_weights([gain * kernel, gain * (bias - logits.mean())])


def peak_mb() -> float:
    """Return the memory that this process has held at most."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


def timed(work: Callable[[], Any], runs: int) -> float:
    """Return the least of the processor times of several runs (s), after one more."""
    took = []
    for _ in range(runs + 1):
        start = time.process_time()
        work()
        took.append(time.process_time() - start)
    return min(took[1:])


def write(folder: Path) -> dict[str, Any]:
    """Write a checkpoint of base's shape."""
    import torch
    import transformers

    torch.manual_seed(0)
    network = transformers.Wav2Vec2ForSequenceClassification(transformers.Wav2Vec2Config(num_labels=2))
    network.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return {"parameters": sum(p.numel() for p in network.parameters())}


def make(folder: Path, n_layers: int, seconds: float, *recordings: str) -> dict[str, Any]:
    """Build a student, convert it and write a file per scheme."""
    from stages.core.nn import network
    from stages.core.project import compression
    from stages.quantize.check import check
    from stages.quantize.convert import to_float32
    from stages.quantize.params import QuantizeParams
    from stages.runtime.litert import Model

    options = {"wav2vec2_student": {"checkpoint": folder, "layers": n_layers, "head": "checkpoint"}}
    start = time.process_time()
    model, described = network.build("wav2vec2_student", options, (int(seconds * RATE), 1), 2)
    float32 = to_float32(model)
    told: dict[str, Any] = {"parameters": described.n_parameters, "float32_s": time.process_time() - start}
    for name in SCHEMES:
        scheme, config = QuantizeParams().scheme(name)
        start = time.process_time()
        content = scheme.quantize(config, float32, clips(seconds, 4))
        took = time.process_time() - start
        check(content, scheme=scheme, config=config, float32=float32)
        (folder / f"{n_layers}_{name}.tflite").write_bytes(content)
        deflated = compression.deflated_bytes(content)
        told[name] = {"raw_bytes": len(content), "deflated_bytes": deflated, "quantise_s": round(took, 1)}
    told["differences"] = {}
    real = {Path(name).name: loudest(Path(name), seconds) for name in recordings}
    for kind, heard in {**sounds(seconds), **real}.items():
        spread(model, heard)
        float32 = to_float32(model)
        expected, found = Model(float32).run(heard), {}
        for name, calibration in COMPARED:
            chosen = QuantizeParams(options={name: {"calibration": calibration}} if calibration else {})
            scheme, config = chosen.scheme(name)
            scores = Model(scheme.quantize(config, float32, heard)).run(heard)
            found[f"{name} {calibration}".rstrip()] = round(float(np.abs(scores - expected).mean()), 4)
        told["differences"][kind] = found
    return told


def litert(folder: Path, n_layers: int, scheme: str, seconds: float, runs: int) -> dict[str, float]:
    """Run a file on one thread."""
    from stages.runtime.litert import Model

    model, clip = Model(folder / f"{n_layers}_{scheme}.tflite"), clips(seconds)
    took = timed(lambda: model.run(clip), runs)
    return {"ms": 1e3 * took / seconds, "peak_mb": peak_mb(), "score": float(model.run(clip)[0, 0])}


def pytorch(folder: Path, n_layers: int, seconds: float, runs: int) -> dict[str, float]:
    """Run PyTorch's network on one thread."""
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    network = transformers.Wav2Vec2ForSequenceClassification.from_pretrained(
        folder, num_hidden_layers=n_layers, local_files_only=True
    ).eval()
    prepare = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder, local_files_only=True)
    values = prepare(list(clips(seconds)[..., 0]), sampling_rate=RATE, return_tensors="pt").input_values
    with torch.inference_mode():
        took = timed(lambda: network(values), runs)
        score = float(torch.softmax(network(values).logits, 1)[0, 1])
    return {"ms": 1e3 * took / seconds, "peak_mb": peak_mb(), "score": score}


def child(task: str, *arguments: Any) -> dict[str, Any]:
    """Do a task in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.wav2vec2", "--task", task, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def task(name: str, folder: str, *rest: str) -> dict[str, Any]:
    """Do a task in this process."""
    place = Path(folder)
    if name == "write":
        return write(place)
    if name == "make":
        return make(place, int(rest[0]), float(rest[1]), *rest[2:])
    if name == "pytorch":
        return pytorch(place, int(rest[0]), float(rest[1]), int(rest[2]))
    return litert(place, int(rest[0]), rest[1], float(rest[2]), int(rest[3]))


def measured(folder: Path, n_layers: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of a student."""
    seconds, rounds, runs = options.seconds, options.rounds, options.runs
    told = child("make", folder, n_layers, seconds, *options.recordings)
    heard: dict[str, list[dict[str, float]]] = {name: [] for name in ("pytorch", *SCHEMES)}
    for _ in range(rounds):
        heard["pytorch"].append(child("pytorch", folder, n_layers, seconds, runs))
        for name in SCHEMES:
            heard[name].append(child("litert", folder, n_layers, name, seconds, runs))
    told["pytorch"] = {}
    for name, results in heard.items():
        told[name] |= {key: round(float(np.median([r[key] for r in results])), 4) for key in ("ms", "peak_mb", "score")}
    for name in SCHEMES:
        for key in ("ms", "peak_mb"):
            told[name][f"{key}_ratio"] = round(told["pytorch"][key] / told[name][key], 2)
    return told


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=1.0, help="of audio at once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--recordings", nargs="*", default=[], help="folders")
    parser.add_argument("--task", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        print(json.dumps(task(*options.task)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told: dict[str, Any] = {"checkpoint": child("write", folder), "seconds": options.seconds}
        for n in options.layers:
            told[f"{n} layers"] = measured(folder, n, options)
            print(json.dumps({n: told[f"{n} layers"]}), file=sys.stderr)
        teacher = [child("pytorch", folder, N_LAYERS, options.seconds, options.runs) for _ in range(options.rounds)]
        told["teacher in PyTorch"] = {
            key: round(float(np.median([r[key] for r in teacher])), 4) for key in ("ms", "peak_mb", "score")
        }
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
