import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from mlflow.entities import DatasetInput, Run

from stages.core.artifacts import frontend
from stages.core.artifacts.estimates import Estimate, SiteMetrics, SplitMetrics
from stages.core.artifacts.frontend import Frontend
from stages.core.artifacts.variant import Variant
from stages.core.project import files, provenance
from stages.core.project.errors import DataError
from stages.core.tracking import connection, experiment, moved, records
from stages.core.tracking.connection import Tracker
from stages.core.tracking.records import Registration
from stages.runtime.rejection import Rejection

VARIANT = Variant(
    name="polynomial-s0.90-float32-seed1",
    key="k1",
    criterion="magnitude",
    schedule="polynomial",
    sparsity=0.9,
    measured_sparsity=0.9001,
    scheme="float32",
    bit_width=32,
    seed=1,
    sha256="0" * 64,
    raw_bytes=1000,
    deflated_bytes=500,
    operators={"FULLY_CONNECTED": 1},
    keras_difference=1e-7,
    metrics={
        "validation": SplitMetrics(n=7, groups=2, pooled={"roc_auc": Estimate(0.8, 0.7, 0.9)}),
        "test": SplitMetrics(n=5, groups=2, sites={"Zürich (2)": SiteMetrics(3, 1, {}, {"f1": Estimate(None)})}),
    },
    weights={"CONV_2D int4": 30, "DEPTHWISE_CONV_2D int8": 10},
    mean_bits=5.0,
    calibration={"method": "mse"},
    parameters=300,
    flops=4000,
    rounded_zeros=0.01,
    median_difference=0.002,
    xz_bytes=450,
)
CLIP_SAMPLES = 8


