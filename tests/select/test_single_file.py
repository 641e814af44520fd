"""`edac export --single`: what is written, what is refused, and what lies beside a registered variant."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from flows.cli import main
from stages.core.project import files
from stages.push import bundle
from stages.runtime.litert import Model

sys.path.insert(0, str(Path(__file__).parent.parent / "push"))
import tiny  # type: ignore[import-not-found]


@pytest.fixture(scope="module")
def selected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("selected")
    (folder / "features").mkdir()
    (folder / "selected").mkdir()
    frontend, model, *_ = tiny.tflites()
    features = tiny.write_features(folder / "features")
    return Path(tiny.write_selection(folder / "selected", features, frontend, model, 0))


def export(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main.main(["export", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("kind", ["selected", "release"])
def test_one_file_and_how_to_use_it(
    selected: Path, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, target = selected, tmp_path / "classifier.tflite"
    if kind == "release":
        folder = tmp_path / "release"
        bundle.build(folder, selected=selected, version=1)
    assert export("--single", "--folder", folder, "--output", target) == 0
    assert "to the bit on 4 golden recordings" in capsys.readouterr().out
    waveforms = np.random.default_rng(1).normal(size=(5, tiny.CLIP_SAMPLES)).astype(np.float32)
    expected = Model(folder / "model.tflite").run(Model(folder / "frontend.tflite").run(waveforms))
    assert np.array_equal(Model(target).run(waveforms), expected)
    about = json.loads(target.with_suffix(".json").read_text())
    assert about["labels"] == tiny.LABELS
    assert (about["sample_rate"], about["clip_samples"], about["threshold"]) == (8000, 4000, 0.5)
    assert about["sha256"] == files.sha256(target)
    assert about["made_of"]["model.tflite"] == files.sha256(folder / "model.tflite")


def test_nothing_is_overwritten_and_mistakes_are_one_sentence(
    selected: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.tflite").write_bytes(b"mine")
    (tmp_path / "b.json").write_text("mine")
    for output in ("a.tflite", "b.tflite", "c.onnx", "absent/d.tflite"):
        assert export("--single", "--folder", selected, "--output", tmp_path / output) == 1
        said = capsys.readouterr().err
        assert said.startswith("error: "), said
        assert said.count("\n") == 1
    assert export("--single", "--folder", tmp_path, "--output", tmp_path / "e.tflite") == 1
    assert "dvc repro" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tflite", "b.json"]
