"""The same tracker on a tracking server's other database, by URI alone: a real PostgreSQL on loopback."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stages.core.tracking import connection
from stages.core.tracking.connection import TrackingUnavailableError
from tests import examples

BINARIES = [str(path) for path in Path("/usr/lib/postgresql").glob("*/bin")]
PATH = os.pathsep.join([*BINARIES, os.environ["PATH"]])
VARIANT = examples.variant(sparsity=0.5, metrics={"test": examples.split_metrics(n=5)})

pytestmark = pytest.mark.skipif(shutil.which("initdb", path=PATH) is None, reason="needs PostgreSQL's server")


class Cluster:
    """A private cluster of databases; PostgreSQL refuses to be root, so a root lends it to another user."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.data, self.port = folder, folder / "data", port
        self.who: dict[str, Any] = {}
        if os.getuid() == 0:
            user = pwd.getpwnam("nobody")
            os.chown(folder, user.pw_uid, user.pw_gid)
            self.who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.run(
            "initdb",
            "--pgdata",
            str(self.data),
            "--username",
            "edac",
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
            "--no-sync",
        )

    @property
    def uri(self) -> str:
        return f"postgresql://edac@127.0.0.1:{self.port}/postgres"

    def run(self, *command: str) -> None:
        environment = {"PATH": PATH, "HOME": str(self.folder), "LC_ALL": "C"}
        done = subprocess.run(
            command, env=environment, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **self.who
        )
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder} -F"
        log = str(self.folder / "log")
        self.run("pg_ctl", "start", "--wait", "--pgdata", str(self.data), "--log", log, "--options", options)

    def stop(self) -> None:
        self.run("pg_ctl", "stop", "--mode", "immediate", "--pgdata", str(self.data))


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp())  # pytest's own can be entered by this user alone
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    try:
        cluster = Cluster(folder, port)
        cluster.start()
        yield cluster
        cluster.stop()
    finally:
        shutil.rmtree(folder)


@pytest.mark.thorough
def test_runs_and_versions_are_kept_and_found_by_the_uri_alone(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", cluster.uri)
    monkeypatch.chdir(tmp_path)  # MLflow's place for artefacts where there is no server is under the current folder
    (tmp_path / "model.tflite").write_bytes(b"abc")
    tracker = connection.connect(tmp_path / "unused", "task")
    for _ in range(2):
        with tracker.sweep("grid", {"seeds": [1]}) as parent:
            tracker.log_variant(VARIANT, tmp_path / "model.tflite", parent)
    (found,) = tracker.variants(parent)
    assert (found.name, found.sparsity, found.figures["test.n"]) == ("v", 0.5, 5)
    tracker.client.create_registered_model("task")
    tracker.client.create_model_version("task", "runs:/x", found.run_id, tags={"sha256": VARIANT.sha256})
    tracker.set_alias("task", "champion", 1)
    assert [(each.number, each.aliases) for each in tracker.versions("task")] == [(1, ("champion",))]

    cluster.stop()
    sentence = f"MLflow at postgresql://127.0.0.1:{cluster.port}/postgres does not answer"
    with pytest.raises(TrackingUnavailableError, match=sentence):
        connection.connect(tmp_path / "unused", "task")
    with pytest.raises(TrackingUnavailableError), connection.reaching():
        tracker.sweeps()
    cluster.start()
    again = connection.connect(tmp_path / "unused", "task")
    assert again.variants(parent) == [found]
    assert not (tmp_path / "unused").exists()
