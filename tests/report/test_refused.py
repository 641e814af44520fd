"""The page that says why no variant is chosen."""

from pathlib import Path

from stages.core.artifacts.evaluation import Row
from stages.core.artifacts.selection import Refusal
from stages.report import refused


def test_every_variant_is_shown_with_what_it_misses(tmp_path: Path) -> None:
    refusal = Refusal(
        "edac-words", "accuracy", "None of the 2 variants keeps within <select.budget>.", {"a": "has raw_bytes 9"}
    )
    figures = {"raw_bytes": 9000, "deflated_bytes": 800, "latency_p50_ms": 0.25}
    interval = {"validation_accuracy_low": 0.7, "validation_accuracy_high": 0.9, "test_accuracy": 0.123456}
    rows: list[Row] = [
        {"name": "a", "validation_accuracy": 0.8, **interval, **figures},
        {"name": "b", "validation_accuracy": None, **interval, **figures},
    ]
    picture = tmp_path / "front.png"
    picture.write_bytes(b"picture")
    refused.write(refusal, rows, tmp_path / "report.html", picture=picture)
    page = (tmp_path / "report.html").read_text()
    assert "no variant is chosen" in page
    assert "keeps within &lt;select.budget&gt;." in page
    assert "has raw_bytes 9" in page
    assert "0.800 [0.700, 0.900]" in page
    assert "undefined" in page
    assert "cGljdHVyZQ==" in page
    assert "0.123" not in page
