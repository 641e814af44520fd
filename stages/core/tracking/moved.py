"""Follow a project that was moved or copied: MLflow's database holds absolute paths of artefacts.

`follow` points them at the folder where the database lies now. `tracking_store` does so for every program of this
environment that opens such a database through MLflow alone, e.g. ``mlflow.pyfunc.load_model``; `pyproject.toml`
registers it as a plug-in of MLflow.
"""

import contextlib
import fcntl
import socket
import sqlite3
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core.project import files
from stages.core.project.errors import DataError

if TYPE_CHECKING:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

DATABASE = "mlflow.db"
ARTIFACTS = "artifacts"
HOST = "edac.host"
"""Tag of a run: the machine and the folder that own it."""
SQLITE = "sqlite:///"
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow(folder: Path) -> None:
    """Point the artefacts of a folder's database at the folder where both lie now.

    Does nothing if there is no database, or its artefacts lie where it says, perhaps under another name of the same
    folder (a link, a second mount).

    Parameters
    ----------
    folder : Path
        Holds ``mlflow.db`` and ``artifacts/``.

    Raises
    ------
    DataError
        If the database belongs to another place and cannot be changed.
    """
    database = folder / DATABASE
    if not database.is_file() or _earlier(database) is None:
        return
    try:
        with files.open_lock(folder / f".{DATABASE}.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            earlier = _earlier(database)
            if earlier is not None:  # else another process was faster
                _rewrite(database, earlier)
    except (OSError, sqlite3.Error) as error:
        raise DataError(
            f"{database} was moved or copied from {_earlier(database)}, and its paths cannot be changed ({error}). "
            "Make the folder writable, or copy it to a place that is."
        ) from None


def artifacts_uri(folder: Path) -> str:
    """Return the URI under which MLflow keeps the artefacts of a folder."""
    return (folder / ARTIFACTS).absolute().as_uri()


def follow_uri(uri: str) -> None:
    """Do what `follow` does for the database of a tracking URI, unless it is a server or not one of EDAC's."""
    database = Path(urllib.parse.unquote(uri.removeprefix(SQLITE)))
    if uri.startswith(SQLITE) and database.name == DATABASE and (database.parent / ARTIFACTS).is_dir():
        follow(database.parent)


def tracking_store(store_uri: str, artifact_uri: str | None = None) -> "SqlAlchemyStore":
    """Open an SQLite tracking store as MLflow does, after its artefacts were found."""
    from mlflow.tracking._tracking_service.utils import _get_sqlalchemy_store

    with contextlib.suppress(DataError):  # a database that cannot be written is still read
        follow_uri(store_uri)
    store: SqlAlchemyStore = _get_sqlalchemy_store(store_uri, artifact_uri)  # type: ignore[no-untyped-call]
    return store


def _earlier(database: Path) -> str | None:
    """Return the URI under which the database believes its artefacts to lie, None if they do lie there."""
    with _opened(database, "ro") as connection:
        try:
            rows: list[tuple[Any, str]] = connection.execute(
                "SELECT experiment_id, artifact_location FROM experiments ORDER BY experiment_id"
            ).fetchall()
        except sqlite3.Error:
            return None  # MLflow says what is wrong with it
    end = f"/{ARTIFACTS}"
    roots = [uri.removesuffix("/0") if number == 0 else uri for number, uri in rows if uri]
    root = next((uri for uri in roots if uri.startswith("file:///") and uri.endswith(end)), None)
    if root is None or root == artifacts_uri(database.parent):
        return None
    with contextlib.suppress(OSError):
        if (_path(root).parent / DATABASE).samefile(database):
            return None
    return root


def _rewrite(database: Path, earlier: str) -> None:
    now = artifacts_uri(database.parent)
    with _opened(database, "rw") as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        for table, column in _PLACES:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (now, len(earlier) + 1, earlier, len(earlier) + 1, f"{earlier}/"),
            )
        owners = [f"{socket.gethostname()}:{_project(uri)}" for uri in (now, earlier)]
        connection.execute("UPDATE tags SET value = ? WHERE key = ? AND value = ?", (owners[0], HOST, owners[1]))


def _project(artifacts: str) -> Path:
    return _path(artifacts).parents[1]


def _path(uri: str) -> Path:
    return Path(urllib.parse.unquote(urllib.parse.urlsplit(uri).path))


@contextlib.contextmanager
def _opened(database: Path, mode: str) -> Iterator[sqlite3.Connection]:
    uri = f"file:{urllib.parse.quote(str(database.absolute()))}?mode={mode}"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=60, isolation_level=None)) as connection:
        yield connection
