"""The published figures, against sentences of the paper that speak of them."""

import pytest

from stages.core.project.errors import ParameterError
from stages.report import paper

PAPER = paper.read("edac")


def table(number: int) -> paper.Table:
    return next(t for t in PAPER.tables if t.table == number)


def test_every_table_has_every_cell() -> None:
    assert [t.table for t in PAPER.tables] == [3, 4, 5, 6]
    steps = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 0.999]  # appendix D
    for each in PAPER.tables:
        assert each.sparsities == steps
        assert {len(row.published) for row in each.rows} == {len(each.columns)} == {9}
        assert {t.seeds for t in PAPER.of(each.model)} == {20 if each.model == "edac-cnn" else 5}


@pytest.mark.parametrize("claim", PAPER.claims, ids=lambda c: f"{c.model}-{c.quantity}-{c.ratio}")
def test_the_ratios_in_the_text_follow_from_the_tables(claim: paper.Claim) -> None:
    found = next(t for t in PAPER.of(claim.model) if t.title == claim.schedule)
    whole = found.cell(0.0, claim.quantity, "float32")
    part = found.cell(claim.sparsity, claim.quantity, claim.scheme)
    assert whole is not None
    assert part is not None
    assert whole[0] / part[0] == pytest.approx(claim.ratio, abs=0.006)


@pytest.mark.parametrize(
    ("number", "sparsity", "quantity", "scheme", "printed"),
    [
        (3, 0.0, "auc", "dynamic_wi8_afp32", (0.887, 0.000)),
        (3, 0.8, "size", "dynamic_wi8_afp32", (0.207, 0.038)),
        (4, 0.999, "auc", "float16", (0.572, 0.093)),
        (4, 0.5, "time", "float16", (1.951, 0.189)),
        (5, 0.1, "size", "float16", (19.182, 0.001)),
        (5, 0.99, "auc", "float32", (0.627, 0.070)),
        (6, 0.999, "time", "dynamic_wi8_afp32", (51.875, 18.571)),
        (6, 0.75, "time", "float16", (107.698, 11.603)),
    ],
)
def test_cells_are_as_printed(
    number: int, sparsity: float, quantity: str, scheme: str, printed: tuple[float, float]
) -> None:
    assert table(number).cell(sparsity, quantity, scheme) == printed


def test_what_the_paper_lacks_is_none() -> None:
    assert table(3).cell(0.123, "auc", "float32") is None
    assert table(3).cell(0.9, "auc", "dynamic_wi4_afp32") is None
    with pytest.raises(ParameterError, match=r"no model 'edac-rnn'\. .*Known: edac-cnn, edac-cnn-lstm"):
        PAPER.of("edac-rnn")


def test_every_figure_names_tables_of_its_model() -> None:
    for figure in PAPER.figures:
        assert set(figure.tables) <= {t.table for t in PAPER.of(figure.model)}
