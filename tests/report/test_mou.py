"""Mou and Milanova's tables beside sweeps whose figures are made by hand."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from stages.core.artifacts.estimates import Estimate, SplitMetrics
from stages.core.artifacts.variant import Variant
from stages.core.project.errors import ParameterError
from stages.core.scoring import interval
from stages.core.tracking import connection
from stages.report import mou, paper

PAPER = paper.read("mou")


def variant(key: str, accuracy: float, *, criterion: str = "", scheme: str = "float32", kb: float = 500.0) -> Variant:
    figures = SplitMetrics(n=80, groups=60, pooled={"accuracy": Estimate(accuracy, 0.1, 1.0)})
    name = f"{criterion or 'baseline'}-{scheme}-{key}"
    return Variant(
        name=name,
        key=name,
        criterion=criterion,
        schedule="one_shot" if criterion else "",
        sparsity=0.8 if criterion else 0.0,
        measured_sparsity=0.0,
        scheme=scheme,
        bit_width=8 if scheme == "static_wi8_ai8" else 32,
        seed=1,
        sha256=f"sha256 of {name}",
        raw_bytes=round(1000 * kb),
        deflated_bytes=1,
        operators={},
        keras_difference=0.0,
        metrics={"validation": figures, "test": figures},
    )


@pytest.fixture(scope="module")
def mlruns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ESC-10 on mel in two folds with two seeds and on raw audio in one; a sweep by group; another's recordings."""
    folder = tmp_path_factory.mktemp("mlruns")
    (folder / "model.tflite").write_bytes(b"a model")
    trackers = {name: connection.connect(folder, name) for name in ("esc10", "raw-esc10")}

    def sweep(experiment: str, key: str, variants: list[Variant], **parameters: Any) -> None:
        told = {"source": "esc50", "classes": "10", "frontend": "log_mel", "architecture": "mel_cnn", "train_seed": "1"}
        with trackers[experiment].sweep(key, told | {name: str(value) for name, value in parameters.items()}) as run:
            for each in variants:
                trackers[experiment].log_variant(each, folder / "model.tflite", run)

    for fold, seed, value in ((1, 1, 0.90), (1, 2, 0.92), (2, 1, 0.95), (2, 2, 0.97)):
        key = f"{fold}{seed}"
        made = [variant(key, value), variant(key, value - 0.02, scheme="static_wi8_ai8", kb=130)]
        made += [variant(key, value - 0.05, criterion=name) for name in ("filter_taylor", "hybrid")]
        learned_on = variant(f"{key} learned on", value + 0.01, criterion="hybrid")
        made += [replace(learned_on, sparsity=0.0)]
        made += [variant(key, value - 0.06, criterion="hybrid", scheme="static_wi8_ai8", kb=60)]
        more = [variant(f"{key} {more}", 0.2, scheme="static_wi8_ai8") for more in ("aware", "distilled")]
        made = [replace(more[0], aware=True), replace(more[1], distilled=True), *made]  # are none of the paper's
        sweep("esc10", key, made, fold=fold, train_seed=seed)
    sweep("esc10", "old", [variant("old", 0.5, criterion="magnitude")], fold=1)
    sweep("raw-esc10", "raw", [variant("raw", 0.8)], fold=1, frontend="raw", architecture="acdnet")
    sweep("raw-esc10", "taught", [variant("taught", 0.1)], fold=1, frontend="raw", teacher="ensemble")
    sweep("raw-esc10", "by group", [variant("by group", 0.1)], fold="none", frontend="raw")
    sweep("raw-esc10", "other", [variant("other", 0.1)], fold=1, source="demo")
    return folder


