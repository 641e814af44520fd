"""A sweep's results into an MLflow that comes and goes."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stages.core.artifacts import sweep as sweep_file
from stages.core.artifacts.sweep import SweepDescription
from stages.core.artifacts.variant import Variant, write_variants
from stages.core.project import files
from stages.core.tracking import connection
from stages.core.tracking.connection import Tracker, TrackingUnavailableError
from stages.core.tracking.spool import spooled
from tests import examples
from tests.messages import line_with

VARIANT = examples.variant(metrics={"test": examples.split_metrics(n=5)})


def variant(key: str) -> Variant:
    return replace(VARIANT, name=f"name of {key}", key=key)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model.tflite").write_bytes(b"abc")
    return tmp_path / "model.tflite"


def finished(tracker: Tracker) -> Counter[str]:
    """Return how often each variant is there as finished."""
    runs = tracker.client.search_runs([tracker.experiment_id], "attributes.status = 'FINISHED'")
    return Counter(run.data.tags["edac.key"] for run in runs if "edac.key" in run.data.tags)


def statuses(tracker: Tracker) -> Counter[str]:
    return Counter(run.info.status for run in tracker.client.search_runs([tracker.experiment_id]))


def test_what_is_logged_while_mlflow_is_away_is_there_once_it_is_back(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absences = 3

    def connect() -> Tracker:
        nonlocal absences
        absences -= 1
        if absences >= 0:
            raise TrackingUnavailableError("MLflow does not answer.")
        return connection.connect(tmp_path / "mlruns")

    with spooled(connect, "grid", {}, retry_s=0.01) as spool:
        spool.variant(variant("a"), model)
        spool.failure("title", "b", "It broke.")
        while absences >= 0:
            time.sleep(0.01)
    tracker = connection.connect(tmp_path / "mlruns")
    assert finished(tracker) == {"a": 1}
    assert statuses(tracker) == {"FINISHED": 2, "FAILED": 1}
    assert line_with(capsys.readouterr().err, "warning: ", "MLflow")


def test_an_mlflow_that_stays_away_is_told_and_the_assembled_sweep_is_logged_later(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def connect() -> Tracker:
        raise TrackingUnavailableError("MLflow does not answer.")

    with spooled(connect, "grid", {}, retry_s=60) as spool:
        for key in "ab":
            spool.variant(variant(key), model)
    assert line_with(capsys.readouterr().err, "2 results", "`dvc repro`")

    sweep = tmp_path / "sweep"
    write_variants(sweep / "variants.json", [variant(key) for key in "ab"])
    for key in "ab":
        files.write_text(sweep / f"{variant(key).name}.tflite", "abc")
    sweep_file.write(sweep, SweepDescription("grid", {"seeds": "[1]"}))
    tracker = connection.connect(tmp_path / "mlruns")
    assert [tracker.log_sweep(sweep) for _ in range(2)] == [2, 0]
    assert finished(tracker) == {"a": 1, "b": 1}
    (found,) = tracker.sweeps()
    assert (found.name, found.status, found.parameters) == ("sweep-grid", "FINISHED", {"seeds": "[1]"})
    assert tracker.keys(found.run_id) == {"a", "b"}


def test_a_store_whose_logging_breaks_off_is_logged_to_its_end_and_nothing_twice(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, tried = Tracker._log_variant, []

    def away_once(self: Tracker, variant: Variant, *rest: Any) -> str:
        tried.append(variant.key)
        if len(tried) == 3:
            raise TrackingUnavailableError("MLflow does not answer.")
        return honest(self, variant, *rest)

    monkeypatch.setattr(Tracker, "_log_variant", away_once)
    with spooled(lambda: connection.connect(tmp_path / "mlruns"), "grid", {}, retry_s=0.01) as spool:
        spool.variants([(variant(key), model) for key in "abcd"])
        while spool.logged < 4:
            time.sleep(0.01)
    assert "".join(tried) == "abcabcd"
    assert finished(connection.connect(tmp_path / "mlruns")) == dict.fromkeys("abcd", 1)


def test_a_mistake_while_logging_ends_the_sweep_with_it(tmp_path: Path) -> None:
    def connect() -> Tracker:
        raise KeyError("a mistake")

    with pytest.raises(KeyError, match="a mistake"), spooled(connect, "grid", {}):
        pass


@contextlib.contextmanager
def server(folder: Path, port: int) -> Iterator[None]:
    """Serve MLflow from a process of its own, which is killed at the end."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "kept")]
    env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.txt").open("a") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 180
        while not healthy(port):
            assert process.poll() is None, (folder / "server.txt").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.mark.thorough
def test_a_server_killed_in_mid_sweep_costs_nothing_and_nothing_is_there_twice(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    keys = [f"k{i}" for i in range(30)]

    def connect() -> Tracker:
        return connection.connect(tmp_path / "unused", "task")

    with pytest.raises(TrackingUnavailableError, match=f"MLflow at {address} does not answer"):
        connect()
    with contextlib.ExitStack() as stack:
        with spooled(connect, "grid", {"seeds": "[1]"}, retry_s=0.1) as spool:
            with server(tmp_path, port):
                for key in keys[:20]:
                    spool.variant(variant(key), model)
                while spool.logged < 5:
                    time.sleep(0.01)
            for key in keys[20:]:  # killed in the middle of one
                spool.variant(variant(key), model)
            assert spool.logged < 20
            stack.enter_context(server(tmp_path, port))
            while spool.logged < 25:
                time.sleep(0.01)
        tracker = connect()
        assert finished(tracker) == dict.fromkeys(keys, 1)
        assert set(statuses(tracker)) <= {"FINISHED", "KILLED"}
        (found,) = tracker.sweeps()
        assert (found.status, tracker.keys(found.run_id)) == ("FINISHED", set(keys))
        (path,) = tracker.client.list_artifacts(tracker.variants(found.run_id)[0].run_id)
        assert path.path == "name of k0.tflite"
    assert "The sweep goes on meanwhile" in capsys.readouterr().err
