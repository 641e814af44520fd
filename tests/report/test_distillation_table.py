"""Teacher against students, from folders made up by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import f1_score, precision_score, recall_score

from flows.cli import main
from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import evaluation
from stages.core.artifacts.dataset import SplitLabels
from stages.core.artifacts.evaluation import EvaluatedVariant
from stages.core.artifacts.variant import Variant, write_variants
from stages.core.project import files, layout
from stages.core.project.errors import DataError
from stages.core.scoring.metrics import MetricParams
from stages.core.scoring.summary import summarise
from stages.report import distillation
from stages.report.distillation import Folders
from tests import examples

LABELS = ("a", "b", "c")


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    rng = np.random.default_rng(3)
    y = np.arange(30) % 3
    logits = rng.normal(size=(30, 3)) + 2 * np.eye(3)[y]
    scores = {"float32": softmax(logits / 2, axis=1), "static_wi8_ai8": np.eye(3)[(y + (y == 2)) % 3]}
    folders = Folders(*(tmp_path / path for path in (layout.TEACHER, layout.FEATURES, layout.SWEEP, layout.EVALUATION)))
    for folder in (folders.teacher, folders.features, folders.sweep / "scores", folders.evaluation):
        folder.mkdir(parents=True)

    def judged(scores: np.ndarray) -> dict[str, object]:
        groups = np.array([str(i) for i in range(30)])
        few = MetricParams(resamples=10)
        return summarise(SplitLabels(y, groups, np.full(30, "")), scores, labels=LABELS, params=few)

    clips = [
        {"clip_id": f"{i}", "path": "", "split": "validation", "label": LABELS[y[i]], "group": f"{i}", "site": ""}
        | {"parent": ""}
        for i in range(30)
    ]
    files.write_csv(folders.features / "clips.csv", clips_file.COLUMNS, clips)
    described = {"labels": list(LABELS), "clip_samples": 80000, "sample_rate": 16000}
    files.write_json(folders.features / "frontend.json", described)
    np.save(folders.teacher / "logits_validation.npy", logits.astype(np.float32))
    teacher = {
        "teacher": "ensemble",
        "about": {"kind": "3 edac_cnn over seeds", "parameters": 300, "bytes": 1200},
        "validation": judged(softmax(logits, axis=1)),
    }
    files.write_json(folders.teacher / "teacher.json", teacher)
    variants = []
    for scheme, each in scores.items():
        name = f"baseline-{scheme}"
        np.savez(folders.sweep / "scores" / f"{name}.npz", validation=each)
        known: dict[str, Any] = {"name": name, "key": "k", "criterion": "", "schedule": "", "scheme": scheme}
        known |= {"sparsity": 0.0, "measured_sparsity": 0.0, "bit_width": 8, "seed": 0, "sha256": "0" * 64}
        known |= {"raw_bytes": 100, "deflated_bytes": 50, "operators": {}, "keras_difference": 0.0, "parameters": 7}
        variants.append(Variant(**known, metrics={"validation": examples.split_metrics(**judged(each))}))
    write_variants(folders.sweep / "variants.json", variants)
    evaluated = EvaluatedVariant(variants[0], latency_p50_ms=2.5, latency_p95_ms=3.0, raw_ratio=1.0, deflated_ratio=1.0)
    evaluation.write(folders.evaluation, [evaluated])
    return folders


def test_figures_are_those_of_scikit_learn_and_of_hand_arithmetic(folders: Folders) -> None:
    (teacher, student, eight), n = distillation.collect(folders)
    assert n == 30
    assert (teacher.name, teacher.parameters, teacher.raw_bytes) == ("teacher: 3 edac_cnn over seeds", 300, 1200)
    assert teacher.kl == pytest.approx(0, abs=1e-6)
    assert (student.parameters, student.raw_bytes, student.deflated_bytes, student.cpu_ms) == (7, 100, 50, 0.5)
    logits = np.load(folders.teacher / "logits_validation.npy").astype(np.float64)
    p, q = softmax(logits, axis=1), softmax(logits / 2, axis=1)
    assert student.kl == pytest.approx(np.mean(np.sum(p * (np.log(p) - np.log(q)), axis=1)), rel=1e-5)
    y, predicted = np.arange(30) % 3, q.argmax(axis=1)
    assert student.precision == pytest.approx(precision_score(y, predicted, average="macro"))
    assert student.recall == pytest.approx(recall_score(y, predicted, average="macro"))
    assert student.f1 == pytest.approx(f1_score(y, predicted, average="macro"), abs=1e-6)
    assert student.accuracy == pytest.approx(np.mean(y == predicted), abs=1e-6)
    assert eight.cpu_ms is None
    assert np.isfinite(eight.kl), "though it says 0 of what the teacher thinks possible"
    assert (eight.accuracy, eight.recall) == pytest.approx((2 / 3, 2 / 3), abs=1e-6)


def test_the_divergence_of_sigmoids_counts_both_answers() -> None:
    taught, scores = np.array([[0.8]]), np.array([[0.5]])
    expected = 0.8 * np.log(0.8 / 0.5) + 0.2 * np.log(0.2 / 0.5)
    assert distillation.divergence(taught, scores, multi_label=False) == pytest.approx(expected)
    both = distillation.divergence(np.repeat(taught, 2, axis=1), np.repeat(scores, 2, axis=1), multi_label=True)
    assert both == pytest.approx(expected)


def test_two_classes_count_the_positive_one() -> None:
    y, predicted = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 0])
    assert distillation.precision_and_recall(y, predicted, binary=True) == pytest.approx((2 / 3, 2 / 3))
    several = np.array([[1, 0, 0], [1, 1, 0]])  # nobody has the third
    assert distillation.precision_and_recall(several, several, binary=False) == (1.0, 1.0)


def test_the_command_prints_ours_and_the_published(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folders.teacher.parents[1])
    with pytest.raises(SystemExit, match="0"):
        main.main(["table", "distillation"])
    said = capsys.readouterr().out
    assert "| teacher: 3 edac_cnn over seeds | 300 | 1,200 | – |" in said
    assert "| Simple student | 0.81 | 0.35 |" in said
    assert "| Student Wav2Vec 2.0 | 9.51% | 65M | 262MB | 1560s | 51s |" in said
    with pytest.raises(SystemExit, match="0"):
        main.main(["table", "distillation", "--format", "csv"])
    assert capsys.readouterr().out.splitlines()[2].startswith("baseline-float32,7,100,50,0.5,")


def test_without_a_teacher_it_says_what_to_do(folders: Folders) -> None:
    files.write_json(folders.teacher / "teacher.json", {"teacher": None})
    with pytest.raises(DataError, match=r"teacher.json names no teacher. Set distill.teacher"):
        distillation.collect(folders)
