"""What a sweep's run in MLflow tells of its fold and network."""

from pathlib import Path

import pytest

from flows.sweep import project
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts import network as network_file
from stages.core.artifacts.frontend import Frontend
from stages.core.artifacts.network import NetworkDescription
from stages.core.project import layout


def test_fold_seed_front_end_and_recordings_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    network_file.write(layout.BASELINE, NetworkDescription("acdnet", {}, (10, 1), n_classes=3, n_parameters=1))
    frontend_file.write(layout.FEATURES, Frontend(("a", "b", "c"), 8000, 8000, frontend="raw"))
    text = "pull: {source: esc50}\nsplit: {method: official, folds: {test: [5]}}\ntrain: {seed: 7}\n"
    Path("params.yaml").write_text(text)
    assert project.described() == {
        "architecture": "acdnet",
        "frontend": "raw",
        "source": "esc50",
        "classes": "3",
        "fold": "5",
        "teacher": "none",
        "train_seed": "7",
    }
    Path("params.yaml").write_text("pull: {source: demo}\n")
    assert project.described()["fold"] == "none"
    Path("params.yaml").write_text("distill: {teacher: ensemble, alpha: 0.1}\n")
    assert project.described()["teacher"] == "ensemble, T 2, alpha 0.1"
    Path("params.yaml").write_text("distill: {teacher: ensemble, train: false}\n")
    assert project.described()["teacher"] == "none"
