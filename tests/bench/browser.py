"""Browser against Python: scores of every front end, architecture and scheme; speed and first load. Prints JSON lines.

    python -m tests.bench.browser scores FILE.jsonl [SCHEME ...]   # resumes after the last line of FILE.jsonl
    python -m tests.bench.browser speed
    python -m tests.bench.browser table FILE.jsonl   # Markdown, one row per front end and architecture

*scores* runs 20 clips through the files in Python and through the same release in a headless browser: each architecture
with the front end that it was made for, and `ds_cnn` with every front end that fits it. The weights are random, the
normalisations settled on the clips' own features. Schemes whose ends are integers run as one file in the browser; with
`ds_cnn` the other ones do so too, in rows of their own. *speed* compares the published EDAC CNN (7.08 s at 22,050 Hz)
in one run: Python on one thread, the browser with one and with two threads, bytes over the wire, and the time to a
ready page with the page's thread slowed down four times.
"""

import gzip
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.litert import flatbuffer, single
from stages.core.nn import network
from stages.core.nn.keras import keras
from stages.core.project import files, plugins
from stages.features.export import export
from stages.features.params import FRONTENDS
from stages.push import browser, page
from stages.push.page_server import Served, serving
from stages.quantize.convert import to_float32
from stages.quantize.params import SCHEMES, QuantizeParams
from stages.runtime import benchmark, manifest
from stages.runtime.litert import Model, latency
from tests import checkpoints

RATE, N_CLIPS = 16000, 20
NATURAL = {
    "edac_cnn": "mfcc",
    "edac_cnn_lstm": "mel_image",
    "acdnet": "raw",
    "micro_acdnet": "raw",
    "wav2vec2_student": "raw",
}
OPTIONS = {"wav2vec2_student": {"shape": checkpoints.SMALL}}
CONFIGS: dict[str, dict[str, Any]] = {
    "raw": {"clip_samples": 3000},
    "mfcc": {"clip_samples": RATE, "n_fft": 512, "hop_length": 160, "n_mels": 40, "n_mfcc": 15},
    "log_mel": {"clip_samples": RATE, "n_fft": 512, "hop_length": 160, "n_mels": 40},
    "mel_image": {"clip_samples": RATE, "n_fft": 512, "hop_length": 160, "n_mels": 64, "height": 39, "width": 88},
}
EVERY = "ds_cnn"


def pairs() -> list[tuple[str, str]]:
    """Return the pairs of front end and architecture."""
    natural = [(NATURAL.get(name, "log_mel"), name) for name in plugins.names("stages.train.architectures")]
    return natural + [(frontend, EVERY) for frontend in ("mfcc",) if (frontend, EVERY) not in natural]


def waveforms(n_samples: int, n: int = N_CLIPS) -> np.ndarray:
    """Return tones in noise of different levels, one of them silence."""
    rng = np.random.default_rng(11)
    t = np.arange(n_samples) / RATE
    level, hertz = 10 ** rng.uniform(-2.5, -0.3, (n, 1)), rng.uniform(100, 6000, (n, 1))
    clips = level * (np.sin(2 * np.pi * hertz * t) + 0.3 * rng.normal(size=(n, n_samples)))
    clips[0] = 0
    return clips.astype(np.float32)


def settled(architecture: str, features: np.ndarray) -> Any:
    """Return a random network of ten classes whose normalisations are settled on the features."""
    keras.utils.set_random_seed(5)
    options = {architecture: OPTIONS.get(architecture, {})}
    model, _ = network.build(architecture, options, features.shape[1:], 10)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(features, training=True)
    return model


