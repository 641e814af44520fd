"""The report's parts on other places and disturbed recordings."""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import made_up  # type: ignore[import-not-found]

from stages.core.artifacts.elsewhere import ElsewhereResult
from stages.core.artifacts.estimates import Estimate
from stages.core.scoring.metrics import MetricParams
from stages.report import away, facts, stage

THERE = ElsewhereResult(
    n=31,
    groups=12,
    left_out={"silent": 2},
    metric="roc_auc",
    figures={"roc_auc": Estimate(0.612, 0.5, 0.7)},
    drop=Estimate(0.234, 0.1, 0.3),
    compression=Estimate(0.021, -0.01, 0.05),
    compression_at_home=Estimate(0.004, -0.01, 0.02),
    excess=Estimate(0.017, -0.02, 0.04),
)


def test_a_place_stands_beside_home_and_only_if_there_is_one(tmp_path: Path) -> None:
    found = facts.read(made_up.write(tmp_path, variants=12), MetricParams())
    stage.write(found, tmp_path / "without.html")
    assert "id=elsewhere" not in (tmp_path / "without.html").read_text().replace('"', "")
    there = {name: {"<ward>": THERE} for name in (found.baseline_name, found.winner_row["name"])}
    found = replace(found, elsewhere=there)
    stage.write(found, tmp_path / "with.html")
    text = (tmp_path / "with.html").read_text()
    assert 'id="elsewhere"' in text
    assert "Left out of &lt;ward&gt;: 2 (silent)." in text
    assert "<ward>" not in text
    table = away.elsewhere(found)
    assert table is not None
    assert [[cell.text for cell in row][1:4] for row in table.rows] == [
        ["float32 baseline", "31", "12"],
        ["chosen", "31", "12"],
    ]
    assert [cell.text for cell in table.rows[1]][5:] == [
        "0.612 [0.500, 0.700]",
        "0.234 [0.100, 0.300]",
        "0.004 [-0.010, 0.020]",
        "0.021 [-0.010, 0.050]",
        "0.017 [-0.020, 0.040]",
    ]
