"""What is said before anything runs: budgets that nothing can keep, and what a front end does to the recordings."""

from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from flows.start import budget, recordings, remarks, sizes
from stages.core.artifacts import pull_report
from stages.core.artifacts.pull_report import PullReport
from stages.core.artifacts.recordings import Recording, write_index, write_labels
from stages.core.project import layout, params
from stages.core.project.errors import ParameterError
from stages.pull.params import PullParams
from tests.messages import line_with
from tests.trees import encode

PARAMS = {
    "pull": {"source": "folder", "options": {"folder": {"root": "sounds", "group_pattern": "/(.+)-"}}},
    "features": {
        "frontend": "log_mel",
        "options": {
            "log_mel": {"sample_rate": 8000, "clip_samples": 8000, "n_fft": 256, "hop_length": 128, "n_mels": 20}
        },
    },
    "train": {"architecture": "ds_cnn", "options": {"ds_cnn": {"width": 0.5}}},
    "sweep": {"schemes": ["float32", "static_wi8_ai8"]},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for label in ("a", "b", "c"):
        for person in ("anna", "ben"):
            rate, seconds = (8000, 0.3) if label == "a" else (4000, 0.2)
            sound = np.sin(np.arange(round(rate * seconds))).astype(np.float32)
            encode(tmp_path / "sounds" / label / f"{person}-1.wav", 0.5 * sound, rate)
    return write(tmp_path)


def write(folder: Path, **changes: dict[str, object]) -> Path:
    path = folder / "params.yaml"
    YAML().dump(PARAMS | changes, path)
    return path


@pytest.mark.thorough
def test_a_budget_below_the_smallest_file_is_refused_with_the_width_that_fits(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, shape = Path("sizes.json"), sizes.Shape((63, 20, 1), 3)
    exact = sizes.measure(sizes.build("ds_cnn", {"width": 0.5}, shape), ["static_wi8_ai8"])["static_wi8_ai8"].raw_bytes
    write(project.parent, select={"budget": {"raw_bytes": exact}})
    budget.require_fits(project, kept)
    write(project.parent, select={"budget": {"raw_bytes": exact - 2000}})
    with pytest.raises(ParameterError) as caught:
        budget.require_fits(project, kept)
    said = str(caught.value)
    assert line_with(said, f"{exact:,} bytes", "ds_cnn", "static_wi8_ai8")
    width = float(said.partition("train.options.ds_cnn.width: ")[2].split(",")[0])
    fitting = sizes.measure(sizes.build("ds_cnn", {"width": width}, shape), ["static_wi8_ai8"])["static_wi8_ai8"]
    assert fitting.raw_bytes <= exact - 2000
    write(project.parent, select={"budget": {"raw_bytes": 1000}})
    with pytest.raises(ParameterError, match="No width of ds_cnn fits"):
        budget.require_fits(project, kept)

    monkeypatch.setattr(sizes, "build", lambda *_: pytest.fail("the sizes are known from the last time"))
    write(project.parent, select={"budget": {"raw_bytes": exact}})
    budget.require_fits(project, kept)


@pytest.mark.parametrize(
    "sweep",
    [
        {"schemes": ["float32", "sparse_float32"], "sparsities": [0.5]},
        {"schemes": ["float32"], "criteria": ["filter_magnitude"], "sparsities": [0.5]},
    ],
)
def test_where_bytes_depend_on_weights_nothing_is_refused(project: Path, sweep: dict[str, object]) -> None:
    write(project.parent, sweep=sweep, select={"budget": {"raw_bytes": 1000}})
    budget.require_fits(project, Path("sizes.json"))


def test_a_network_whose_shape_comes_from_a_file_is_not_judged_before_a_stage_has_made_it(project: Path) -> None:
    student = {"wav2vec2_student": {"checkpoint": "data/teacher/checkpoint"}}
    write(
        project.parent,
        train={"architecture": "wav2vec2_student", "options": student},
        select={"budget": {"raw_bytes": 1}},
    )
    budget.require_fits(project, Path("sizes.json"))


def test_a_large_budget_needs_no_conversion(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "measure", lambda *_: pytest.fail("an upper bound is enough"))
    write(project.parent, select={"budget": {"raw_bytes": 8_000_000}})
    budget.require_fits(project, Path("sizes.json"))


def test_padding_cutting_upsampling_and_windows_are_told(project: Path) -> None:
    found = "\n".join(remarks.remarks(project))
    assert line_with(found, "100%", "shorter than half of the clip")
    assert line_with(found, "67%", "8000 Hz, from 4000 Hz")
    assert line_with(found, "half of the recordings", "0.20 s")
    assert "window" not in found
    write(project.parent, features=params.read(project)["features"] | {"short": "repeat"})
    assert "shorter than half of" not in "\n".join(remarks.remarks(project))
    log_mel = {"sample_rate": 8000, "clip_samples": 1200, "n_fft": 2048, "hop_length": 1024, "n_mels": 20}
    write(project.parent, features={"frontend": "log_mel", "options": {"log_mel": log_mel}})
    found = "\n".join(remarks.remarks(project))
    assert line_with(found, "n_fft 2048", "256 ms")
    assert line_with(found, "hop_length 1024", "128 ms", "1 of a clip")
    assert line_with(found, "100%", "longer than the clip of 0.15 s")


def test_nothing_is_said_where_all_is_well_or_nothing_is_there(project: Path) -> None:
    rules = {"sample_rate": 4000, "clip_samples": 1200, "n_fft": 128, "hop_length": 64, "n_mels": 20}
    write(project.parent, features={"frontend": "log_mel", "options": {"log_mel": rules}})
    assert [each for each in remarks.remarks(project) if "0.20 s" not in each] == []
    write(project.parent, pull={"source": "demo"})
    assert remarks.remarks(project) == []


def test_pulled_recordings_are_known_from_their_index(project: Path) -> None:
    index = [Recording(f"{i}", Path(f"{i}.wav"), "x", f"g{i}", "", "", "", 3.0, 16000) for i in range(4)]
    write_index(layout.INDEX, index)
    write_labels(layout.LABELS, ["x", "y"])
    pull_report.write(layout.PULL_REPORT, PullReport("folder", "", "", "", found=4, usable=4, groups=4, labels={}))
    pull = params.section("pull", PullParams, project)
    assert recordings.labels(pull) == ("x", "y")
    lengths = recordings.lengths(pull)
    assert lengths is not None
    assert lengths[0].tolist() == [3.0] * 4
    assert line_with("\n".join(remarks.remarks(project)), "100%", "longer than the clip of 1 s")