@pytest.fixture(scope="session")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    return connection.connect(tmp_path_factory.mktemp("mlruns"))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A front end that takes the mean of pairs, and a model that sums and squashes."""
    from stages.core.nn.keras import tf

    folder = tmp_path_factory.mktemp("models")
    graphs = {
        "frontend": (CLIP_SAMPLES, lambda x: tf.reduce_mean(tf.reshape(x, (1, 4, 2)), axis=-1)),
        "model": (4, lambda x: tf.sigmoid(tf.reduce_sum(x, axis=-1, keepdims=True))),
    }
    for name, (length, graph) in graphs.items():
        concrete = tf.function(graph).get_concrete_function(tf.TensorSpec((1, length), tf.float32))
        converted = tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()
        (folder / f"{name}.tflite").write_bytes(converted)
    frontend.write(folder, Frontend(("no", "yes"), 8000, CLIP_SAMPLES))
    return folder


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"a model")
    return path


def test_a_variant_becomes_one_finished_run_however_often_it_is_logged(tracker: Tracker, model_file: Path) -> None:
    parents = set()
    for _ in range(3):
        with tracker.sweep("once", {"seeds": [1]}) as parent:
            tracker.log_variant(VARIANT, model_file, parent)
            parents.add(parent)
    assert parents == {parent}

    (run,) = tracker.client.search_runs([tracker.experiment_id], "tags.`edac.key` = 'k1'")
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.data.tags["sha256"] == VARIANT.sha256
    assert run.data.params["sparsity"] == "0.9"
    assert run.data.params["weights.CONV_2D int4"] == "30"
    assert run.data.params["calibration.method"] == "mse"
    assert run.data.metrics == {
        "raw_bytes": 1000,
        "deflated_bytes": 500,
        "xz_bytes": 450,
        "rounded_zeros": 0.01,
        "median_difference": 0.002,
        "mean_bits": 5.0,
        "parameters": 300,
        "flops": 4000,
        "measured_sparsity": 0.9001,
        "keras_difference": 1e-7,
        "validation.n": 7,
        "validation.groups": 2,
        "validation.roc_auc": 0.8,
        "validation.roc_auc.low": 0.7,
        "validation.roc_auc.high": 0.9,
        "test.n": 5,
        "test.groups": 2,
        "test.sites.Zürich _2_.n": 3,
        "test.sites.Zürich _2_.groups": 1,
    }
    stored = Path(run.info.artifact_uri.removeprefix("file://")) / f"{VARIANT.name}.tflite"
    assert stored.read_bytes() == b"a model"


def test_many_variants_cost_one_question_and_none_is_logged_twice(
    tracker: Tracker, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"many{i:02d}" for i in range(experiment.FEW)]
    many = [(replace(VARIANT, key=key, name=key), model_file) for key in keys]
    with tracker.sweep("many", {}) as first:
        for variant, model in many[:2]:
            tracker.log_variant(variant, model, first)
        tracker.log_variants(many[:4], first)  # few
        tracker.log_variants(many[:4], first)

    search, tag = (Mock(wraps=method) for method in (tracker.client.search_runs, tracker.client.set_tag))
    with tracker.sweep("more", {}) as second, monkeypatch.context() as patch:
        patch.setattr(tracker.client, "search_runs", search)
        patch.setattr(tracker.client, "set_tag", tag)
        for _ in range(2):
            tracker.log_variants(many, second)
    assert search.call_count == 2
    assert tag.call_count == 4, "those that the first sweep made become members of the second, once"

    runs = tracker.client.search_runs([tracker.experiment_id], "tags.`edac.key` LIKE 'many%'")
    assert sorted(run.data.tags["edac.key"] for run in runs) == keys
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert (tracker.keys(first), tracker.keys(second)) == (set(keys[:4]), set(keys))


def test_a_run_that_a_kill_left_open_is_closed_and_logged_again(tracker: Tracker, model_file: Path) -> None:
    open_run = tracker._create("half", {"edac.key": "k2"})  # what kill -9 leaves between create and terminate
    with tracker.sweep("killed", {}) as parent:
        tracker.log_variant(replace(VARIANT, key="k2"), model_file, parent)

    assert tracker.client.get_run(open_run).info.status == "KILLED"
    runs = tracker.client.search_runs([tracker.experiment_id], "tags.`edac.key` = 'k2'")
    assert sorted(run.info.status for run in runs) == ["FINISHED", "KILLED"]


def test_a_failed_sweep_is_shown_as_failed_until_it_succeeds(tracker: Tracker) -> None:
    with pytest.raises(KeyError), tracker.sweep("failing", {}) as parent:
        raise KeyError
    assert tracker.client.get_run(parent).info.status == "FAILED"
    with tracker.sweep("failing", {}) as again:
        assert tracker.client.get_run(parent).info.status == "RUNNING"
    assert again == parent
    assert tracker.client.get_run(parent).info.status == "FINISHED"


def test_open_runs_of_another_folder_are_left_alone(tracker: Tracker) -> None:
    foreign = tracker.client.create_run(tracker.experiment_id, tags={"edac.host": "elsewhere:/x"}).info.run_id
    with tracker.sweep("mine", {}):
        pass
    assert tracker.client.get_run(foreign).info.status == "RUNNING"


def test_later_figures_join_the_variants_run(tracker: Tracker, model_file: Path) -> None:
    with tracker.sweep("later", {}) as parent:
        tracker.log_variant(replace(VARIANT, key="k3"), model_file, parent)
    later = {"latency_ms": {"p50": 1.5}}
    assert tracker.add_metrics({"k3": later, "never logged": later}) == {"k3"}
    assert tracker.add_metrics({"k3": {}} | {f"never logged {i}": later for i in range(experiment.FEW)}) == {"k3"}
    (run,) = tracker.client.search_runs([tracker.experiment_id], "tags.`edac.key` = 'k3'")
    assert run.data.metrics["latency_ms.p50"] == 1.5
    assert run.info.status == "FINISHED"


def test_figures_that_a_run_has_are_not_written_again(tracker: Tracker, model_file: Path) -> None:
    run_id = tracker.log_variant(replace(VARIANT, key="k4"), model_file)
    for value in (1.5, 1.5, 2.5):
        tracker.add_metrics({"k4": {"latency_ms": value, "still": 3.0}})
    histories = {name: tracker.client.get_metric_history(run_id, name) for name in ("latency_ms", "still")}
    assert {name: [m.value for m in each] for name, each in histories.items()} == {
        "latency_ms": [1.5, 2.5],
        "still": [3.0],
    }


def test_flat_joins_names_with_dots() -> None:
    nested = {"a": {"b": 1, "c": {"d": 2.5}}, "e": None, "f": True, "g": "x"}
    assert experiment.flat(nested) == {"a.b": 1.0, "a.c.d": 2.5}


@pytest.mark.thorough
def test_a_registered_model_loads_and_scores_without_tensorflow(tracker: Tracker, models: Path, tmp_path: Path) -> None:
    waveforms = np.linspace(-1, 1, 2 * CLIP_SAMPLES, dtype=np.float32).reshape(2, CLIP_SAMPLES)

    def register(sha256: str, note: str) -> int:
        variant, description = replace(VARIANT, sha256=sha256), f"Made as *{note}*."
        rule = Rejection("distance", 0.1, 0.9)
        new = Registration(
            variant,
            models,
            waveforms,
            n_outputs=1,
            tags={"note": note},
            description=description,
            labels=("no", "yes"),
            threshold=0.5,
            reject=rule,
        )
        version = tracker.register("tiny", new)
        tracker.set_alias("tiny", records.CHAMPION, version)
        return version

    sha256 = files.sha256(models / "model.tflite")
    first = register(sha256, "a")
    assert register("f" * 64, "b") == first + 1
    assert register(sha256, "c") == first, "the same file is not registered twice"
    champion = tracker.client.get_model_version_by_alias("tiny", records.CHAMPION)
    assert int(champion.version) == first
    assert champion.tags["sha256"] == sha256
    assert champion.tags["note"] == "c"
    assert tracker.version("tiny", sha256) == first
    assert tracker.version("tiny", "e" * 64) is None

    assert champion.description == "Made as *c*."

    script = f"""
