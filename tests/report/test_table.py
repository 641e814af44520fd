import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.core.project.errors import DataError
from stages.core.tracking import connection
from stages.report import document, results
from tests.messages import line_with


def row_of(page: str, schedule: str, sparsity: str) -> dict[str, str]:
    section = page.split(f"## {schedule}")[1].split("##")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return next(dict(zip(lines[0], line, strict=True)) for line in lines if line[0] == sparsity)


@pytest.mark.thorough
def test_means_and_deviations_over_seeds_stand_beside_the_published_ones(called: Callable[..., str]) -> None:
    row = row_of(called("table", "edac-cnn"), "constant", "90.0")
    assert row == {
        "sparsity %": "90.0",
        "seeds": "2",
        "AUC 32-bit": "0.790 ± 0.028 (0.874 ± 0.004)",  # 0.81, 0.77: 0.04 / sqrt 2
        "AUC 8-bit": "0.760 ± 0.028 (0.874 ± 0.004)",
        "AUC 16-bit": "– (0.874 ± 0.004)",
        "AUC static_wi8_ai8": "–",
        "MB deflated 32-bit": "3.000 ± 1.414 (4.005 ± 0.078)",
        "MB deflated 8-bit": "0.150 ± 0.071 (0.204 ± 0.014)",
        "MB deflated 16-bit": "– (2.383 ± 0.043)",
        "MB deflated static_wi8_ai8": "–",
        "ms 32-bit": "2.500 ± 0.707 (1.838 ± 0.161)",
        "ms 8-bit": "– (1.379 ± 0.065)",
        "ms 16-bit": "– (1.778 ± 0.165)",
        "ms static_wi8_ai8": "–",
        "ratio deflated 32-bit": "8.2 ± 3.9 (5.7)",  # 11 and 5.5; 22.739 / 4.005
        "ratio deflated 8-bit": "165.0 ± 77.8 (111.5)",  # 110 and 220; 22.739 / 0.204
        "ratio deflated 16-bit": "– (9.5)",
        "ratio deflated static_wi8_ai8": "–",
        "ratio raw 32-bit": "1.0 ± 0.0",
        "ratio raw 8-bit": "4.0 ± 0.0",
        "ratio raw 16-bit": "–",
        "ratio raw static_wi8_ai8": "–",
    }


def test_the_baseline_heads_both_schedules_without_a_deviation(called: Callable[..., str]) -> None:
    page = called("table", "edac-cnn")
    for schedule in ("constant", "polynomial"):
        row = row_of(page, schedule, "0.0")
        assert row["seeds"] == "1"
        assert row["AUC 8-bit"] == "0.790 (0.887 ± 0.000)"
        assert row["AUC static_wi8_ai8"] == "0.700"
        assert row["ratio deflated 8-bit"] == "55.0 (60.0)"


def test_what_was_not_measured_is_a_dash_beside_the_published(called: Callable[..., str]) -> None:
    row = row_of(called("table", "edac-cnn"), "polynomial", "95.0")
    assert (row["seeds"], row["AUC 8-bit"], row["ratio deflated 8-bit"]) == ("–", "– (0.868 ± 0.005)", "– (105.8)")


def test_the_notes_say_what_validation_picks_and_what_test_says_of_it(called: Callable[..., str]) -> None:
    page = called("table", "edac-cnn")
    assert line_with(page, "8 variants", "100 clips of 99 groups, 40 positive")
    # Best on validation 0.82; from 0.80 on there are 0.81 (22 MB), 0.80 (0.4 MB), 0.82 (2 MB).
    assert re.search(
        r"Validation .*0\.02 .*: baseline-s0-dynamic_wi8_afp32-seed0, 55\.0x deflated, 4\.0x raw; "
        r"test AUC 0\.790 \[0\.740, 0\.840\], the baseline's 0\.800 \[0\.750, 0\.850\]",
        page,
    )
    assert line_with(page, "(which is no test)", "constant-s0.9-dynamic_wi8_afp32-seed2, 220.0x deflated")
    wider = called("table", "edac-cnn", "--margin", "0.05")
    assert line_with(wider, "within 0.05", "constant-s0.9-dynamic_wi8_afp32-seed1")


def test_what_the_paper_calls_auc_is_told(called: Callable[..., str]) -> None:
    assert "the published column is that too" in called("table", "edac-cnn")
    lstm = called("table", "edac-cnn-lstm", "--sweep", "sweep-00000002")
    assert "the published column is a balanced accuracy" in lstm
    assert "Tables 5 and 6" in lstm


def test_the_csv_keeps_ours_and_the_published_apart(called: Callable[..., str]) -> None:
    table = list(csv.DictReader(io.StringIO(called("table", "edac-cnn", "--format", "csv"))))
    assert [row["schedule"] for row in table] == ["constant"] * 17 + ["polynomial"] * 17
    (row,) = [r for r in table if (r["schedule"], r["sparsity"]) == ("constant", "0.9")]
    assert float(row["auc.float32"]) == pytest.approx(0.79)
    assert float(row["auc.float32.sd"]) == pytest.approx(0.028284, abs=1e-6)
    assert (row["auc.float32.published"], row["auc.float32.published_sd"]) == ("0.874", "0.004")
    assert (row["latency_ms.dynamic_wi8_afp32"], row["latency_ms.dynamic_wi8_afp32.published"]) == ("", "1.379")
    assert "raw_ratio.float32.published" not in row


def test_the_page_holds_the_same_cells_escaped(called: Callable[..., str]) -> None:
    page = called("table", "edac-cnn", "--format", "html")
    assert '<td class="number">0.790 ± 0.028 (0.874 ± 0.004)</td>' in page
    assert page.count("<tr>") == 2 * (1 + 17)
    title = "a < b & c"
    assert "<h1>a &lt; b &amp; c</h1>" in document.html(document.Document(title, "", (), (), ()))


def test_a_sweep_holds_what_an_earlier_one_made_and_nothing_else(mlruns: Path) -> None:
    found = results.read(connection.find(mlruns), architecture="edac_cnn")
    assert len(found.variants) == 8
    assert "foreign" not in {v.name for v in found.variants}
    assert found.reference.figures["deflated_bytes"] == 22_000_000
    assert found.schemes == ["float32", "dynamic_wi8_afp32", "static_wi8_ai8"]


def test_a_wrong_name_is_told_in_one_sentence(called: Callable[..., str]) -> None:
    said = called("table", "edac-cnn", "--experiment", "edacc")
    assert said.count("\n") == 1
    assert line_with(said, "error: ", "'edacc'", "'edac'", "Known: Default, edac")
    said = called("table", "edac-cnn-lstm")
    assert said.count("\n") == 1
    assert line_with(said, "error: ", "'edac_cnn_lstm'", "sweep-00000002 (edac_cnn), sweep-00000001 (ds_cnn)")
    assert "no sweep called 'sweep-9'" in called("table", "edac-cnn", "--sweep", "sweep-9")
    assert "The paper has no model 'edac-rnn'" in called("table", "edac-rnn")


def test_an_absent_store_is_told_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(DataError, match=r"mlflow\.db .*`dvc repro`"):
        connection.find(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_sweep_without_a_baseline_is_told(tmp_path: Path) -> None:
    with connection.connect(tmp_path).sweep("empty", {"architecture": "edac_cnn"}):
        pass
    with pytest.raises(DataError, match="sweep-empty has no finished float32 baseline"):
        results.read(connection.find(tmp_path), architecture="edac_cnn")
