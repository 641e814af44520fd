"""Releases in a visitor's browser: offline, updates, refusals by version, signature and self-test, and rollback."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from stages.core.project import files
from stages.push import page, rollout, signing
from stages.push.page_server import Served, serving
from stages.push.transports import web
from stages.runtime import trust

sys.path.insert(0, str(Path(__file__).parent))
import pages  # type: ignore[import-not-found]
from visits import READY, Published, Visit, visit  # type: ignore[import-not-found]

from tests.messages import line_with

pytestmark = pytest.mark.thorough


def test_a_page_works_without_a_network_after_the_first_visit(chromium: Any, published: Published) -> None:
    context = chromium.new_context()
    tab = visit(context)
    with serving(Served(published.folder, published.folder / "current")) as address:
        tab.open(address)
        tab.tab.evaluate("navigator.serviceWorker.ready.then(() => true)")
        tab.tab.reload()
        tab.tab.wait_for_selector(READY, timeout=30_000)
    tab.tab.reload()  # nothing answers any more
    tab.tab.wait_for_selector(READY, timeout=30_000)
    assert "No network" in tab.text("#status")
    assert "Version 1" in tab.text("#status")
    context.close()


def test_an_update_is_taken_and_an_older_version_is_refused(
    visitor: Visit, served: str, published: Published, releases: list[Path]
) -> None:
    visitor.open(served)
    assert "Version 1" in visitor.text("#status")
    published.put(releases[1])
    visitor.open(served)
    assert "Version 2" in visitor.text("#status")
    published.put(releases[0])
    visitor.open(served)
    status = visitor.text("#status")
    assert "Version 2" in status
    assert line_with(status, "version 1,", "version 2")


def test_a_release_that_fails_its_self_test_or_is_damaged_is_not_used(
    visitor: Visit, served: str, published: Published, releases: list[Path], tmp_path: Path
) -> None:
    visitor.open(served)
    broken = Path(shutil.copytree(releases[1], tmp_path / "broken"))
    content = json.loads((broken / "manifest.json").read_text())
    content["golden"][0]["scores"] = [0.9]
    files.write_json(broken / "manifest.json", content)
    published.put(broken)
    visitor.open(served)
    assert "Version 1" in visitor.text("#status")
    assert "fails its self-test in this browser" in visitor.text("#status")
    damaged = Path(shutil.copytree(releases[1], tmp_path / "damaged"))
    (damaged / "model.tflite").write_bytes(b"damaged")
    published.put(damaged)
    visitor.open(served)
    assert "model.tflite is missing or altered" in visitor.text("#status")


@pytest.mark.parametrize(
    "altered", ["worker-*.js", "recorder-*.js", "litert_wasm_internal.js", "litert_wasm_internal.wasm"]
)
def test_a_script_of_the_page_that_is_altered_does_not_run_on_a_first_visit(
    visitor: Visit, served: str, published: Published, altered: str
) -> None:
    (path,) = published.folder.rglob(altered)
    path.write_bytes(path.read_bytes() + b"\n")
    if altered.startswith("recorder"):
        visitor.open(served)
        visitor.tab.click("#record")
    else:
        visitor.tab.goto(served)
    visitor.tab.wait_for_selector("#message:not(:empty)", timeout=30_000)
    assert f"{path.name} is altered" in visitor.text("#message")
    assert not visitor.tab.query_selector("#record[aria-pressed=true]")


def test_only_a_pinned_keys_signature_is_taken(visitor: Visit, tmp_path: Path) -> None:
    mine, other = tmp_path / "mine.pem", tmp_path / "other.pem"
    public = signing.new_key(mine)
    signing.new_key(other)
    place = Published(tmp_path / "public")
    page.write(place.folder, {trust.fingerprint(public): public})
    with serving(Served(place.folder, place.folder / "current")) as address:
        place.put(pages.release(tmp_path / "foreign", 1, key=other))
        visitor.tab.goto(address)
        visitor.tab.wait_for_selector("#message:not(:empty)")
        assert line_with(visitor.text("#message"), "not signed")
        place.put(pages.release(tmp_path / "unsigned", 1))
        visitor.tab.goto(address)
        visitor.tab.wait_for_selector("#message:not(:empty)")
        assert "takes signed releases only" in visitor.text("#message")
        place.put(pages.release(tmp_path / "signed", 1, key=mine))
        visitor.open(address)
        assert f"signed by {trust.fingerprint(public)}" in visitor.text("#status")


@pytest.fixture
def public(tmp_path: Path) -> web.WebTransport:
    return web.connect(web.Config(tmp_path / "rolled"), "page")


def test_a_deliberate_rollback_reaches_who_has_seen_the_later_version(
    chromium: Any, public: web.WebTransport, releases: list[Path], tmp_path: Path
) -> None:
    first, second = releases
    folder = tmp_path / "rolled"
    rollout.deliver(public, first, keep=3)
    rollout.deliver(public, second, keep=3)
    context = chromium.new_context()
    tab = visit(context)
    with serving(Served(folder, folder / "current")) as address:
        tab.open(address)
        assert "Version 2" in tab.text("#status")

        rollout.rollback(public)
        tab.open(address)
        status = tab.text("#status")
        assert "Version 1" in status
        assert line_with(status, "took back version 2")

        stranger = visit(chromium.new_context())
        stranger.open(address)
        assert "Version 1" in stranger.text("#status")
        assert "took back" not in stranger.text("#status")
        tab.tab.evaluate("navigator.serviceWorker.ready.then(() => true)")
        tab.open(address)
    tab.tab.reload()  # nothing answers any more
    tab.tab.wait_for_selector(READY, timeout=30_000)
    assert "Version 1" in tab.text("#status")
    assert "No network" in tab.text("#status")

    third = pages.release(tmp_path / "3", 3, gain=20.0)
    rollout.deliver(public, third, keep=3)
    other = visit(chromium.new_context())
    with serving(Served(folder, folder / "current")) as address:
        other.open(address)
        assert "Version 3" in other.text("#status")
    assert '"rollback": null' in (folder / page.INDEX).read_text()
    context.close()


def test_only_the_page_takes_a_version_back_and_a_version_taken_back_never_runs(
    visitor: Visit, public: web.WebTransport, releases: list[Path], tmp_path: Path
) -> None:
    first, second = releases
    folder, served = tmp_path / "rolled", Published(tmp_path / "served")
    rollout.deliver(public, first, keep=3)
    rollout.deliver(public, second, keep=3)
    page.write(served.folder, None)
    served.put(second)
    with serving(Served(served.folder, served.folder / "current")) as address:
        visitor.open(address)
        served.put(first)  # by somebody who holds the releases, but not the page
        visitor.open(address)
        assert line_with(visitor.text("#status"), "version 1,", "version 2")

        rollout.rollback(public)
        shutil.copyfile(folder / page.INDEX, served.folder / page.INDEX)
        served.put(pages.release(tmp_path / "other", 1, gain=15.0))  # as old, but not the one that the page names
        visitor.tab.goto(address)
        visitor.tab.wait_for_selector("#message:not(:empty)")
        message = visitor.text("#message")
        assert line_with(message, "version 1,", "took back")
        assert line_with(message, "took back", "kept here")
        served.put(second)
        visitor.tab.goto(address)
        visitor.tab.wait_for_selector("#message:not(:empty)")
        assert line_with(visitor.text("#message"), "version 2,", "took back")
        served.put(first)
        visitor.open(address)
        assert "Version 1" in visitor.text("#status")
