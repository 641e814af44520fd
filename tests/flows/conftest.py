"""A Prefect server for the flows, and what a cell is made of."""

import contextlib
import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flows.sweep.grid import Sources
from stages.core.artifacts import clips as clips_file
from stages.core.nn import network
from stages.core.nn.keras import keras
from stages.core.project import files

os.environ["PREFECT_HOME"] = tempfile.mkdtemp()  # before Prefect is imported

SERVE = """
import sys
from flows.execution.prefect_server import server
with server() as address:
    print(address, flush=True)
    sys.stdin.read()
"""


HELD = contextlib.ExitStack()
"""What this worker holds of the shared server."""


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the folder by which the workers of a run share the server."""
    base = factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "prefect_server"


class Holder:
    """Close this worker's end of the server's pipe after the last test that may use the server.

    An idle server takes a tenth of a core.
    """

    def __init__(self, later: set[pytest.Item]) -> None:
        self._later = later

    def pytest_runtest_teardown(self, nextitem: pytest.Item | None) -> None:
        if nextitem is None or nextitem in self._later:
            HELD.close()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Hold the server's pipe open from the start, so that a worker that finishes early does not stop the server."""
    using = [i for i, item in enumerate(session.items) if "prefect_server" in getattr(item, "fixturenames", ())]
    if using:
        shared = shared_folder(session.config._tmp_path_factory)  # type: ignore[attr-defined]
        shared.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkfifo(shared / "pipe")
        HELD.callback(os.close, os.open(shared / "pipe", os.O_RDWR))
        session.config.pluginmanager.register(Holder(set(session.items[using[-1] + 1 :])))


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Share one server, in a process of its own where Prefect's warnings are no errors, between the workers of a run.

    Its start takes longer than what most tests ask of it. It ends once no worker holds its pipe open any more.
    """
    shared = shared_folder(tmp_path_factory)
    told, started = shared / "address", None
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            with (shared / "pipe").open("rb") as end:
                command, root = [sys.executable, "-c", SERVE], Path(__file__).parents[2]
                started = subprocess.Popen(command, cwd=root, stdin=end, stdout=subprocess.PIPE, text=True)
            assert started.stdout
            address = started.stdout.readline().strip()
            assert address, "Prefect's server does not start"
            told.write_text(address)
    address = told.read_text()
    from prefect.settings import PREFECT_API_URL, temporary_settings

    HELD.enter_context(temporary_settings({PREFECT_API_URL: address}))
    environment = HELD.enter_context(pytest.MonkeyPatch.context())
    environment.setenv("PREFECT_API_URL", address)  # for processes that tests start
    yield address
    HELD.close()
    if started:
        started.communicate()


@pytest.fixture(scope="module", autouse=True)
def _no_thread_of_prefect_goes_on() -> Iterator[None]:
    """End the thread that sends events: its WebSocket draws from `random` meanwhile, which hypothesis refuses."""
    yield
    worker = sys.modules.get("prefect.events.worker")
    if worker is not None:
        worker.EventsWorker.drain_all(at_exit=False)


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Folders of random features and of an untrained baseline."""
    root, rng = tmp_path_factory.mktemp("inputs"), np.random.default_rng(1234)
    shape, sides = (20, 8), ["train"] * 16 + ["validation"] * 12 + ["test"] * 12
    features = root / "features"
    features.mkdir()
    np.save(features / "features.npy", rng.normal(size=(len(sides), *shape)).astype(np.float32))
    rows = [
        {"clip_id": str(i), "path": "", "split": side, "label": "ab"[i % 2], "group": str(i), "site": "", "parent": ""}
        for i, side in enumerate(sides)
    ]
    files.write_csv(features / "clips.csv", clips_file.COLUMNS, rows)
    files.write_json(features / "frontend.json", {"labels": ["a", "b"], "sample_rate": 8000, "clip_samples": 8000})
    baseline = root / "baseline"
    baseline.mkdir()
    keras.utils.set_random_seed(1234)
    network.save(*network.build("ds_cnn", {"ds_cnn": {"stem": 4, "widths": [8]}}, shape, 2), baseline)
    return Sources(baseline, features)
