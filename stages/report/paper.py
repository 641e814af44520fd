"""Published tables as data, one reader for all papers: `published/NAME.yaml` holds nothing measured here."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stages.core.project import params
from stages.core.project.errors import ParameterError

FOLDER = Path(__file__).parent / "published"


@dataclass(frozen=True)
class Column:
    """A column of a published table, and which of our figures belong in it.

    Attributes
    ----------
    name : str
        Title.
    quantity : str
    scheme, data, features : str
        Ours must have this quantisation scheme, come from these recordings, and use front ends of this kind; empty for
        any.
    """

    name: str
    quantity: Literal["", "accuracy", "auc", "bytes", "seconds", "size", "time", "watts"] = ""
    scheme: str = ""
    data: str = ""
    features: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a published table, and which of our variants belong beside it.

    Attributes
    ----------
    published : tuple[str, ...]
        One cell per column, as printed.
    name : str
    sparsity : float or None
        Fraction of zeros.
    ours : bool
        False if nothing of ours belongs beside it.
    data : str
        Recordings that ours must come from; empty for any.
    criteria : tuple[str, ...]
        Pruning criteria of ours; empty for unpruned networks.
    scheme : str
    """

    published: tuple[str, ...]
    name: str = ""
    sparsity: float | None = None
    ours: bool = True
    data: str = ""
    criteria: tuple[str, ...] = ()
    scheme: str = "float32"


@dataclass(frozen=True)
class Table:
    """A published table.

    Attributes
    ----------
    title : str
        Title; for EDAC the pruning schedule.
    columns : tuple[Column, ...]
    rows : tuple[Row, ...]
    how : str
        Origin of the numbers, as far as it is known.
    table : int
        Number in the paper; 0 for none.
    model : str
    seeds : int
    auc_is : {"roc_auc", "balanced_accuracy"}
        Metric in the columns titled AUC.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    how: str = ""
    table: int = 0
    model: str = ""
    seeds: int = 0
    auc_is: Literal["roc_auc", "balanced_accuracy"] = "roc_auc"

    @property
    def sparsities(self) -> list[float]:
        """Sparsities of the rows, as fractions."""
        return [row.sparsity for row in self.rows if row.sparsity is not None]

    def cell(self, sparsity: float, quantity: str, scheme: str) -> tuple[float, float] | None:
        """Return a cell's mean and standard deviation; None if the table has no such row or column.

        Parameters
        ----------
        sparsity : float
        quantity : {"auc", "size", "time"}
            Fraction, MB, ms.
        scheme : str
        """
        for row in self.rows:
            for column, cell in zip(self.columns, row.published, strict=True):
                if (row.sparsity, column.quantity, column.scheme) == (sparsity, quantity, scheme):
                    mean, sd = map(float, cell.split("±"))
                    return mean, sd
        return None


@dataclass(frozen=True)
class Figure:
    """A published figure, and the tables that hold its numbers."""

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
    scheme: str
    quantity: str
    ratio: float


@dataclass(frozen=True)
class Data:
    """Source of recordings, and their number of classes where the source has several sets."""

    source: str
    classes: int | None = None


@dataclass(frozen=True)
class Paper:
    """A paper and its tables.

    Attributes
    ----------
    title, authors, link : str
    year : int
    tables : tuple[Table, ...]
    schemes : dict[str, str]
        Our quantisation schemes that the paper has, and its names for them.
    data : dict[str, Data]
        The paper's name of recordings to how a sweep names them.
    features : dict[str, tuple[str, ...]]
        The paper's name of features to front ends.
    definitions : dict[str, str]
    figures : tuple[Figure, ...]
    claims : tuple[Claim, ...]
    """

    title: str
    tables: tuple[Table, ...]
    authors: str = ""
    year: int = 0
    link: str = ""
    schemes: dict[str, str] = field(default_factory=dict)
    data: dict[str, Data] = field(default_factory=dict)
    features: dict[str, tuple[str, ...]] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()
    claims: tuple[Claim, ...] = ()

    def of(self, model: str) -> list[Table]:
        """Return a model's tables.

        Raises
        ------
        ParameterError
            If the paper has no such model.
        """
        found = [table for table in self.tables if table.model == model]
        if not found:
            names = sorted({table.model for table in self.tables})
            raise ParameterError(f"The paper has no model {model!r}. {params.known(model, names)}")
        return found


def read(name: str, folder: Path = FOLDER) -> Paper:
    """Read a paper's tables.

    Parameters
    ----------
    name : {"edac", "mou", "distillation"}
    folder : Path

    Raises
    ------
    ParameterError
        If the file has an unknown key or a value of the wrong type.
    """
    path = folder / f"{name}.yaml"
    return params.load(Paper, params.read_yaml(path), path.name)
