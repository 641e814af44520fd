"""Browser against Python: scores of every front end, architecture and scheme; speed and first load. Prints JSON lines.

    python -m tests.bench.browser product FILE.jsonl # the full product in small; resumes after its last line
    python -m tests.bench.browser scores FILE.jsonl  # full sizes, one front end per architecture; resumes too
    python -m tests.bench.browser table FILE.jsonl   # Markdown, one row per front end and architecture
    python -m tests.bench.browser speed

*product* and *scores* run 20 clips through the files in Python and through the same release in one headless Chromium.
The weights are random, the normalisations settled on the clips' own features. *product* takes every front end with
every architecture and every scheme, in sizes of a few kilobytes: as two files, as one file, and that one file in
TensorFlow Lite Micro where it is installed. *scores* takes each architecture with the front end that it was made for
and `ds_cnn` with `mfcc` too, which also runs as one file. Schemes whose ends are integers always run as one file in
the browser. *speed* compares the published EDAC CNN (7.08 s at 22,050 Hz) in one run: Python on one thread, the browser
with one and with two threads, bytes over the wire, and the time to a ready page with the page's thread slowed down
four times.
"""

import gzip
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from stages.core.litert import flatbuffer, single
from stages.core.nn.network import ARCHITECTURES
from stages.core.project import files, plugins
from stages.core.project.errors import DeviceError
from stages.features.export import export
from stages.features.params import FRONTENDS
from stages.push import browser, page
from stages.push.page_server import Served, serving
from stages.quantize.params import SCHEMES
from stages.runtime import benchmark, manifest
from stages.runtime.litert import Model, latency
from tests import checkpoints, products
from tests.one_browser import OneBrowser, one_browser, release

RATE, N_CLIPS = 16000, 20
FULL = products.Shapes(
    sample_rate=RATE,
    frontends={
        "raw": {"clip_samples": 3000},
        "mfcc": {"clip_samples": RATE, "n_fft": 512, "hop_length": 160, "n_mels": 40, "n_mfcc": 15},
        "log_mel": {"clip_samples": RATE, "n_fft": 512, "hop_length": 160, "n_mels": 40},
        "mel_image": {"clip_samples": RATE, "n_fft": 512, "hop_length": 160, "n_mels": 64, "height": 39, "width": 88},
    },
    architectures={"wav2vec2_student": {"shape": checkpoints.SMALL}},
    n_classes=10,
)
BOTH = "ds_cnn"  # in full sizes the one architecture that float schemes also run as one file
KINDS: dict[str, Callable[[str], bool]] = {
    "float (7 schemes)": lambda name: not name.startswith(("dynamic", "static")),
    "dynamic 8, 4, 2 bits": lambda name: name.startswith("dynamic"),
    "static_wi8_ai8": lambda name: name == "static_wi8_ai8",
    "static_wi8_ai16": lambda name: name == "static_wi8_ai16",
    "static_wi4_ai8": lambda name: name == "static_wi4_ai8",
}


def waveforms(n_samples: int, n: int = N_CLIPS) -> np.ndarray:
    """Return tones in noise of different levels, one of them silence."""
    rng = np.random.default_rng(11)
    t = np.arange(n_samples) / RATE
    level, hertz = 10 ** rng.uniform(-2.5, -0.3, (n, 1)), rng.uniform(100, 6000, (n, 1))
    clips = level * (np.sin(2 * np.pi * hertz * t) + 0.3 * rng.normal(size=(n, n_samples)))
    clips[0] = 0
    return clips.astype(np.float32)


def keys(small: bool) -> list[tuple[str, str, str, str]]:
    """Return front end, architecture, scheme and form of every row; in full sizes one front end per architecture."""
    natural = [(products.NATURAL.get(name, "log_mel"), name) for name in plugins.names(ARCHITECTURES)]
    every = list(products.pairs()) if small else [*natural, ("mfcc", BOTH)]
    forms = [(frontend, name, "two files") for frontend, name in every]
    forms += [(frontend, name, "one file") for frontend, name in every if small or name == BOTH]
    return [(frontend, name, scheme, form) for frontend, name, form in forms for scheme in plugins.names(SCHEMES)]


def scores(place: Path, *, small: bool) -> None:
    """Append one line for each front end, architecture, scheme and form that the file does not hold yet."""
    known = [json.loads(line) for line in place.read_text().splitlines()] if place.exists() else []
    done = {(row["frontend"], row["architecture"], row["scheme"], row["form"]) for row in known}
    wanted: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for frontend, architecture, scheme, form in keys(small):
        if (frontend, architecture, scheme, form) not in done:
            wanted[frontend, architecture, form].append(scheme)
    shapes = products.SMALL if small else FULL
    with one_browser(shapes.sample_rate) as asked:
        for key, schemes in tqdm(wanted.items()):
            for row in compare(shapes, asked, key, schemes):
                with place.open("a") as stream:
                    stream.write(json.dumps(row) + "\n")


