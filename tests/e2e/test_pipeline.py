"""The whole line, as a person runs it: `dvc repro` on a small corpus, kills, a second copy, and mistakes.

One copy of the project is run once for all the tests here; they only add to it.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages.core.artifacts import naive as naive_file
from stages.core.project import files, provenance
from stages.core.tracking import connection
from tests.marks import thorough_but

# A process that speaks to anybody but this machine writes down to whom. `sitecustomize` is imported by every Python.
LISTENER = """
import os, sys

def hook(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host and host not in ("localhost", "::1", "0.0.0.0", "::") and not host.startswith("127."):
        with open(os.environ["EDAC_TEST_CALLS"], "a") as log:
            log.write(f"{event} {host} by {sys.argv}\\n")

sys.addaudithook(hook)
"""

SMALL: dict[str, dict[str, Any]] = {
    "pull": {"options": {"demo": {"subjects": 24}}},
    "augment": {"copies": {"positive": 1}},
    "features": {
        "frontend": "log_mel",
        "options": {"log_mel": {"clip_samples": 44100, "n_mels": 32, "hop_length": 1024}},
    },
    "train": {
        "architecture": "ds_cnn",
        "epochs": 8,
        "batch_norm_clips": 0,
        "options": {"ds_cnn": {"stem": 8, "widths": [8, 16]}},
    },
    "prune": {"epochs": 1},
    "quantize": {"calibration_clips": 16},
    "sweep": {"schedules": ["polynomial"], "sparsities": [0.5], "schemes": ["float32", "static_wi8_ai8"]},
    "evaluate": {"bootstrap_resamples": 200, "latency_runs": 20},
}


@dataclass(frozen=True)
class Project:
    """A copy of the project in a folder of its own."""

    root: Path
    calls: Path

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        listener = str(self.calls.parent / "listener")
        return os.environ | {"PATH": path, "PYTHONPATH": listener, "EDAC_TEST_CALLS": str(self.calls)}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=self.root, env=self.environment(), capture_output=True, text=True)

    def start(self, *command: str) -> subprocess.Popen[str]:
        quiet = subprocess.DEVNULL
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment(),
            stdout=quiet,
            stderr=quiet,
            text=True,
            start_new_session=True,
        )

    def set(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        yaml = YAML()
        path = self.root / "params.yaml"
        document = yaml.load(path)
        for section, values in changes.items():
            document[section].update(values)
        yaml.dump(document, path)

    def cells(self) -> dict[Path, tuple[str, int]]:
        """Return every finished cell's files with their content and age."""
        store = self.root / "models/cells"
        folders = [folder for kind in ("finetuned", "variants") for folder in (store / kind).glob("[!.]*")]
        found = [path for folder in folders for path in folder.iterdir()]
        return {path: (files.sha256(path), path.stat().st_mtime_ns) for path in found}


def copy_project(folder: Path) -> Project:
    root = folder / "project"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=provenance.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        source = provenance.ROOT / name
        if source.is_file() and not name.startswith(("tests/", "docs/")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, root / name)
    for room in ("flows", "stages"):  # as in a project that has run before
        for compiled in (provenance.ROOT / room).rglob("__pycache__"):
            target = root / compiled.relative_to(provenance.ROOT)  # another worker may be writing `name.pyc.<number>`
            shutil.copytree(compiled, target, ignore=shutil.ignore_patterns("*.pyc.*"))
    (folder / "listener").mkdir()
    (folder / "listener" / "sitecustomize.py").write_text(LISTENER)
    (folder / "calls").touch()
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    project = Project(root, folder / "calls")
    project.set(SMALL)
    return project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    copy = copy_project(tmp_path_factory.mktemp("first"))
    done = copy.run("dvc", "repro")
    assert done.returncode == 0, done.stderr[-3000:]
    return copy


def test_ends_with_a_model_on_the_device_that_classifies_there(project: Project) -> None:
    (pushed,) = files.read_json(project.root / "models/push.json")
    release = project.root / "models/devices/local/current"
    assert pushed["release"] in release.resolve().name
    recording = next((project.root / "data/recordings/audio").glob("s010-*.wav"))
    done = subprocess.run(
        [sys.executable, "-m", "stages.runtime", "classify", str(recording)],
        cwd=release,
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["label"] in ("negative", "positive")
    assert 0 <= answer["score"] <= 1
    assert project.run("edac", "devices").returncode == 0


def test_the_naive_reference_stands_beside(project: Project) -> None:
    found = naive_file.read(project.root / "models/naive")
    value = found.test.metrics["roc_auc"].value
    assert value is not None
    assert value > 0.9, "pooled spectra separate the classes of the demo"
    assert found.chance["test"]["roc_auc"] == 0.5
    assert found.classifier in (project.root / "models/report.html").read_text()


def test_speaks_to_nobody_outside(project: Project) -> None:
    assert project.calls.read_text() == ""


def test_second_run_does_nothing(project: Project) -> None:
    done = project.run("dvc", "repro")
    assert "Data and pipelines are up to date." in done.stdout
    assert "Running stage" not in done.stdout


def test_metrics_plots_and_status(project: Project) -> None:
    shown = project.run("dvc", "metrics", "show", "--json")
    (found,) = json.loads(shown.stdout)[""]["data"].items()
    assert found[0] == "models/selected/metrics.json", shown.stderr
    assert 5 <= len(found[1]["data"]) <= 10
    plotted = project.run("dvc", "plots", "show")
    assert plotted.returncode == 0, plotted.stderr
    page = (project.root / "dvc_plots/index.html").read_text()
    assert not re.search(r"<script[^>]*\bsrc=|<link", page), "the page must need no network"
    assert "/* vega-embed 6.29.0" in page
    assert "false_positive_rate" in page
    assert all(f"{name} against sparsity" in page.lower() for name in ("metric", "size", "latency"))
    assert "validation_loss" in page
    ignored = project.run("git", "status", "--porcelain", "--", "data", "models", "mlruns")
    assert ignored.stdout == "", "what the pipeline makes must be ignored by git"


def test_the_report_loads_nothing_and_is_with_the_sweep_in_mlflow(project: Project) -> None:
    report = project.root / "models/report.html"
    page, selection = report.read_text(), files.read_json(project.root / "models/selected/selection.json")
    assert selection["variant"]["name"] in page
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]* (?:src|href)=(?![\"']?data:)", page)
    tracker = connection.find(project.root / "mlruns", experiment=selection["registered_name"])
    (sweep,) = tracker.sweeps()
    logged = tracker.client.download_artifacts(sweep.run_id, report.name)
    assert files.sha256(Path(logged)) == files.sha256(report)


@pytest.mark.thorough
def test_sweep_survives_kills(project: Project) -> None:
    """Kill the sweep three times in mid-work: what was finished stays, byte for byte, and is not made again."""
    shutil.rmtree(project.root / "models/cells")
    expected = (project.root / "models/sweep/variants.json").read_bytes()
    rng = random.Random(7)
    before: dict[Path, tuple[str, int]] = {}
    kills = 0
    for attempt in range(3):
        running = project.start("python", "-m", "flows.sweep")
        deadline = time.monotonic() + 120
        while len(project.cells()) <= len(before) and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 1.5))
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            kills += running.wait() == -signal.SIGKILL
        time.sleep(1)  # the cells' own processes see that their parent is gone
        now = project.cells()
        assert before.items() <= now.items()
        assert len(now) > len(before) or running.returncode == 0, f"attempt {attempt} finished nothing"
        before = now
    assert kills, "every sweep ended before it could be killed"
    done = project.run("python", "-m", "flows.sweep")
    assert done.returncode == 0, done.stderr[-3000:]
    assert before.items() <= project.cells().items()
    assert (project.root / "models/sweep/variants.json").read_bytes() == expected
    assert not list((project.root / "models/cells").glob("*/.tmp-*"))