def release(folder: Path, frontend: bytes, model: bytes, *, as_one: bool) -> Path:
    """Write a release that is just enough for questions about scores and latencies."""
    folder.mkdir()
    n_outputs = Model(model).output_shape[0]
    (folder / manifest.FRONTEND).write_bytes(frontend)
    (folder / manifest.MODEL).write_bytes(model)
    if as_one:
        (folder / "single.tflite").write_bytes(single.merge(frontend, model))
    (folder / "MODEL_CARD.md").write_text("# Benchmark\n")
    listed = {path.name: files.sha256(path) for path in folder.iterdir()}
    content = {
        "schema": manifest.SCHEMA,
        "name": "benchmark",
        "version": 1,
        "device_class": "any",
        "card": "MODEL_CARD.md",
        "labels": [str(i) for i in range(max(n_outputs, 2))],
        "threshold": 0.5 if n_outputs == 1 else None,
        "sample_rate": RATE,
        "clip_samples": Model(frontend).input_shape[0],
        "files": listed,
        "golden": [{"file": "MODEL_CARD.md", "scores": [0.0] * n_outputs}],
        "tolerance": 0.01,
        "model": {},
    }
    files.write_json(folder / manifest.NAME, content)
    return folder


def scores(place: Path, *schemes: str) -> None:
    """Append one line for each front end, architecture, scheme and form that the file does not hold yet."""
    known = [json.loads(line) for line in place.read_text().splitlines()] if place.exists() else []
    done = {(row["frontend"], row["architecture"], row["scheme"], row["form"]) for row in known}
    for frontend, architecture in pairs():
        forms = _forms(frontend, architecture)
        wanted = [key for key in forms if key not in done and (not schemes or key[2] in schemes)]
        if not wanted:
            continue
        for row in compare(frontend, architecture, wanted):
            with place.open("a") as stream:
                stream.write(json.dumps(row) + "\n")


def _forms(frontend: str, architecture: str) -> list[tuple[str, str, str, str]]:
    forms = ("two files", "one file") if architecture == EVERY else ("two files",)
    return [(frontend, architecture, scheme, form) for scheme in plugins.names(SCHEMES) for form in forms]


def compare(frontend: str, architecture: str, wanted: list[tuple[str, str, str, str]]) -> Iterator[dict[str, Any]]:
    """Yield the rows of one front end and architecture."""
    module = plugins.load(FRONTENDS, frontend, "features.frontend")
    first = export(module, module.Config(sample_rate=RATE, **CONFIGS[frontend]))
    clips = waveforms(CONFIGS[frontend]["clip_samples"])
    features = Model(first).run(clips)
    float32 = to_float32(settled(architecture, features))
    made: dict[str, bytes] = {}
    for _, _, name, form in wanted:
        scheme, config = QuantizeParams().scheme(name)
        model = made.setdefault(name, scheme.quantize(config, float32, features))
        ends = {*flatbuffer.read(model).inputs, *flatbuffer.read(model).outputs}
        as_one = form == "one file" or ends != {"float32"}
        expected = Model(model).run(features)
        merged = Model(single.merge(first, model)).run(clips) if as_one else expected
        row = {"frontend": frontend, "architecture": architecture, "scheme": name, "form": form}
        with tempfile.TemporaryDirectory() as temporary:
            place = release(Path(temporary) / "release", first, model, as_one=as_one)
            question = {"do": "scores", "threads": 1}
            said = browser.ask(place, question, keys=None, clips=clips.tobytes(), browser=browser.find(), timeout_s=600)
        if not said["ok"]:
            yield row | {"error": said["error"]}
            continue
        found = np.asarray(said["scores"])
        yield row | {
            "difference": float(np.abs(found - expected).max()),
            "equal_decisions": int((found.argmax(1) == expected.argmax(1)).sum()),
            "python_one_file": float(np.abs(merged - expected).max()),
            "spread": float(expected.std(axis=0).max()),
        }


