"""What EDAC's paper publishes: `published/edac.yaml`, which holds nothing measured here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stages.core.project import params
from stages.core.project.errors import ParameterError

FILE = Path(__file__).parent / "published" / "edac.yaml"
BIT_WIDTHS = (32, 8, 16)  # in the paper's order


@dataclass(frozen=True)
class Table:
    """One of the paper's Tables 3-6.

    Attributes
    ----------
    table : int
    model, schedule : str
    seeds : int
    auc_is : {"roc_auc", "balanced_accuracy"}
        What the column called AUC holds.
    rows : tuple[tuple[float, ...], ...]
        In the order of `Paper.columns`.
    """

    table: int
    model: str
    schedule: str
    seeds: int
    auc_is: Literal["roc_auc", "balanced_accuracy"]
    rows: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Figure:
    """One of the paper's figures: which tables hold its numbers."""

    figure: int
    model: str
    tables: tuple[int, ...]
    shows: str


@dataclass(frozen=True)
class Claim:
    """A ratio in the text: the float32 baseline's figure to that of a variant."""

    section: str
    model: str
    schedule: str
    sparsity: float
    bit_width: int
    quantity: str
    ratio: float


@dataclass(frozen=True)
class Paper:
    """The file as it is."""

    title: str
    authors: str
    year: int
    link: str
    definitions: dict[str, str]
    figures: tuple[Figure, ...]
    claims: tuple[Claim, ...]
    columns: tuple[str, ...]
    tables: tuple[Table, ...]

    def models(self) -> list[str]:
        """Return the models' names."""
        return sorted({table.model for table in self.tables})

    def of(self, model: str) -> list[Table]:
        """Return a model's tables.

        Raises
        ------
        ParameterError
            If the paper has no such model.
        """
        found = [table for table in self.tables if table.model == model]
        if not found:
            raise ParameterError(f"The paper has no model {model!r}. {params.known(model, self.models())}")
        return found

    def sparsities(self, table: Table) -> list[float]:
        """Return a table's sparsities, as fractions."""
        return [row[self.columns.index("sparsity")] for row in table.rows]

    def cell(self, table: Table, sparsity: float, quantity: str, bit_width: int) -> tuple[float, float] | None:
        """Return a cell's mean and standard deviation; None if the table has no such row or column.

        Parameters
        ----------
        table : Table
        sparsity : float
        quantity : {"auc", "size", "time"}
            Fraction, MB, ms.
        bit_width : int
        """
        column = f"{quantity}_{bit_width}"
        if column not in self.columns:
            return None
        for row in table.rows:
            if abs(row[0] - sparsity) < 1e-9:
                return row[self.columns.index(column)], row[self.columns.index(f"{column}_sd")]
        return None


def read(path: Path = FILE) -> Paper:
    """Read the published figures."""
    return params.load(Paper, params.read_yaml(path), path.name)
