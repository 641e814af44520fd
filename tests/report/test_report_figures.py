from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Picture
from matplotlib.lines import Line2D

from stages.core.tracking import connection
from stages.report import figures, paper, results
from tests.marks import thorough_but

PAPER = paper.read("edac")


@pytest.fixture
def found(mlruns: Path) -> results.Results:
    return results.read(connection.find(mlruns), architecture="edac_cnn")


def figure(number: int) -> paper.Figure:
    return next(f for f in PAPER.figures if f.figure == number)


def panels(found: results.Results, number: int) -> Picture:
    picture = Picture()
    FigureCanvasAgg(picture)
    figures.draw(found, PAPER, figure(number), picture.subplots(1, 3))
    return picture


def points(line: Line2D) -> list[list[float]]:
    return np.asarray(line.get_xydata()).tolist()


def test_schedules_at_32_bits_with_the_published_points_hollow(found: results.Results) -> None:
    ax = panels(found, 5).axes[0]
    drawn = {line.get_label(): line for line in ax.lines if not str(line.get_label()).startswith("_")}
    assert set(drawn) == {"constant", "polynomial"}
    assert points(drawn["constant"]) == [[0, 0.80], [90, pytest.approx(0.79)]]
    assert points(drawn["polynomial"]) == [[0, 0.80]]
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "none"]
    assert [len(points(line)) for line in hollow] == [17, 17]
    assert points(hollow[0])[-1] == [pytest.approx(99.9), 0.559]
    assert {line.get_linestyle() for line in hollow} == {"None"}


def test_bit_widths_of_one_schedule_and_schemes_that_the_paper_lacks(found: results.Results) -> None:
    labels = [line.label for line in figures.lines(found, PAPER, figure(1), "auc", results.auc)]
    assert labels == ["32-bit", "8-bit", "16-bit", "static_wi8_ai8"]
    full_integer = figures.lines(found, PAPER, figure(1), "auc", results.auc)[-1]
    assert full_integer.published == []


def test_the_band_is_one_standard_deviation(found: results.Results) -> None:
    band = panels(found, 5).axes[0].collections[0].get_paths()[0].vertices
    at_90 = np.asarray(band)[np.asarray(band)[:, 0] == 90, 1]
    assert at_90.min() == pytest.approx(0.79 - 0.028284, abs=1e-6)
    assert at_90.max() == pytest.approx(0.79 + 0.028284, abs=1e-6)


def test_lines_differ_without_colour(found: results.Results) -> None:
    for ax in panels(found, 1).axes:
        ours = [line for line in ax.lines if line.get_markerfacecolor() != "none"]
        assert len({line.get_marker() for line in ours}) == len(ours)
        assert len({to_hex(line.get_color()) for line in ours}) == len(ours)


@pytest.mark.parametrize("suffix", thorough_but(["png", "svg"], "svg"))
def test_files_depend_on_the_figures_alone(called: Callable[..., str], tmp_path: Path, suffix: str) -> None:
    made = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        printed = called("figures", "edac-cnn", "--to", str(folder), "--format", suffix)
        assert printed.split() == [str(folder / f"figure{n}.{suffix}") for n in (1, 5)]
        made.append([path.read_bytes() for path in sorted(folder.iterdir())])
    assert made[0] == made[1]
    assert len(made[0]) == 2