@pytest.mark.thorough
def test_another_copy_gives_the_same(project: Project, tmp_path: Path) -> None:
    other = copy_project(tmp_path)
    done = other.run("dvc", "repro", "select")
    assert done.returncode == 0, done.stderr[-3000:]
    for name in (
        "data/index.csv",
        "data/splits.csv",
        "data/features/features.npy",
        "data/features/frontend.tflite",
        "models/baseline/weights.npz",
        "models/sweep/variants.json",
        "models/selected/model.tflite",
    ):
        assert files.sha256(project.root / name) == files.sha256(other.root / name), name


@pytest.mark.thorough
def test_a_clone_on_the_shared_cache_and_store_computes_nothing_and_touches_nothing(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held() -> dict[str, tuple[str, int]]:
        found = [path for name in ("data", "models") for path in (project.root / name).rglob("*") if path.is_file()]
        return {str(path): (files.sha256(path), path.stat().st_mtime_ns) for path in found}

    clone = Project(tmp_path / "clone", project.calls)
    subprocess.run(["git", "clone", "-q", str(project.root), str(clone.root)], check=True)
    shutil.copyfile(project.root / "params.yaml", clone.root / "params.yaml")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", connection.local_uri(project.root / "mlruns"))
    assert clone.run("dvc", "cache", "dir", "--local", str(project.root / ".dvc/cache")).returncode == 0
    before = held()
    done = clone.run("dvc", "repro", "select")
    assert done.returncode == 0, done.stderr[-3000:]
    ran = re.findall(r"Running stage '(\w+)'", done.stdout)
    assert ran == ["distill"], "DVC keeps no runs of a stage whose output persists; without a teacher it ends at once"
    release = "models/selected/model.tflite"
    assert files.sha256(clone.root / release) == files.sha256(project.root / release)
    clone.set({"split": {"seed": 77}})
    done = clone.run("dvc", "repro", "split")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Running stage 'split'" in done.stdout
    assert held() == before


@pytest.mark.thorough
def test_experiment_from_the_command_line(project: Project) -> None:
    done = project.run("dvc", "exp", "run", "-S", "split.seed=99", "--name", "other-split", "split")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "other-split" in project.run("dvc", "exp", "list", "--name-only").stdout
    project.run("git", "checkout", "-q", "params.yaml")
    project.set(SMALL)


MISTAKES: dict[str, tuple[dict[str, dict[str, Any]], str]] = {
    "sparsity in per cent": (
        {"sweep": {"sparsities": [80]}},
        "sweep.sparsities[0] must be a fraction in [0, 1); got 80. Write 0.8 for 80 %.",
    ),
    "unknown front end": (
        {"features": {"frontend": "mffc"}},
        "Did you mean 'mfcc'? Known: log_mel, mel_image, mfcc, raw.",
    ),
    "unknown parameter": ({"train": {"learnig_rate": 0.1}}, "train has no parameter 'learnig_rate'."),
}


@pytest.mark.parametrize("mistake", thorough_but(MISTAKES, "sparsity in per cent"))
def test_mistakes_surface_at_once_in_one_sentence(project: Project, mistake: str, tmp_path: Path) -> None:
    changes, sentence = MISTAKES[mistake]
    original = (project.root / "params.yaml").read_text()
    try:
        project.set(changes)
        done = project.run("dvc", "repro")
    finally:
        (project.root / "params.yaml").write_text(original)
    assert done.returncode != 0
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(told) == 1
    assert sentence in told[0]
    assert "Traceback" not in done.stderr
    assert "Running stage 'pull'" not in done.stdout


@pytest.mark.thorough
def test_a_budget_that_nothing_meets_leaves_a_report_and_devices_alone(project: Project) -> None:
    original = (project.root / "params.yaml").read_text()
    selection, device = project.root / "models/selected/selection.json", project.root / "models/devices/local/current"
    before, release = selection.read_bytes(), device.resolve()
    try:
        project.set({"select": {"budget": {"latency_ms": 1e-6}}})
        done = project.run("dvc", "repro")
        page = (project.root / "models/report.html").read_text()
    finally:
        (project.root / "params.yaml").write_text(original)
    assert done.returncode != 0
    assert "error: no variant was chosen: None of the" in done.stderr
    assert "keeps within select.budget (latency_ms at most 1e-06); the closest" in done.stderr
    assert "Traceback" not in done.stderr
    assert "no variant is chosen" in page
    assert device.resolve() == release
    again = project.run("dvc", "repro")
    assert again.returncode == 0, again.stderr
    assert selection.read_bytes() == before


@pytest.mark.thorough
def test_where_only_the_first_is_promoted_a_worse_sweep_moves_neither_the_champion_nor_what_devices_have(
    project: Project,
) -> None:
    name = files.read_json(project.root / "models/selected/selection.json")["registered_name"]
    tracker = connection.find(project.root / "mlruns", experiment=name)
    champion, device = tracker.find_version(name, "champion"), project.root / "models/devices/local/current"
    release = device.resolve()
    project.set({"select": {"promote": "first"}, "sweep": {"sparsities": [0.99], "schemes": ["float32"]}})
    done = project.run("dvc", "repro")
    candidate = tracker.find_version(name, "candidate")
    assert candidate.number != champion.number == tracker.find_version(name, "champion").number
    told = f"version {candidate.number}, the winner, is not its champion, which is what devices get"
    assert done.returncode != 0
    assert told in done.stderr
    assert device.resolve() == release
