"""The work of a sweep, and how it is logged."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flows.sweep.grid import Cell
from stages.core.tracking import connection, records


@dataclass(frozen=True)
class Work:
    """Cells of a sweep, and how a process makes one.

    Attributes
    ----------
    cells : Sequence[Cell]
    arguments : Callable
        Cell to the arguments with which Python makes it; called when the cell is submitted.
    preload : tuple[str, ...]
        Modules that the cells' processes need; see `flows.execution.forkserver`.
    metric : str
        Metric of the tables on the flow run's page.
    job_bytes : float or None
        Memory that a cell may need; see `flows.sweep.memory`. None: unknown.
    """

    cells: Sequence[Cell]
    arguments: Callable[[Cell], Sequence[str]]
    preload: tuple[str, ...] = ()
    metric: str = "roc_auc"
    job_bytes: float | None = None


@dataclass(frozen=True)
class Tracking:
    """How a sweep is logged to MLflow.

    Attributes
    ----------
    mlruns : Path
        MLflow's folder.
    experiment : str
        Name of the experiment, the task's.
    parameters : Mapping[str, str]
        Parameters of the sweep's run besides its grid.
    features : Path or None
        Folder of the features, whose clips MLflow shows as the data set.
    retry_s : float
        Wait before an unavailable MLflow is tried again, in seconds; the sweep goes on meanwhile.
    """

    mlruns: Path
    experiment: str = records.EXPERIMENT
    parameters: Mapping[str, str] = field(default_factory=dict)
    features: Path | None = None
    retry_s: float = 5.0

    def connect(self) -> connection.Tracker:
        """Return the tracker of the experiment."""
        tracker = connection.connect(self.mlruns, self.experiment)
        return tracker.with_data(self.features) if self.features else tracker