def compare(
    shapes: products.Shapes, asked: OneBrowser, key: tuple[str, str, str], schemes: list[str]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one front end and architecture; those that do not fit say so."""
    frontend, architecture, form = key
    first = shapes.exported(frontend)
    sounds = products.waveforms if shapes is products.SMALL else waveforms
    clips = sounds(shapes.clip_samples(frontend), N_CLIPS)
    features = products.features_of(first, clips)
    network = shapes.settled(architecture, features)
    for scheme in schemes:
        row = {"frontend": frontend, "architecture": architecture, "scheme": scheme, "form": form}
        if network is None:
            yield row | {"does_not_fit": True}
            continue
        model = products.quantised(network, features, [scheme])[scheme]
        is_float = {*flatbuffer.read(model).inputs, *flatbuffer.read(model).outputs} == {"float32"}
        as_one = form == "one file" or not is_float
        expected = Model(model).run(features)
        merged = Model(single.merge(first, model)).run(clips) if as_one else expected
        try:
            found = asked.scores(first, model, clips, as_one=as_one)
        except DeviceError as error:
            yield row | {"error": str(error)}
            continue
        yield row | {
            "difference": float(np.abs(found - expected).max()),
            "equal_decisions": int((found.argmax(1) == expected.argmax(1)).sum()),
            "python_one_file": float(np.abs(merged - expected).max()),
            "spread": float(expected.std(axis=0).max()),
        }


def table(place: Path) -> None:
    """Print the worst difference by kind of scheme and the equal decisions of each front end, architecture and form."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    misfits = defaultdict(set)
    for line in place.read_text().splitlines():
        row = json.loads(line)
        if "does_not_fit" in row:
            misfits[row["frontend"]].add(row["architecture"])
        else:
            groups[row["frontend"], row["architecture"], row["form"]].append(row)
    print("| front end, architecture | " + " | ".join(KINDS) + " | equal decisions |")
    print("| --- |" + " --- |" * (len(KINDS) + 1))
    for (frontend, architecture, form), rows in groups.items():
        ran = [row for row in rows if "error" not in row]
        cells = []
        for belongs in KINDS.values():
            worst = [row["difference"] for row in ran if belongs(row["scheme"])]
            cells.append(f"{max(worst):.0e}" if worst else "none ran")
        name = f"{frontend}, {architecture}" + (", as one file" if form == "one file" else "")
        equal, of = sum(row["equal_decisions"] for row in ran), N_CLIPS * len(ran)
        print(f"| {name} | {' | '.join(cells)} | {equal} of {of} |")
    every = [row for rows in groups.values() for row in rows]
    mute = sum(row.get("spread", 1) == 0 for row in every)
    apart = max((row.get("python_one_file", 0) for row in every), default=0)
    errors = [row for row in every if "error" in row]
    print(f"\n{len(every)} rows, {len(errors)} refused, {mute} whose scores are the same for every clip.")
    print(f"One file against two in Python: at most {apart:g} apart.")
    for row in errors:
        print(f"{row['frontend']}, {row['architecture']}, {row['scheme']}, {row['form']}: {row['error']}")
    for frontend, names in misfits.items():
        print(f"{frontend} does not fit {', '.join(sorted(names))}.")


def speed() -> None:
    """Print the speed of the published EDAC CNN, in 8 bits, and what a first visit loads."""
    frontend = plugins.load(FRONTENDS, "mfcc", "features.frontend")
    first = export(frontend, frontend.Config())
    n_samples = Model(first).input_shape[0]
    clips = waveforms(n_samples, 4)
    features = Model(first).run(clips)
    name = "dynamic_wi8_afp32"
    model = products.quantised(FULL.settled("edac_cnn", features), features, [name])[name]
    parts = (Model(first), clips[0]), (Model(model), features[0])
    seconds = sum(latency(each, sample, warmup=10, runs=50) for each, sample in parts)
    rows: dict[str, Any] = {"Python, one thread": benchmark.percentiles(np.asarray(seconds))["p50"]}
    with tempfile.TemporaryDirectory() as temporary:
        place = release(Path(temporary) / "release", first, model, RATE, as_one=False)
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
    elif len(sys.argv) == 3 and sys.argv[1] == "scores":
        scores(Path(sys.argv[2]), small=False)
    elif len(sys.argv) == 3 and sys.argv[1] == "product":
        scores(Path(sys.argv[2]), small=True)
    elif len(sys.argv) == 3 and sys.argv[1] == "table":
        table(Path(sys.argv[2]))
    else:
        sys.exit(__doc__)
