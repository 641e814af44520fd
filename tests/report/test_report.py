"""The report: what it says, that the same facts give the same page, and that a browser draws it without a network."""

import html
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix

from stages.core.artifacts import sweep as sweep_file
from stages.core.artifacts import variant as variants
from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.evaluation import SnrMisses, StreamFigures, StreamResult
from stages.core.artifacts.selection import Standing
from stages.core.artifacts.sweep import SweepDescription
from stages.core.project.errors import DataError
from stages.core.scoring.metrics import MetricParams
from stages.core.tracking import connection
from stages.report import facts, judgement, plots, stage
from stages.runtime.events import EventRule

sys.path.insert(0, str(Path(__file__).parent))
import made_up  # type: ignore[import-not-found]

from tests.messages import line_with

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
TEN = tuple(f"class {i}" for i in range(10))


def read(root: Path, **options: Any) -> facts.Facts:
    return facts.read(made_up.write(root, **{"variants": 12} | options), MetricParams())


def page(found: facts.Facts, target: Path) -> str:
    stage.write(found, target)
    return target.read_text()


def words(text: str) -> str:
    """Return what a reader sees, tags removed."""
    body = text[text.index("<body>") : text.index("<script>")]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def drawn(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize(
    "options",
    [
        {"variants": 3},
        {"variants": 40, "seeds": 3, "sites": True},
        {"labels": TEN},
        {"labels": tuple(f"class {i}" for i in range(31))},
    ],
    ids=["three variants", "seeds and sites", "ten classes", "many classes"],
)
def test_every_plot_of_the_page_has_its_figure(tmp_path: Path, options: dict[str, Any]) -> None:
    text = page(read(tmp_path, **options), tmp_path / "report.html")
    assert set(re.findall(r'class="plot" id="([^"]+)"', text)) == set(drawn(text))
    assert "variants compared" in text


def test_it_says_what_must_be_known(tmp_path: Path) -> None:
    said = words(page(read(tmp_path, sites=True), tmp_path / "report.html"))
    for sentence in (
        "it is the best of 12 variants compared on that split",
        "Of 12 variants one was chosen on the validation split: it was made up.",
        "This is no medical device.",
        "0.800 [0.700, 0.900]",
        "undefined",
        "The chosen variant's drop is 0.010 [-0.020, 0.030] on validation and 0.010 [-0.020, 0.030] on test.",
        "all 12 true drops are below their bounds at once",
        "20 groups and 90 distinct audio contents none is in two splits",
        "raw/<b>.wav silent",
        "licence CC0-1.0",
        "numpy " + np.__version__,
    ):
        assert sentence in said


def test_a_warning_and_the_naive_reference_stand_at_the_top(tmp_path: Path) -> None:
    found = read(tmp_path)
    ends = {"validation": Estimate(0.7, 0.6, 0.8), "test": Estimate(0.65)}
    chance = {"validation": 0.5, "test": 0.5}
    standing = Standing(
        "roc_auc", "<a> line", ends, ends, chance, beats_chance=False, warning="no better than <chance>."
    )
    found = replace(found, selection=replace(found.selection, standing=standing))
    text = page(found, tmp_path / "report.html")
    assert "<chance>" not in text
    said = words(text)
    assert f"{found.selection.variant.name} is {found.selection.warning}" in said
    assert "naive: <a> line on pooled spectra 0.700 [0.600, 0.800] 0.650" in said
    assert "chance 0.500 0.500" in said


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    text = page(read(tmp_path, labels=("</script>", "<loud>")), tmp_path / "report.html")
    assert "<loud>" not in text
    assert drawn(text)


def test_same_facts_same_bytes(tmp_path: Path) -> None:
    first = page(read(tmp_path / "a"), tmp_path / "a.html")
    assert page(read(tmp_path / "b"), tmp_path / "b.html") == first
    assert str(tmp_path) not in first


def test_a_band_is_one_standard_deviation_over_seeds(tmp_path: Path) -> None:
    found = read(tmp_path, variants=52, seeds=3)
    rows = [row for row in found.rows if row["schedule"] in ("", "constant")]
    traces = plots.against_sparsity(rows, "validation_roc_auc", "AUC").to_plotly_json()["data"]
    line = next(trace for trace in traces if trace.get("name") == "float32")
    band = next(trace for trace in traces if trace.get("legendgroup") == "float32" and trace["mode"] == "none")
    sparsity = line["x"][1]
    values = [r["validation_roc_auc"] for r in rows if r["scheme"] == "float32" and r["sparsity"] == sparsity]
    assert len(values) == 3
    assert line["y"][1] == pytest.approx(np.mean(values), rel=1e-5)
    assert band["y"][1] - line["y"][1] == pytest.approx(np.std(values, ddof=1), rel=1e-3)


def test_one_seed_has_no_band_and_says_so(tmp_path: Path) -> None:
    found = read(tmp_path, seeds=1)
    assert "There is one seed of fine-tuning" in words(page(found, tmp_path / "report.html"))
    assert all(t["mode"] != "none" for t in drawn((tmp_path / "report.html").read_text())["metric-0"]["data"])


def test_confusion_and_calibration_are_those_of_scikit_learn(tmp_path: Path) -> None:
    found = read(tmp_path)
    scored = found.winner["test"]
    assert np.array_equal(judgement.confusion(found), confusion_matrix(scored.y, scored.scores >= 0.5))
    fraction, mean = calibration_curve(scored.y, scored.scores, n_bins=10)
    ours = judgement.calibration(scored, bins=10)
    assert [p[0] for p in ours] == pytest.approx(mean, abs=1e-6)
    assert [p[1] for p in ours] == pytest.approx(fraction, abs=1e-6)
    assert sum(p[2] for p in ours) == len(scored.y)


def test_confusion_of_ten_classes(tmp_path: Path) -> None:
    found = read(tmp_path, labels=TEN)
    scored = found.winner["test"]
    assert np.array_equal(judgement.confusion(found), confusion_matrix(scored.y, scored.scores.argmax(axis=1)))


def test_misses_by_ratio_are_those_of_the_test_stream(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert "above the background" not in words(page(found, tmp_path / "report.html"))
    none, rule = Estimate(None), EventRule({"<loud>": 0.5})
    parts = (SnrMisses(0.0, 157, 6, Estimate(0.96, 0.9, 0.99)), SnrMisses(20.0, 146, 5, Estimate(0.08, 0.04, 0.13)))
    both = {
        "validation": StreamFigures(9, 2, 2.0, 0, Estimate(0.5), none, none, none, (SnrMisses(0.0, 9, 2, none),)),
        "test": StreamFigures(303, 6, 2.0, 0, Estimate(0.5), none, none, none, parts),
    }
    streams: dict[str, tuple[StreamResult, ...]] = {found.winner_row["name"]: (StreamResult(1.0, rule, both),)}
    text = words(page(replace(found, streams=streams), tmp_path / "report.html"))
    assert "0 dB (n 157, 6 groups) 20 dB (n 146, 5 groups) chosen, 1 an hour 0.960 [0.900, 0.990] 0.080" in text


def test_labels_that_come_together_are_told_one_by_one(tmp_path: Path) -> None:
    found = read(tmp_path, labels=("a", "b", "c"), several=True)
    scored = found.winner["test"]
    decided = scored.scores >= np.array(found.selection.threshold)
    assert np.array_equal(judgement.confusion(found), multilabel_confusion_matrix(scored.y, decided))
    assert sum(n for *_, n in judgement.calibration(scored, bins=10)) == 3 * len(scored.y)
    text = words(page(found, tmp_path / "report.html"))
    assert "Each class is decided separately" in text
    assert f"b 0.4 {int((decided & (scored.y == 1))[:, 1].sum())} " in text


@pytest.mark.thorough
def test_thousands_of_variants_are_thinned_but_for_the_front(tmp_path: Path) -> None:
    found = read(tmp_path, variants=4000)
    traces = plots.front(found).to_plotly_json()["data"]
    told = [text for trace in traces for text in trace.get("text", ())]
    assert plots.SHOWN <= len(told) <= plots.SHOWN + len(found.front) + len(made_up.SCHEMES) + 1
    for name in (*found.front, found.winner_row["name"]):
        assert any(text.startswith(f"<b>{name}</b>") for text in told)
    assert line_with(words(page(found, tmp_path / "report.html")), "Of 4000 variants", f"{plots.SHOWN} more")


def test_colour_is_never_alone(tmp_path: Path) -> None:
    found = read(tmp_path, variants=20)
    styled = [
        (t["line"]["color"], t["line"]["dash"], t["marker"]["symbol"])
        for t in plots.against_sparsity(found.rows, "deflated_bytes", "bytes").to_plotly_json()["data"]
    ]
    assert len(styled) == len(made_up.SCHEMES)
    assert all(len(set(part)) == len(part) for part in zip(*styled, strict=True))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    places = made_up.write(tmp_path, variants=3)
    (places.selected / "comparison.json").unlink()
    with pytest.raises(DataError, match=r"comparison\.json .*`dvc repro select`"):
        facts.read(places, MetricParams())


def test_the_sweep_s_run_in_mlflow_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracker, sweep, written = connection.connect(tmp_path / "mlruns"), tmp_path / "sweep", tmp_path / "report.html"
    written.write_text("a report")
    variants.write_variants(sweep / "variants.json", [])
    sweep_file.write(sweep, SweepDescription("0123456789"))
    tracker.log_report(sweep, written)
    (run,) = tracker.sweeps()
    assert [each.path for each in tracker.client.list_artifacts(run.run_id)] == ["report.html"]


@pytest.mark.thorough
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_draws_every_plot_without_error_or_request(tmp_path: Path) -> None:
    text = page(read(tmp_path, variants=40, seeds=2, sites=True), tmp_path / "report.html")
    told = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--dump-dom",
            (tmp_path / "report.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    figures = drawn(text)
    divs = re.findall(r'<div class="plot js-plotly-plot" id="([^"]+)"', told.stdout)
    assert set(divs) == set(figures)
    lines = sum(t["type"] == "scatter" and t["mode"] != "none" for figure in figures.values() for t in figure["data"])
    assert len(re.findall(r'<g class="trace scatter', told.stdout)) >= lines
    assert "default-src 'none'" in told.stdout  # so that a request would be refused, and told on the console
    assert ":CONSOLE" not in told.stderr
