"""The train stage on features that can be learned."""

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import dataset
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts import network as network_file
from stages.core.artifacts.frontend import Frontend
from stages.core.nn import network
from stages.core.nn.keras import tf
from stages.core.project import files
from stages.core.project import params as core_params
from stages.core.project.errors import DataError, ModelError, ParameterError
from stages.core.training import inference, loop
from stages.core.training.teacher import Distillation, TeacherFolder
from stages.train.params import TrainParams
from stages.train.stage import train

tf.config.experimental.enable_op_determinism()
OPTIONS = {"ds_cnn": {"stem": 4, "widths": [8], "dropout": 0.1}}
PARAMS = TrainParams(architecture="ds_cnn", epochs=10, batch_size=16, learning_rate=3e-2, options=OPTIONS)
OUTPUTS = {"architecture.json", "history.csv", "metrics.json", "weights.npz"}


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes, each a band that is 6 dB louder; 60 clips to learn from and 30 to validate on."""
    folder, rng = tmp_path_factory.mktemp("features"), np.random.default_rng(3)
    labels = ["bark", "cough", "rain"]
    y = np.arange(90) % 3
    x = rng.normal(-60, 3, size=(90, 12, 8, 1)).astype(np.float32)
    x[np.arange(90), :, y] += 6
    np.save(folder / "features.npy", x)
    frontend_file.write(folder, Frontend(tuple(labels), 8000, 8000, feature_shape=(12, 8, 1)))
    rows = [
        {"clip_id": f"{i}", "split": "train" if i < 60 else "validation", "label": labels[y[i]], "group": f"g{i}"}
        for i in range(90)
    ]
    files.write_csv(folder / "clips.csv", clips_file.COLUMNS, rows)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.thorough
def test_learns_and_writes_the_same_bytes_after_a_kill(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    metrics = train(features, whole, PARAMS)
    assert metrics["validation"]["accuracy"] >= 0.9
    assert {name: values["n_clips"] for name, values in metrics.items()} == {"train": 60, "validation": 30}
    assert set(contents(whole)) == OUTPUTS
    assert files.read_json(whole / "metrics.json") == metrics
    history = files.read_csv(whole / "history.csv")
    assert [int(row["epoch"]) for row in history] == list(range(1, len(history) + 1))
    assert metrics["validation"]["loss"] == min(float(row["validation_loss"]) for row in history)

    class KilledError(Exception):
        pass

    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0)
    with monkeypatch.context() as patched:
        evaluate, calls = inference.evaluate, []

        def die(*arguments: Any) -> tuple[float, float]:
            calls.append(arguments)
            if len(calls) == 3:
                raise KilledError
            return evaluate(*arguments)

        patched.setattr(loop, "evaluate", die)
        with pytest.raises(KilledError):
            train(features, killed, PARAMS)
    assert not killed.exists()
    (partial,) = tmp_path.glob(".killed.*.partial")
    (partial / ".weights.npz.half").write_bytes(b"half a file")  # what a kill inside a write leaves
    train(features, killed, PARAMS)
    assert contents(killed) == contents(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]


def test_a_network_comes_back_as_it_was(tmp_path: Path) -> None:
    model, description = network.build("ds_cnn", OPTIONS, (12, 8, 1), 3)
    model.set_weights([np.full(w.shape, 0.5, np.float32) for w in model.get_weights()])
    network.save(model, description, tmp_path)
    first, second = network.load(tmp_path), network.load(tmp_path)
    x = np.random.default_rng(0).normal(size=(4, 12, 8, 1)).astype(np.float32)
    np.testing.assert_array_equal(first(x), model(x))
    first.set_weights([w * 0 for w in first.get_weights()])
    np.testing.assert_array_equal(second(x), model(x))

    network_file.write(tmp_path, replace(description, config={**description.config, "stem": 5}))
    with pytest.raises(ModelError, match=r"weights.npz does not fit the architecture"):
        network.load(tmp_path)
    with pytest.raises(DataError, match=r"nowhere .*weights.npz.*`dvc repro train`"):
        network.load(tmp_path / "nowhere")


@pytest.mark.thorough
def test_a_taught_baseline_is_another_one_and_says_what_its_teacher_says(features: Path, tmp_path: Path) -> None:
    y = dataset.read_split(features, "train").y
    wrong = np.eye(3, dtype=np.float32)[(y + 1) % 3] * 4  # a teacher who calls every class by the next one's name
    np.save(tmp_path / "logits_train.npy", wrong)
    files.write_json(tmp_path / "teacher.json", {"teacher": "ensemble", "labels": ["bark", "cough", "rain"]})
    taught = {}
    for alpha in (0.0, 0.9):
        rule = Distillation(teacher="ensemble", temperature=1.0, alpha=alpha)
        longer = dataclasses.replace(PARAMS, patience=PARAMS.epochs)
        taught[alpha] = train(features, tmp_path / "baseline", longer, teacher=TeacherFolder(tmp_path, rule))
    assert taught[0.9]["train"]["accuracy"] > 0.9
    assert taught[0.0]["train"]["accuracy"] < 0.5


def test_an_unknown_architecture_lists_the_known(features: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"train.architecture .*got 'cnn'.*Known: acdnet, bc_resnet, bilstm, "):
        train(features, tmp_path / "baseline", TrainParams(architecture="cnn"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name, value", [("patience", 0), ("threads", 0), ("seed", -1), ("epochs", 0)])
def test_bad_values(name: str, value: int) -> None:
    with pytest.raises(ParameterError, match=rf"train.{name} must be .*; got {value}"):
        TrainParams(**{name: value})  # type: ignore[arg-type]


def test_the_committed_section_loads() -> None:
    assert core_params.section("train", TrainParams).architecture == "edac_cnn"


def test_an_unknown_optimizer_lists_the_known() -> None:
    with pytest.raises(ParameterError, match=r"train.optimizer must .*got 'lbfgs'"):
        core_params.load(TrainParams, {"optimizer": "lbfgs"}, "train")
