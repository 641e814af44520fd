"""The project's registered model and its MLflow, which take seconds to import."""

from stages.core.project import layout, params
from stages.core.tracking import connection
from stages.core.tracking.connection import Tracker
from stages.select.params import SelectParams


def registered_name() -> str:
    """Return the name of the registered model, `select.registered_name`."""
    return params.section("select", SelectParams).registered_name


def connect() -> Tracker:
    """Return the tracker of this project's experiment; makes MLflow's database if there is none."""
    return connection.connect(layout.MLRUNS, registered_name())


def find(experiment: str | None = None, uri: str | None = None) -> Tracker:
    """Return the tracker of an experiment that exists.

    Parameters
    ----------
    experiment : str or None
        Name in MLflow; None takes the registered model's.
    uri : str or None
        Tracking server; None takes MLFLOW_TRACKING_URI or this project's folder.

    Raises
    ------
    DataError
        If there is no such experiment.
    """
    return connection.find(layout.MLRUNS, uri=uri, experiment=experiment or registered_name())
