"""Every JSON artifact comes back as it was written, and a bad file is one sentence that names the stage to run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.core.artifacts import evaluation, frontend, network, pull_report, selection, split, sweep, teacher, variant
from stages.core.artifacts.estimates import Estimate, SiteMetrics, SplitMetrics
from stages.core.artifacts.evaluation import EvaluatedVariant
from stages.core.artifacts.frontend import Frontend
from stages.core.artifacts.network import NetworkDescription
from stages.core.artifacts.pull_report import ClassCounts, Excluded, PullReport
from stages.core.artifacts.selection import (
    DataFacts,
    Drop,
    Drops,
    Measured,
    Rule,
    Selection,
    VariantComparison,
)
from stages.core.artifacts.split import LeakageAudit, SplitCounts, SplitReport, SplitSummary
from stages.core.artifacts.sweep import SweepDescription
from stages.core.artifacts.teacher import Teacher, TeacherReport
from stages.core.project.errors import DataError
from tests import examples

ESTIMATE = Estimate(0.8, 0.7, 0.9)
METRICS = SplitMetrics(
    n=50,
    groups=10,
    classes={"no": 30, "yes": 20},
    threshold=(0.25, 0.5),
    pooled={"roc_auc": ESTIMATE, "f1": Estimate(None, reason="one class only")},
    sites={"home": SiteMetrics(20, 4, {"no": 20}, {"roc_auc": ESTIMATE})},
)
VARIANT = examples.variant("v", metrics={"validation": METRICS, "test": METRICS}, teacher=Teacher("an ensemble", "CC0"))
PULLED = PullReport("demo", "Nobody", "CC0", "", 3, 2, 2, {"no": ClassCounts(2, 1)}, (Excluded("a.wav", "silent"),))
SUMMARY = SplitSummary(3, 2, {"no": 1.0}, {"home": SplitCounts(3, 2, {"no": 1.0})})
DROP = Drop(0.01, -0.02, 0.03, None)
SELECTION = Selection(
    variant=VARIANT.file,
    registered_name="coughs",
    labels=("no", "yes"),
    threshold=0.5,
    validation=METRICS,
    test=METRICS,
    drop=Drops(DROP, DROP),
    data=DataFacts.of(PULLED),
    measured=Measured(100, 50, 0.5, 0.7),
    rule=Rule("roc_auc", 0.02, 0.95),
    reason="the smallest",
    n_variants=3,
    golden=("a", "b"),
    golden_scores=((0.1,), (0.9,)),
)
Case = tuple[Any, Callable[[Path, Any], None], Callable[[Path], Any], str]
CASES: dict[str, Case] = {
    "frontend.json": (Frontend(("no", "yes"), 8000, 4000, bands=(1.0, 2.0)), frontend.write, frontend.read, "features"),
    "architecture.json": (
        NetworkDescription("ds_cnn", {"stem": 4}, (10, 8), 2, 99, kept={"conv": (0, 2)}, teacher=Teacher("t")),
        network.write,
        network.read,
        "train",
    ),
    "teacher.json": (
        TeacherReport("ensemble", "k", "s", ("no", "yes"), {"kind": "3 nets"}, METRICS),
        teacher.write,
        teacher.read,
        "distill",
    ),
    "evaluation.json": (
        [EvaluatedVariant(VARIANT, 0.5, 0.7, 1.0, 1.0, robustness={"clean": {"f1": ESTIMATE}})],
        evaluation.write,
        evaluation.read,
        "evaluate",
    ),
    "selection.json": (SELECTION, selection.write, selection.read, "select"),
    "comparison.json": (
        VariantComparison(("v",), {"v": DROP}),
        selection.write_comparison,
        selection.read_comparison,
        "select",
    ),
    "sweep.json": (SweepDescription("k", {"seeds": "[1]"}), sweep.write, sweep.read, "sweep"),
    "pull_report.json": (
        PULLED,
        lambda folder, value: pull_report.write(folder / "pull_report.json", value),
        lambda folder: pull_report.read(folder / "pull_report.json"),
        "pull",
    ),
    "split_report.json": (
        SplitReport(SUMMARY, SUMMARY, SUMMARY, LeakageAudit(2, 3)),
        lambda folder, value: split.write_report(folder / "split_report.json", value),
        lambda folder: split.read_report(folder / "split_report.json"),
        "split",
    ),
    "variants.json": (
        [VARIANT],
        lambda folder, value: variant.write_variants(folder / "variants.json", value),
        lambda folder: variant.read_variants(folder / "variants.json"),
        "sweep",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_written_comes_back_and_the_same_value_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    value, write, read, _ = CASES[name]
    write(tmp_path, value)
    assert read(tmp_path) == value
    first = (tmp_path / name).read_bytes()
    write(tmp_path, read(tmp_path))
    assert (tmp_path / name).read_bytes() == first


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("damage", ["missing", "not JSON", "unknown field", "wrong type"])
def test_a_bad_file_is_named_with_the_stage_that_makes_it(tmp_path: Path, name: str, damage: str) -> None:
    value, write, read, stage = CASES[name]
    write(tmp_path, value)
    content = json.loads((tmp_path / name).read_text())
    one = content[0] if isinstance(content, list) else content
    if damage == "missing":
        (tmp_path / name).unlink()
    elif damage == "not JSON":
        (tmp_path / name).write_text("{")
    elif damage == "unknown field":
        one["surprise"] = 1
        (tmp_path / name).write_text(json.dumps(content))
    else:
        one[list(one)[-1]] = {"deep": {"wrong": object.__name__}}
        (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"{name}.* Run `dvc repro {stage}`"):
        read(tmp_path)


def test_defaults_are_left_out_of_a_network_description(tmp_path: Path) -> None:
    network.write(tmp_path, NetworkDescription("ds_cnn", {}, (10, 8), 2, 99))
    written = json.loads((tmp_path / "architecture.json").read_text())
    assert set(written) == {"name", "config", "input_shape", "n_classes", "n_parameters"}
