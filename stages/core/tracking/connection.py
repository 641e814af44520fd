"""Connect to MLflow: a local folder, or the server that MLFLOW_TRACKING_URI names.

One experiment per task, named as its registered model. An MLflow that does not answer raises
`TrackingUnavailableError`; `stages.core.tracking.spool` waits for it.
"""

import contextlib
import fcntl
import functools
import os
import re
import shutil
import socket
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.core.tracking import environment  # noqa: F401  before MLflow reads it

# isort: split

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_GIT_DIRTY
from sqlalchemy.exc import SQLAlchemyError

from stages.core.project import files, migrations, params
from stages.core.project.errors import DataError, EdacError, ParameterError
from stages.core.tracking import moved
from stages.core.tracking.moved import DATABASE, SQLITE
from stages.core.tracking.records import EXPERIMENT
from stages.core.tracking.registry import Registry

_AWAY = ("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR")  # the latter also of a server that cannot be reached
_CONNECT_S = 5.0
_REFUSED = re.compile(r"failed with error code (401|403)\b")
_STORAGE = re.compile(
    "readonly database|unable to open database|disk is full|disk I/O error|No space left|Permission denied"
    "|No such file|File exists|Read-only file system|File too large|Not a directory|not a database|malformed"
)


class TrackingUnavailableError(EdacError):
    """MLflow does not answer; a later attempt may succeed."""


class Client(mlflow.MlflowClient):
    """MLflow's client, whose every call raises `TrackingUnavailableError` while MLflow cannot be reached."""

    def __getattribute__(self, name: str) -> Any:
        """Return an attribute; a public method is wrapped."""
        found = super().__getattribute__(name)
        if name.startswith("_") or not callable(found):
            return found

        @functools.wraps(found)
        def call(*arguments: Any, **named: Any) -> Any:
            with reaching():
                return found(*arguments, **named)

        return call


def _client(uri: str) -> Client:
    try:
        return Client(uri)
    except MlflowException as error:
        if "unsupported URI" not in str(error):
            raise
        raise ParameterError(
            f"MLFLOW_TRACKING_URI must be the address of a server (http, https) or a database (sqlite, postgresql, "
            f"mysql); got {_shown(uri)!r}."
        ) from None


class Tracker(Registry):
    """A connected experiment: its runs and the model registry."""


def local_uri(folder: Path) -> str:
    """Return the URI of the MLflow in a folder.

    Raises
    ------
    DataError
        If it can have none: what follows a question mark is not part of a database's path.
    """
    database = (folder / DATABASE).absolute()
    if "?" in str(database):
        raise DataError(
            f"MLflow cannot keep its database at {database}: its path holds a question mark. Rename that folder."
        )
    return f"{SQLITE}{database}"


