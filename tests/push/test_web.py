"""The transport `web`: a push onto a page is a rollout, tested in a real headless browser before anybody sees it."""

import json
import sys
from pathlib import Path

import pytest

from stages.core.project import files
from stages.core.project.errors import DataError, DeviceError
from stages.push import browser, fleet, identity, page, rollout, signing
from stages.push.params import PushParams, devices
from stages.push.transports import web
from stages.runtime import manifest

sys.path.insert(0, str(Path(__file__).parent))
import pages  # type: ignore[import-not-found]

pytestmark = pytest.mark.thorough


@pytest.fixture(autouse=True)
def _browser() -> None:
    try:
        page.built()
        browser.find()
    except (DataError, DeviceError) as error:
        pytest.skip(str(error))


@pytest.fixture
def public(tmp_path: Path) -> web.WebTransport:
    return web.connect(web.Config(tmp_path / "public"), "page")


def current(public: web.WebTransport) -> int:
    return manifest.load(public._folder / "current").version


def break_golden(release: Path) -> Path:
    """A release that is whole, but whose golden scores nobody computes."""
    content = json.loads((release / "manifest.json").read_text())
    content["golden"][0]["scores"] = [0.9]
    files.write_json(release / "manifest.json", content)
    return release


def test_push_update_failed_self_test_and_rollback(tmp_path: Path, public: web.WebTransport) -> None:
    first, second = pages.release(tmp_path / "1", 1), pages.release(tmp_path / "2", 2, gain=30.0)
    delivery = rollout.deliver(public, first, keep=3)
    assert delivery.installed
    assert 0 <= delivery.max_difference < 1e-5
    assert not rollout.deliver(public, first, keep=3).installed
    names = {path.name.partition("-")[0] for path in (tmp_path / "public").iterdir()}
    assert {"index.html", "app", "worker", "service_worker.js", "app.webmanifest", "litert", "current"} <= names

    assert rollout.deliver(public, second, keep=3).installed
    assert current(public) == 2
    status = rollout.status(public)
    assert (status.health, status.version) == ("healthy", 2)
    assert len(status.differences) == 4

    with pytest.raises(DeviceError, match="scores differ"):
        rollout.deliver(public, break_golden(pages.release(tmp_path / "3", 3)), keep=3)
    assert current(public) == 2
    with pytest.raises(DeviceError, match="version"):
        rollout.deliver(public, pages.release(tmp_path / "4", 1, gain=20.0), keep=3)
    rollout.rollback(public)
    assert current(public) == 1


def test_signed_releases_only_once_a_key_is_pinned(tmp_path: Path, public: web.WebTransport) -> None:
    key, other = tmp_path / "key.pem", tmp_path / "other.pem"
    public_key = signing.new_key(key)
    signing.new_key(other)
    unsigned = pages.release(tmp_path / "1", 1)
    signed, foreign = pages.release(tmp_path / "2", 2, key=key), pages.release(tmp_path / "3", 3, key=other)
    rollout.deliver(public, unsigned, keep=3)
    identity.trust_key(public, public_key)
    assert '"keys": null' not in (tmp_path / "public/index.html").read_text()
    for refused in (pages.release(tmp_path / "4", 4), foreign):
        with pytest.raises(DeviceError, match="sign"):
            rollout.deliver(public, refused, keep=3)
    assert rollout.deliver(public, signed, keep=3).notes == ()
    assert current(public) == 2


def test_params_name_a_page_and_a_bench_measures_in_the_browser(tmp_path: Path) -> None:
    table = {"name": "page", "transport": "web", "folder": str(tmp_path / "public")}
    params = PushParams(devices=(table,))
    results = fleet.roll_out(devices(params), pages.release(tmp_path / "1"), params=params)
    assert [result.outcome for result in results] == ["installed"]
    _, figures = rollout.benchmark(devices(params)[0].connect(), runs=5)
    assert figures["together_ms"]["p50"] > 0
    assert 0 < figures["real_time_factor"] < 1
    assert figures["cold_start_s"]["total"] > 0
    assert "Mozilla" in figures["browser"]


def test_a_browser_that_dies_leaves_what_ran(tmp_path: Path, public: web.WebTransport) -> None:
    rollout.deliver(public, pages.release(tmp_path / "1", 1), keep=3)
    broken = web.connect(web.Config(tmp_path / "public", browser="false"), "page")
    with pytest.raises(DeviceError, match="ended without an answer"):
        rollout.deliver(broken, pages.release(tmp_path / "2", 2, gain=30.0), keep=3)
    assert current(public) == 1