import json, sys

class NoTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "tf_keras"):
            raise ModuleNotFoundError(f"No module named {{name!r}}")

sys.meta_path.insert(0, NoTensorFlow())
import mlflow, numpy as np
mlflow.set_tracking_uri({mlflow_uri(tracker)!r})
model = mlflow.pyfunc.load_model("models:/tiny@champion")
scores = model.predict(model.input_example)
flat = np.zeros((1, 8), np.float32)
decided = model.predict(np.concatenate([model.input_example, flat]), params={{"decisions": True}}).tolist()
try:
    model.predict(np.zeros((1, 3), np.float32))
    refused = False
except mlflow.exceptions.MlflowException:
    refused = True
print(json.dumps({{"scores": scores.tolist(), "decided": decided, "refused": refused,
                   "tensorflow": "tensorflow" in sys.modules,
                   "signature": str(model.metadata.signature),
                   "runtime": sys.modules["stages.runtime.litert"].__file__}}))
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    expected = 1 / (1 + np.exp(-waveforms.reshape(2, 4, 2).mean(-1).sum(-1, keepdims=True)))
    np.testing.assert_allclose(answer["scores"], expected, rtol=1e-6)
    told = ["unknown" if abs(logit) < 0.1 else "yes" if logit > 0 else "no" for logit in waveforms.mean(1) * 4]
    assert answer["decided"] == [*told, "unknown"]
    assert answer["refused"]
    assert not answer["tensorflow"]
    assert "float32 (shape=(-1, 8))" in answer["signature"] or "Tensor('float32', (-1, 8))" in answer["signature"]
    assert "/code/stages/runtime/" in answer["runtime"], "the registered model carries its own code"