def create(folder: Path) -> None:
    """Make a folder's database, unless it is there: whole or not at all, as MLflow can't go on with half of it."""
    database = folder / DATABASE
    _require_there(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if database.exists():
        return
    with files.open_lock(folder / f".{DATABASE}.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if database.exists():  # by another process, meanwhile
            return
        draft = folder / ".draft"
        shutil.rmtree(draft, ignore_errors=True)  # of one that was killed
        draft.mkdir()
        new_database(draft, moved.artifacts_uri(folder))
        (draft / DATABASE).replace(database)
        shutil.rmtree(draft)


def new_database(folder: Path, artifacts: str) -> None:
    """Write MLflow's empty database into a folder.

    Parameters
    ----------
    folder : Path
    artifacts : str
        URI of the folder of its artefacts.
    """
    with migrations.LOCK:
        store = SqlAlchemyStore(local_uri(folder), artifacts)  # type: ignore[no-untyped-call]
    store.engine.dispose()


def connect(folder: Path, experiment: str = EXPERIMENT) -> Tracker:
    """Return a tracker of the MLflow that MLFLOW_TRACKING_URI names, or else of `folder`, made if absent.

    Parameters
    ----------
    folder : Path
        Holds ``mlflow.db`` and ``artifacts/``. It may be moved and copied; see `stages.core.tracking.moved`.
    experiment : str
        The task's: the name of its registered model.

    Raises
    ------
    TrackingUnavailableError
        If MLflow does not answer.
    """
    uri, artifacts = os.environ.get("MLFLOW_TRACKING_URI"), None
    if not uri:
        uri, artifacts = local_uri(folder), moved.artifacts_uri(folder)
    with reaching(uri):
        if artifacts:
            create(folder)
            moved.follow(folder)
        else:
            moved.follow_uri(uri)
        client = _client(uri)
        found = client.get_experiment_by_name(experiment)
        known = found and found.experiment_id
        return Tracker(
            client, known or client.create_experiment(experiment, artifact_location=artifacts), tags=_commit()
        )


def find(folder: Path, *, uri: str | None = None, experiment: str = EXPERIMENT) -> Tracker:
    """Return a tracker of an experiment that there is, to read from.

    Parameters
    ----------
    folder : Path
        As `connect` takes it.
    uri : str or None
        Goes before MLFLOW_TRACKING_URI, and that before `folder`.
    experiment : str

    Raises
    ------
    DataError
        If there is no such experiment; names those that there are.
    """
    client = _existing(folder, uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        names = [each.name for each in client.search_experiments()]
        raise DataError(f"MLflow has no experiment {experiment!r}. {params.known(experiment, names)}")
    return Tracker(client, found.experiment_id)


def find_all(folder: Path, *, uri: str | None = None) -> list[Tracker]:
    """Return a tracker of every experiment that there is; parameters and errors as of `find`."""
    client = _existing(folder, uri)
    return [Tracker(client, each.experiment_id) for each in client.search_experiments()]


@contextlib.contextmanager
def reaching(uri: str = "") -> Iterator[None]:
    """Turn what MLflow or its client raises while it cannot be reached into `TrackingUnavailableError`.

    Parameters
    ----------
    uri : str
        If given, its server must take connections before it is asked anything: MLflow's own attempts at a database
        go on for minutes.
    """
    if uri.startswith(SQLITE) and (database := Path(uri.removeprefix(SQLITE))).exists() and not database.is_file():
        raise DataError(f"{database} must be MLflow's database, a file; it is none. Move it away.")
    where = urllib.parse.urlsplit(uri)
    port = where.port or {"postgresql": 5432, "mysql": 3306}.get(where.scheme.partition("+")[0])
    try:
        if where.hostname and port:
            socket.create_connection((where.hostname, port), _CONNECT_S).close()
        yield
    except MlflowException as error:
        if refused := _REFUSED.search(str(error)):
            place = _shown(uri or os.environ.get("MLFLOW_TRACKING_URI", ""))
            raise ParameterError(
                f"MLflow{f' at {place}' if place else ''} lets this user do nothing (status {refused[1]}). Set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to what it knows."
            ) from None
        if error.error_code not in _AWAY:
            raise
        raise _unavailable(uri, error) from error
    except (OSError, SQLAlchemyError) as error:
        raise _unavailable(uri, error) from error


def _unavailable(uri: str, error: Exception) -> TrackingUnavailableError:
    reason = str(error).strip().splitlines()[0][:200]
    place = f" at {_shown(uri)}" if uri else ""
    if _STORAGE.search(reason):
        return TrackingUnavailableError(
            f"MLflow{place} cannot use its folder ({reason}). Make it writable, with room on its disk, then go on."
        )
    if "out-of-date database schema" in reason:
        return TrackingUnavailableError(
            f"MLflow{place} has the database of another MLflow ({reason}). Install that version, or copy the database "
            "and run `mlflow db upgrade` on it, then go on."
        )
    return TrackingUnavailableError(f"MLflow{place} does not answer ({reason}). Start it, then go on.")


def _require_there(folder: Path) -> None:
    if folder.is_symlink() and not folder.exists():
        raise DataError(
            f"{folder} leads to {folder.readlink()}, which is not there. Mount that disk, or make the folder."
        )


def _shown(uri: str) -> str:
    """Return a URI without a password."""
    return re.sub(r"//[^@/]*@", "//", uri)


def _existing(folder: Path, uri: str | None) -> mlflow.MlflowClient:
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or local_uri(folder)
    database = Path(uri.removeprefix(SQLITE))
    if uri.startswith(SQLITE) and database.parent == folder.absolute():
        _require_there(folder)
    if uri.startswith(SQLITE) and not database.exists():
        raise DataError(f"{database} does not exist. Run `dvc repro`, or set MLFLOW_TRACKING_URI.")
    with reaching(uri):
        if uri == local_uri(folder):
            moved.follow(folder)
        else:
            moved.follow_uri(uri)
        return _client(uri)


def _commit() -> dict[str, str]:
    """Return tags of the commit of the project's folder, none outside a repository or without git."""
    git = shutil.which("git")
    if git is None:
        return {}
    head = subprocess.run([git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode:
        return {}
    changed = subprocess.run([git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, check=False)
    return {MLFLOW_GIT_COMMIT: head.stdout.strip(), MLFLOW_GIT_DIRTY: str(bool(changed.stdout)).lower()}
