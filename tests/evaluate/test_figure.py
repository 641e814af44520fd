from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from stages.evaluate import figure


def rows(with_intervals: bool = True) -> list[figure.Point]:
    result = []
    for scheme, size in (("float32", 400_000), ("static_wi8_ai8", 100_000)):
        for schedule, sparsity in (("", 0.0), ("constant", 0.5), ("constant", 0.9), ("polynomial", 0.5)):
            value = 0.9 - 0.1 * sparsity
            result.append(
                figure.Point(
                    name=f"{scheme} {schedule} {sparsity}",
                    schedule=schedule,
                    sparsity=sparsity,
                    scheme=scheme,
                    seed=1234,
                    raw_bytes=size,
                    deflated_bytes=int(size * (1 - sparsity)) + 1000,
                    value=value,
                    low=value - 0.05 if with_intervals else None,
                    high=value + 0.04 if with_intervals else None,
                )
            )
    return result


def test_a_line_leads_from_the_baseline_through_the_growing_sparsities() -> None:
    ax = figure.draw(rows(), Figure().subplots(), metric="roc_auc")
    paths = [np.asarray(line.get_xydata()) for line in ax.lines if line.get_linestyle() != "None"]
    longest = max(paths, key=len)
    np.testing.assert_allclose(longest[:, 1], np.array([0.9, 0.85, 0.81]))
    assert (np.diff(longest[:, 0]) < 0).all()
    assert len(paths) == 4  # two schemes, two schedules
    assert ax.get_xscale() == "log"
    assert "ROC-AUC" in ax.get_ylabel()


def test_every_scheme_and_schedule_is_in_the_legend() -> None:
    ax = figure.draw(rows(), Figure().subplots(), metric="accuracy")
    legend = ax.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["float32", "static_wi8_ai8", "constant", "polynomial", "not pruned"]


def test_points_without_an_interval_or_value_do_no_harm() -> None:
    broken = rows(with_intervals=False)
    broken[0] = replace(broken[0], value=None)
    figure.draw(broken, Figure().subplots(), metric="roc_auc")


@pytest.mark.parametrize(("size", "text"), [(500, "500 B"), (12_000, "12 kB"), (3_000_000, "3 MB"), (1e10, "10000 MB")])
def test_sizes_are_written_for_people(size: float, text: str) -> None:
    assert figure._bytes(size) == text


def test_the_picture_is_a_png_of_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("first.png", "second.png"):
        figure.save(rows(), tmp_path / name, metric="roc_auc")
    first = (tmp_path / "first.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert first == (tmp_path / "second.png").read_bytes()