@pytest.fixture
def registered(tracker: Tracker, model_file: Path, request: pytest.FixtureRequest) -> tuple[str, int, Path]:
    """A model of the test's own name, its version, and the folder of its release."""
    name, folder = request.node.name, model_file.parent / "selected"
    files.write_text(folder / "golden/0.wav", "a recording")
    for file in ("model.tflite", "frontend.tflite", "selection.json"):
        files.write_text(folder / file, f"{file} of {name}")
    frontend.write(folder, Frontend(("no", "yes"), 8000, CLIP_SAMPLES))
    variant = replace(VARIANT, key=name, sha256=files.sha256(folder / "model.tflite"))
    return name, register(tracker, name, variant, folder), folder


def register(tracker: Tracker, name: str, variant: Variant, release: Path) -> int:
    example = np.zeros((1, CLIP_SAMPLES), np.float32)
    version = tracker.register(name, Registration(variant, release, example, n_outputs=1))
    tracker.set_alias(name, records.CHAMPION, version)
    return version


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_release_comes_back_from_the_registry_as_it_was(
    tracker: Tracker, registered: tuple[str, int, Path], tmp_path: Path
) -> None:
    name, version, folder = registered
    assert tracker.download(name, records.CHAMPION, tmp_path / "a") == version
    assert content(tmp_path / "a") == content(folder)
    (folder / "golden/0.wav").rename(folder / "golden/1.wav")
    variant = replace(VARIANT, key=name, sha256=files.sha256(folder / "model.tflite"))
    assert register(tracker, name, variant, folder) == version
    assert tracker.download(name, records.CHAMPION, tmp_path / "b") == version
    assert content(tmp_path / "b") == content(folder), "nothing is left of what it was made of before"