def table(place: Path) -> None:
    """Print the worst difference and the number of equal decisions of each front end, architecture and form."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for line in place.read_text().splitlines():
        row = json.loads(line)
        groups[row["frontend"], row["architecture"], row["form"]].append(row)
    print("| front end | architecture | form | schemes | worst difference | of scheme | equal decisions | refused |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for (frontend, architecture, form), rows in groups.items():
        ran = [row for row in rows if "error" not in row]
        worst = max(ran, key=lambda row: row["difference"], default={"difference": float("nan"), "scheme": ""})
        equal, of = sum(row["equal_decisions"] for row in ran), N_CLIPS * len(ran)
        refused = ", ".join(row["scheme"] for row in rows if "error" in row) or "none"
        figures = f"{worst['difference']:.1e} | {worst['scheme']} | {equal} of {of} | {refused}"
        print(f"| {frontend} | {architecture} | {form} | {len(rows)} | {figures} |")


def speed() -> None:
    """Print the speed of the published EDAC CNN, in 8 bits, and what a first visit loads."""
    frontend = plugins.load(FRONTENDS, "mfcc", "features.frontend")
    first = export(frontend, frontend.Config())
    n_samples = Model(first).input_shape[0]
    clips = waveforms(n_samples, 4)
    features = Model(first).run(clips)
    scheme, config = QuantizeParams().scheme("dynamic_wi8_afp32")
    model = scheme.quantize(config, to_float32(settled("edac_cnn", features)), features)
    parts = (Model(first), clips[0]), (Model(model), features[0])
    seconds = sum(latency(each, sample, warmup=10, runs=50) for each, sample in parts)
    rows: dict[str, Any] = {"Python, one thread": benchmark.percentiles(np.asarray(seconds))["p50"]}
    with tempfile.TemporaryDirectory() as temporary:
        place = release(Path(temporary) / "release", first, model, as_one=False)
        for threads in (1, 2):
            question = {"do": "benchmark", "runs": 50, "threads": threads}
            said = browser.ask(place, question, keys=None, browser=browser.find(), timeout_s=600)
            together = np.asarray(said["frontend_ms"]) + np.asarray(said["model_ms"])
            rows[f"browser, threads: {threads}"] = round(float(np.median(together)), 3)
            rows[f"browser, threads: {threads}, first answer"] = round(said["first_ms"], 1)
        site = Path(temporary) / "site"
        page.write(site, None)
        loaded = [p for p in site.rglob("*") if p.is_file() and "compat" not in p.name and p.suffix != ".mjs"]
        loaded += [p for p in place.rglob("*") if p.is_file()]
        rows["first load, bytes"] = sum(p.stat().st_size for p in loaded)
        rows["first load, bytes after gzip"] = sum(len(gzip.compress(p.read_bytes(), 9)) for p in loaded)
        rows["ready, page slowed 4 times, ms"] = _throttled(site, _answerable(place, first, model, clips))
    clip_ms = 1000 * n_samples / 22050
    rows["real-time factors"] = {k: round(v / clip_ms, 5) for k, v in rows.items() if k.endswith(("thread", "1", "2"))}
    print(json.dumps(rows | {"cpus": os.cpu_count(), "load": os.getloadavg()[0]}, indent=2))


def _answerable(place: Path, first: bytes, model: bytes, clips: np.ndarray) -> Path:
    """Give a release a golden recording that it passes, so that the whole page opens with it."""
    import soundfile

    soundfile.write(place / "0.wav", clips[1], RATE, subtype="FLOAT")
    scores_there = Model(model).run(Model(first).run(clips[1:2]))[0].tolist()
    content = json.loads((place / manifest.NAME).read_text())
    content["files"]["0.wav"] = files.sha256(place / "0.wav")
    content["golden"] = [{"file": "0.wav", "scores": scores_there}]
    files.write_json(place / manifest.NAME, content)
    return place


def _throttled(site: Path, place: Path) -> float:
    from playwright.sync_api import sync_playwright

    with serving(Served(site, place)) as address, sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=browser.find().program)
        tab = started.new_page()
        tab.context.new_cdp_session(tab).send("Emulation.setCPUThrottlingRate", {"rate": 4})
        begin = time.perf_counter()
        tab.goto(address)
        tab.wait_for_selector("html[data-ready]", timeout=60_000)
        taken = time.perf_counter() - begin
        started.close()
    return round(1000 * taken, 1)


if __name__ == "__main__":
    if sys.argv[1:] == ["speed"]:
        speed()
    elif len(sys.argv) >= 3 and sys.argv[1] == "scores":
        scores(Path(sys.argv[2]), *sys.argv[3:])
    elif len(sys.argv) == 3 and sys.argv[1] == "table":
        table(Path(sys.argv[2]))
    else:
        sys.exit(__doc__)
