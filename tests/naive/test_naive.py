"""The naive reference on recordings that plain spectra tell apart, and on ones that nothing does."""

from pathlib import Path

import numpy as np
import pytest

from stages.core.artifacts import naive as naive_file
from stages.core.artifacts.recordings import Recording
from stages.core.artifacts.split import SplitName
from stages.core.project.errors import DataError
from stages.core.scoring.metrics import MetricParams
from stages.naive import spectra
from stages.naive.stage import Task, chance, naive
from tests.trees import encode

RATE = 8000
SHOWN = MetricParams(resamples=100)


def task(folder: Path, labels: tuple[str, ...], *, audible: bool = True, combined: bool = False) -> Task:
    rng = np.random.default_rng(0)
    recordings, splits = [], {}
    sides: tuple[SplitName, ...] = ("train", "train", "train", "validation", "test")
    for i, label in enumerate((*labels, "|".join(labels[:2])) if combined else labels):
        for take in range(20):
            hz = [400 * 2 ** labels.index(name) for name in label.split("|")] if audible else [300]
            t = np.arange(RATE // 2) / RATE
            samples = sum(0.2 * np.sin(2 * np.pi * f * t) for f in hz) + 0.02 * rng.normal(size=len(t))
            path = folder / f"{i}-{take}.wav"
            encode(path, samples.astype(np.float32), RATE)
            recordings.append(Recording(path.name, path, label, f"g{i}-{take}", "", "", path.name, 0.5, RATE))
            splits[path.name] = sides[take % 5]
    return Task(recordings, splits, labels)


@pytest.mark.thorough
@pytest.mark.parametrize("labels, metric", [(("a", "b"), "roc_auc"), (("a", "b", "c"), "accuracy")])
def test_tones_are_told_apart(labels: tuple[str, ...], metric: str, tmp_path: Path) -> None:
    found = naive(task(tmp_path, labels), tmp_path / "naive", SHOWN, workers=1)
    assert naive_file.read(tmp_path / "naive") == found
    assert found.metric == metric
    assert found.test.metrics[metric].value == 1.0
    assert found.test.n == 4 * len(labels)
    assert found.tried[found.classifier] == max(found.tried.values())


@pytest.mark.thorough
def test_several_labels(tmp_path: Path) -> None:
    found = naive(task(tmp_path, ("a", "b", "c"), combined=True), tmp_path / "naive", SHOWN, workers=1)
    value = found.test.metrics["pr_auc"].value
    assert found.metric == "pr_auc"
    assert value is not None
    assert value > 0.95


@pytest.mark.thorough
def test_what_sounds_alike_is_not_told_apart(tmp_path: Path) -> None:
    found = naive(task(tmp_path, ("a", "b", "c", "d"), audible=False), tmp_path / "naive", SHOWN, workers=1)
    low, value = found.test.metrics["accuracy"].low, found.test.metrics["accuracy"].value
    assert low is not None
    assert value is not None
    assert low <= found.chance["test"]["accuracy"] == 0.25
    assert value < 0.7


@pytest.mark.thorough
def test_a_class_that_nobody_can_learn(tmp_path: Path) -> None:
    whole = task(tmp_path, ("a", "b"))
    lacking = {name: "test" if name.startswith("0") else side for name, side in whole.splits.items()}
    with pytest.raises(DataError, match="no recording of a"):
        naive(Task(whole.recordings, lacking, whole.labels), tmp_path / "naive", SHOWN, workers=1)  # type: ignore[arg-type]


def test_chance_is_the_frequent_class_of_training() -> None:
    train, y = np.array([0, 0, 0, 1, 2]), np.array([0, 1, 1, 2, 2, 2, 1, 1])
    assert chance(train, y, 3) == {"accuracy": 0.125, "balanced_accuracy": 0.333333, "roc_auc": 0.5, "pr_auc": 0.333333}


def test_the_description_hears_the_end_whatever_the_length() -> None:
    """The last of the ten parts is the recording's own end: silence after it would change it."""
    rng = np.random.default_rng(1)
    rising = rng.normal(size=8000) * np.linspace(0.01, 1, 8000)
    short, long = (spectra.describe(rising[:: 2 - i].astype(np.float32)) for i in range(2))
    levels = np.stack([row[5 * spectra.N_MFCC : -1].reshape(spectra.PARTS, -1)[:, 0] for row in (short, long)])
    assert (np.diff(levels, axis=1) > 0).mean() > 0.8
