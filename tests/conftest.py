"""What the tests share."""

import gc
import os
import shutil
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what the tests start shall compile, as it does on anybody's machine

settings.register_profile("edac", deadline=None)  # a busy machine is no failure
settings.load_profile("edac")


@pytest.hookimpl(wrapper=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Have one worker more than there are cores, as tests wait for servers and processes for a third of their time.

    But no more than there is memory for: a worker takes 1.4 GB, and what its tests start as much again at times.
    """
    return max(1, min((yield) + 1, psutil.virtual_memory().available // (2 * 10**9)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Disable the garbage collector during collection: imports are no garbage, and it takes a seventh of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


LONG_FIRST = ("tests/e2e/", "tests/flows/", "tests/core/tracking/", "tests/push/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files that wait for servers and processes: a long one at the end would keep one worker alone."""

    def rank(item: pytest.Item) -> int:
        return next((i for i, place in enumerate(LONG_FIRST) if item.nodeid.startswith(place)), len(LONG_FIRST))

    items.sort(key=rank)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1234)


@pytest.fixture(scope="session")
def datasets() -> Path:
    """Folder of real recordings: EDAC_DATASETS, or `shared/datasets` beside the project; skips without."""
    folder = Path(os.environ.get("EDAC_DATASETS", ROOT.parent / "shared" / "datasets"))
    if not folder.is_dir():
        pytest.skip("no real recordings here; set EDAC_DATASETS to a folder that holds them")
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make MLflow's empty database once: its migrations take seconds. Every folder of this process gets a copy."""
    connection = sys.modules.get("stages.core.tracking.connection")
    if connection is None:  # no test of this run imports MLflow
        yield
        return
    original, template, lock = connection.new_database, tmp_path_factory.mktemp("mlflow"), threading.Lock()

    def new_database(folder: Path, artifacts: str) -> None:
        with lock:
            if not any(template.iterdir()):
                original(template, artifacts)
        shutil.copyfile(template / connection.DATABASE, folder / connection.DATABASE)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "new_database", new_database)
        yield
