"""The published figures, against sentences of the paper that speak of them."""

import pytest

from stages.core.project.errors import ParameterError
from stages.report import paper

PAPER = paper.read()


def table(number: int) -> paper.Table:
    return next(t for t in PAPER.tables if t.table == number)


def test_every_table_has_every_cell() -> None:
    assert [t.table for t in PAPER.tables] == [3, 4, 5, 6]
    steps = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 0.999]  # appendix D
    for each in PAPER.tables:
        assert PAPER.sparsities(each) == steps
        assert {len(row) for row in each.rows} == {len(PAPER.columns)}
        assert {t.seeds for t in PAPER.of(each.model)} == {20 if each.model == "edac-cnn" else 5}


@pytest.mark.parametrize("claim", PAPER.claims, ids=lambda c: f"{c.model}-{c.quantity}-{c.ratio}")
def test_the_ratios_in_the_text_follow_from_the_tables(claim: paper.Claim) -> None:
    found = next(t for t in PAPER.of(claim.model) if t.schedule == claim.schedule)
    whole = PAPER.cell(found, 0.0, claim.quantity, 32)
    part = PAPER.cell(found, claim.sparsity, claim.quantity, claim.bit_width)
    assert whole is not None
    assert part is not None
    assert whole[0] / part[0] == pytest.approx(claim.ratio, abs=0.006)


@pytest.mark.parametrize(
    ("number", "sparsity", "quantity", "bit_width", "printed"),
    [
        (3, 0.0, "auc", 8, (0.887, 0.000)),
        (3, 0.8, "size", 8, (0.207, 0.038)),
        (4, 0.999, "auc", 16, (0.572, 0.093)),
        (4, 0.5, "time", 16, (1.951, 0.189)),
        (5, 0.1, "size", 16, (19.182, 0.001)),
        (5, 0.99, "auc", 32, (0.627, 0.070)),
        (6, 0.999, "time", 8, (51.875, 18.571)),
        (6, 0.75, "time", 16, (107.698, 11.603)),
    ],
)
def test_cells_are_as_printed(
    number: int, sparsity: float, quantity: str, bit_width: int, printed: tuple[float, float]
) -> None:
    assert PAPER.cell(table(number), sparsity, quantity, bit_width) == printed


def test_what_the_paper_lacks_is_none() -> None:
    assert PAPER.cell(table(3), 0.123, "auc", 8) is None
    assert PAPER.cell(table(3), 0.9, "auc", 4) is None
    with pytest.raises(ParameterError, match=r"no model 'edac-rnn'\. .*Known: edac-cnn, edac-cnn-lstm"):
        PAPER.of("edac-rnn")


def test_every_figure_names_tables_of_its_model() -> None:
    for figure in PAPER.figures:
        assert set(figure.tables) <= {t.table for t in PAPER.of(figure.model)}