@pytest.mark.parametrize("name, alias", [("no such", "champion"), (None, "challenger")])
def test_what_is_not_registered_cannot_be_fetched(
    tracker: Tracker, registered: tuple[str, int, Path], tmp_path: Path, name: str | None, alias: str
) -> None:
    name = name or registered[0]
    with pytest.raises(DataError, match=f"model '{re.escape(name)}' .*alias '{alias}'"):
        tracker.download(name, alias, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def damage(place: Path) -> None:
    (place / "model.tflite").write_text("other")


@pytest.mark.parametrize("harm", [damage, shutil.rmtree])
def test_a_release_that_lies_incomplete_is_refused(
    tracker: Tracker, registered: tuple[str, int, Path], tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    name, version, _ = registered
    found = tracker.client.get_model_version(name, str(version))
    artifacts = tracker.client.get_run(str(found.run_id)).info.artifact_uri
    harm(Path(artifacts.removeprefix("file://")) / found.tags["release"])
    with pytest.raises(DataError, match=f"version {version} lies incomplete in the registry"):
        tracker.download(name, records.CHAMPION, tmp_path / "a")
    tracker.client.delete_model_version_tag(name, str(version), "release")
    with pytest.raises(DataError, match="lies incomplete"):
        tracker.download(name, records.CHAMPION, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_figures_of_a_device_join_the_registered_version(tracker: Tracker, registered: tuple[str, int, Path]) -> None:
    name, version, _ = registered
    figures = {"together_ms": {"p50": 12.5}, "throttling": {"now": ["hot"]}, "power_w": None}
    tracker.add_device_metrics(name, version, "pi (attic)", figures)
    found = tracker.client.get_model_version(name, str(version))
    assert json.loads(found.tags["device.pi _attic_"]) == figures
    measured = tracker.client.get_run(str(found.run_id)).data.metrics
    assert {key: value for key, value in measured.items() if key.startswith("device.")} == {
        "device.pi _attic_.together_ms.p50": 12.5,
    }
    latencies = tracker.device_latencies([name, "never logged"])
    assert latencies == {name: {"pi _attic_": 12.5}, "never logged": {}}


def mlflow_uri(tracker: Tracker) -> str:
    return str(tracker.client.tracking_uri)


@pytest.mark.thorough
def test_four_processes_lose_no_run() -> None:
    command = [sys.executable, "-m", "tests.bench.tracking", "40", "4"]
    done = subprocess.run(command, cwd=provenance.ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["runs"], told["lost"], told["twice"]) == (40, 0, 0)


def test_runs_name_the_data_by_its_digest_and_the_commit(
    tmp_path: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = ("clip_id", "path", "split", "label", "group", "site", "parent")
    rows = [(f"c{i}", f"/somewhere/{i}", side, "yes", f"g{i}", "", "") for i, side in enumerate(("train", "test"))]
    clips = [dict(zip(columns, row, strict=True)) for row in rows]

    def logged(where: str, key: str) -> Run:
        files.write_csv(tmp_path / "clips.csv", columns, [clip | {"path": where} for clip in clips])
        tracker = connection.connect(tmp_path / "mlruns", "task").with_data(tmp_path)
        with tracker.sweep(key, {}) as parent:
            run = tracker.client.get_run(tracker.log_variant(replace(VARIANT, key=key), model_file, parent))
        assert len(used(tracker.client.get_run(parent))) == 2
        return run

    def used(run: Run) -> list[DatasetInput]:
        assert run.inputs
        return run.inputs.dataset_inputs

    def digests(run: Run) -> dict[str, str]:
        return {each.dataset.name: each.dataset.digest for each in used(run)}

    def git(*command: str) -> str:
        told = subprocess.run(["git", *command], cwd=tmp_path, capture_output=True, text=True, check=True)
        return told.stdout.strip()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    first = logged("here", "a")
    assert set(digests(first)) == {"task test", "task train"}
    assert [each.tags[0].value for each in used(first)] == ["test", "train"]
    assert digests(logged("there", "b")) == digests(first), "of the clips, wherever they lie"
    clips[0]["label"] = "no"
    changed = digests(logged("here", "c"))
    assert changed["task train"] != digests(first)["task train"]
    assert changed["task test"] == digests(first)["task test"]
    assert "mlflow.source.git.commit" not in first.data.tags

    git("init", "-q")
    git("add", "clips.csv")
    git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t")
    tags = logged("here", "d").data.tags
    assert (tags["mlflow.source.git.commit"], tags["mlflow.source.git.dirty"]) == (git("rev-parse", "HEAD"), "false")
    files.write_text(tmp_path / "clips.csv", "changed")
    assert connection.connect(tmp_path / "mlruns", "task").tags["mlflow.source.git.dirty"] == "true"


def test_versions_come_with_their_aliases_and_are_found_by_either(
    tracker: Tracker, registered: tuple[str, int, Path], tmp_path: Path
) -> None:
    name, version, folder = registered
    files.write_text(folder / "model.tflite", "another")
    other = register(tracker, name, replace(VARIANT, key="o", sha256=files.sha256(folder / "model.tflite")), folder)
    tracker.set_alias(name, "candidate", other)
    assert [(each.number, each.aliases) for each in tracker.versions(name)] == [
        (other, ("candidate", "champion")),
        (version, ()),
    ]
    assert tracker.find_version(name, str(version)).number == tracker.download(name, str(version), tmp_path / "a")
    assert tracker.find_version(name, "candidate").number == other
    assert tracker.versions("no such") == []


@pytest.mark.thorough
def test_a_database_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    code = f"import pathlib as p, stages.core.tracking.connection as c; c.create(p.Path({str(tmp_path)!r}))"
    draft = tmp_path / ".draft" / moved.DATABASE
    for size in (1, 100_000):  # of the first tables, and of about half of them
        process = subprocess.Popen([sys.executable, "-c", code], cwd=provenance.ROOT)
        while process.poll() is None and not (draft.exists() and draft.stat().st_size >= size):
            time.sleep(0.001)
        process.kill()
        process.wait()
        assert draft.exists()
        assert not (tmp_path / moved.DATABASE).exists()
    two = [subprocess.Popen([sys.executable, "-c", code], cwd=provenance.ROOT) for _ in range(2)]
    assert [process.wait() for process in two] == [0, 0]
    assert not draft.parent.exists()
    assert connection.connect(tmp_path, "task").client.get_experiment_by_name("task")