@pytest.fixture
def called(mlruns: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def call(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main.main(["table", "mou", "--tracking-uri", f"sqlite:///{mlruns / 'mlflow.db'}", *arguments])
        printed = capsys.readouterr()
        return printed.out if ended.value.code == 0 else printed.err

    return call


def lines(page: str, table: int) -> list[list[str]]:
    section = page.split(f"## Table {table}.")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_every_published_cell_has_a_column_and_every_table_tells_how() -> None:
    assert [table.table for table in PAPER.tables] == [1, 2, 3, 4, 5]
    for table in PAPER.tables:
        assert table.how
        assert {len(row.published) for row in table.rows} == {len(table.columns)}
    known = set(PAPER.data) | {""}
    assert {row.data for table in PAPER.tables for row in table.rows} <= known
    assert {column.features for table in PAPER.tables for column in table.columns} <= {*PAPER.features, ""}


def test_accuracies_of_the_compression_tables_are_quarters_of_a_percent() -> None:
    printed = [
        row.published[0] for table in PAPER.tables[2:4] for row in table.rows if row.published[0] != interval.DASH
    ]
    assert len(printed) == 6
    assert all(float(cell.rstrip("%")) * 4 % 1 == 0 for cell in printed)  # 1 of 400 clips, a fold of ESC-50


@pytest.mark.thorough
def test_ours_are_means_over_folds_of_means_over_seeds(called: Callable[..., str]) -> None:
    page = called()
    table = lines(page, 1)
    assert ["ESC-50", "published", "91%", "92.7%"] in table
    assert [row for row in table if row[0] == "ESC-10"] == [
        ["ESC-10", "ESC-10, log_mel, mel_cnn, 2 folds, 2 seeds", "–", "93.5 ± 3.5 %"],  # 91 and 96
        ["ESC-10", f"ESC-10, log_mel, mel_cnn, {mou.LEARNED_ON}, 2 folds, 2 seeds", "–", "94.5 ± 3.5 %"],
        ["ESC-10", "ESC-10, raw, acdnet, 1 fold, 1 seed", "80.0 %", "–"],
    ]
    assert [row[1] for row in lines(page, 2)] == ["published"] * 4


def test_pruned_and_quantised_stand_under_their_rows(called: Callable[..., str]) -> None:
    page = called()
    kind = "ESC-10, log_mel, mel_cnn"
    assert [row for row in lines(page, 3) if row[1] != "published"] == [
        ["Weight", f"{kind}, magnitude 0.8, 1 fold, 1 seed", "50.0 %", "500.0 kB"],
        ["Taylor", f"{kind}, filter_taylor 0.8, 2 folds, 2 seeds", "88.5 ± 3.5 %", "500.0 kB"],
        ["Hybrid", f"{kind}, hybrid 0.8, 2 folds, 2 seeds", "88.5 ± 3.5 %", "500.0 kB"],
    ]
    assert ["Quantization", f"{kind}, hybrid 0.8, 2 folds, 2 seeds", "87.5 ± 3.5 %", "60.0 kB"] in lines(page, 4)
    assert ["Quantization alone", f"{kind}, 2 folds, 2 seeds", "91.5 ± 3.5 %", "130.0 kB"] in lines(page, 4)
    assert lines(page, 5)[-1] == ["Here", f"{kind}, hybrid 0.8, 2 folds, 2 seeds", "87.5 ± 3.5 %", "–", "–"]


def test_one_experiment_alone_may_be_asked_for(called: Callable[..., str]) -> None:
    assert "mel_cnn" not in called("--experiment", "raw-esc10")
    assert "MLflow has no experiment 'none such'" in called("--experiment", "none such")


def test_the_csv_has_a_line_per_cell(called: Callable[..., str]) -> None:
    cells = list(csv.DictReader(io.StringIO(called("--format", "csv"))))
    assert {
        "table": "4",
        "row": "Pruning",
        "column": "Model size",
        "published": "528KB",
        "variant": "",
        "ours": "",
    } in cells
    (found,) = [c for c in cells if c["row"] == "Weight" and c["column"] == "Accuracy" and c["ours"]]
    assert (found["ours"], found["published"]) == ("50.0 %", "")


def test_an_unknown_key_in_the_published_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mou.yaml").write_text((paper.FOLDER / "mou.yaml").read_text() + "more: 1\n")
    with pytest.raises(ParameterError, match=r"mou\.yaml has no parameter 'more'"):
        paper.read("mou", tmp_path)
