"""Tiny models, the folders of the stages before push, and a device to push to."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stages.push import bundle, page
from stages.push.page_server import Served, serving
from stages.push.transports import local

sys.path.insert(0, str(Path(__file__).parent))
import loopback  # type: ignore[import-not-found]
import pages  # type: ignore[import-not-found]
import tiny  # type: ignore[import-not-found]
import visits  # type: ignore[import-not-found]


@pytest.fixture(scope="session")
def tflites() -> tuple[bytes, ...]:
    """A front end, two binary models with different weights and one of three classes."""
    return tiny.tflites()


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the features stage leaves, with the audio it was made from."""
    return tiny.write_features(tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="session")
def selections(tflites: tuple[bytes, ...], features: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What the select stage leaves, of three different models."""
    frontend, *models = tflites
    return [
        tiny.write_selection(tmp_path_factory.mktemp("selected"), features, frontend, model, i)
        for i, model in enumerate(models)
    ]


@pytest.fixture(scope="session")
def bundles(selections: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Versions 1 and 2 of a binary task, and 3 of three classes."""
    folders = []
    for i, selected in enumerate(selections):
        folder = tmp_path_factory.mktemp("bundle") / "release"
        bundle.build(folder, selected=selected, version=i + 1)
        folders.append(folder)
    return folders


@pytest.fixture
def device(tmp_path: Path) -> local.LocalTransport:
    return local.connect(local.Config(tmp_path / "device"), "bench")


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[loopback.Sshd]:
    """A real SSH server that lets one key in."""
    if not Path(loopback.SSHD).exists() or not shutil.which("ssh-keygen"):
        pytest.skip("no OpenSSH server here; install openssh-server")
    server = loopback.Sshd(tmp_path_factory.mktemp("ssh") / "sshd")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tone from 1 s to 2 s between near silence, as the microphone hears it, and in six formats."""
    return visits.make_sounds(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="module")
def chromium(sounds: Path) -> Iterator[Any]:
    yield from visits.start_chromium(sounds)


@pytest.fixture
def visitor(chromium: Any) -> Iterator[visits.Visit]:
    context = chromium.new_context(permissions=["microphone"])
    found = visits.visit(context)
    yield found
    context.close()
    assert found.errors == []


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Versions 1 and 2 of a detector of loudness."""
    folder = tmp_path_factory.mktemp("releases")
    return [pages.release(folder / "1", 1), pages.release(folder / "2", 2, gain=30.0)]


@pytest.fixture
def published(tmp_path: Path, releases: list[Path]) -> visits.Published:
    """A page with version 1, as a web server publishes it."""
    place = visits.Published(tmp_path / "public")
    page.write(place.folder, None)
    place.put(releases[0])
    return place


@pytest.fixture
def served(published: visits.Published) -> Iterator[str]:
    with serving(Served(published.folder, published.folder / "current")) as address:
        yield address
