"""MLflow, Prefect, HOME and the disk: away, unwritable or nonsense is one sentence and exit code 1, no traceback."""

import contextlib
import http.server
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stages.core.project import errors
from stages.core.project.provenance import ROOT
from stages.core.tracking import connection
from tests.console import edac

NOBODY = "http://127.0.0.1:9"  # the port of a service that nothing runs
SERVER = "from stages.core.project import errors\nfrom flows.execution.prefect_server import server\n"
START = SERVER + "def main():\n    with server():\n        pass\nerrors.run(main)\n"
PARAMS = """\
push:
  devices:
    - {name: attic, transport: local, folder: attic}
sweep: {schemes: [float32]}
"""
BROKEN = {
    "away": (NOBODY, "does not answer (", ""),
    "away database": ("postgresql://me:secret@127.0.0.1:9/x", "postgresql://127.0.0.1:9/x does not answer (", "secret"),
    "no such scheme": ("nonsense://me:secret@x", "MLFLOW_TRACKING_URI must be the address of a server", "secret"),
    "no such folder": ("sqlite:////proc/none/mlflow.db", "/proc/none/mlflow.db", ""),
    "no database": ("sqlite:///{folder}/garbage.db", "cannot use its folder (", ""),
}


def one_sentence(said: str) -> bool:
    return said.startswith("error: ") and said.count("\n") == 1 and "Traceback" not in said


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "garbage.db").write_text("garbage")
    return tmp_path


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("command", ["models", "push"])
def test_an_mlflow_that_cannot_be_used(
    how: str, command: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri, said, secret = BROKEN[how]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(folder=project))
    assert edac(command) == 1
    error = capsys.readouterr().err
    assert one_sentence(error), error
    assert said in error
    assert not secret or secret not in error


def foreign(database: Path, kind: str) -> None:
    database.parent.mkdir()
    if kind == "folder":
        database.mkdir()
    elif kind == "pipe":
        os.mkfifo(database)
    else:
        connection.create(database.parent)
        with contextlib.closing(sqlite3.connect(database)) as written, written:
            written.execute("update alembic_version set version_num = 'of another'")


@pytest.mark.parametrize("command", ["models", "push"])
@pytest.mark.parametrize(
    ("kind", "said"),
    [("folder", "must be MLflow's database, a file"), ("pipe", "must be MLflow's"), ("version", "of another MLflow")],
)
def test_a_database_that_is_none_of_this_mlflow(
    kind: str, said: str, command: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign(project / "mlruns/mlflow.db", kind)
    assert edac(command) == 1
    error = capsys.readouterr().err
    assert one_sentence(error), error
    assert said in error


def test_an_mlruns_that_is_a_file(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "mlruns").write_text("mine")
    assert edac("push") == 1
    assert one_sentence(said := capsys.readouterr().err), said
    assert (project / "mlruns").read_text() == "mine"


@pytest.mark.parametrize("home", [None, "/proc/none"])
def test_without_a_home(
    home: str | None, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HOME") if home is None else monkeypatch.setenv("HOME", home)
    assert edac("devices") == 1
    assert "holds no release" in capsys.readouterr().out
    assert edac("models") == 1
    assert one_sentence(capsys.readouterr().err)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "command, environment, said",
    [
        (["-m", "flows.serve"], {"PREFECT_API_URL": f"{NOBODY}/api"}, "does not answer ("),
        (["-m", "flows.push"], {"PREFECT_API_URL": f"{NOBODY}/api"}, "does not answer ("),
        (["-m", "flows.serve"], {}, "PREFECT_API_URL must name the Prefect server"),
        (["-c", START], {"PREFECT_API_URL": f"{NOBODY}/api"}, "does not answer ("),
        (["-c", START], {"PREFECT_HOME": "/proc/none"}, "PREFECT_HOME, /proc/none, can be written"),
        (["-m", "flows.ui"], {"PREFECT_HOME": "/proc/none"}, "Check PREFECT_HOME."),
    ],
)
def test_a_prefect_that_cannot_be_used(
    command: list[str], environment: dict[str, str], said: str, project: Path
) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *command],
        cwd=project,
        env=own | {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(project / "prefect")} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert one_sentence(done.stderr), done.stderr
    assert said in done.stderr


@pytest.mark.parametrize(
    "error, said",
    [
        (OSError(28, "No space left on device"), "No space left on device. Make room on the project's disk"),
        (OSError(122, "Disk quota exceeded", "/x"), "/x: Disk quota exceeded. Make room"),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied. Make it writable"),
        (OSError(30, "Read-only file system", "/x"), "/x: Read-only file system. Make it writable"),
        (ValueError("in user code: [Errno 28] No space left on device"), "No space left on device. Make room"),
    ],
)
def test_a_disk_that_is_full_or_cannot_be_written(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        try:
            raise error
        except Exception as cause:
            raise RuntimeError("what came of it") from cause

    with pytest.raises(SystemExit) as ended:
        errors.run(main)
    assert ended.value.code == 1
    assert one_sentence(printed := capsys.readouterr().err), printed
    assert said in printed


def test_a_bug_keeps_its_traceback() -> None:
    def main() -> None:
        raise FileNotFoundError(2, "No such file or directory", "x")

    with pytest.raises(FileNotFoundError):
        errors.run(main)


def test_a_question_mark_in_the_path_is_named_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a?b").mkdir()
    monkeypatch.chdir(tmp_path / "a?b")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "a?b/params.yaml").write_text(PARAMS)
    assert edac("push") == 1
    assert one_sentence(said := capsys.readouterr().err), said
    assert "its path holds a question mark. Rename that folder." in said
    assert [path.name for path in tmp_path.iterdir()] == ["a?b"]


@pytest.mark.parametrize("status", [401, 403])
def test_an_mlflow_that_asks_for_another_password(
    status: int, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        for command in ("models", "push"):
            assert edac(command) == 1
            said = capsys.readouterr().err
            assert f"lets this user do nothing (status {status}). Set MLFLOW_TRACKING_USERNAME and" in said
            assert said.count("\n") == 1
        server.shutdown()
