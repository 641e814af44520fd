"""The page in strange places: no microphone, no storage, no HTTPS, two tabs, an update in mid-session, odd labels."""

import datetime
import json
import shutil
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stages.core.project import files
from stages.core.project.provenance import ROOT
from stages.push import browser, page

sys.path.insert(0, str(Path(__file__).parent))
from test_page_build import build  # type: ignore[import-not-found]
from visits import READY, Published, Visit, visit  # type: ignore[import-not-found]

from tests.messages import line_with

pytestmark = pytest.mark.thorough


def wav(rate: int, n_channels: int = 1, bits: int = 16, claimed: int | None = None, n: int = 4000) -> bytes:
    """A WAV file whose header says what it likes."""
    data = b"\x00\x20" * n
    size = len(data) if claimed is None else claimed
    form = struct.pack("<HHIIHH", 1, n_channels, rate, rate * 2 % 2**32, 2, bits)
    return (
        b"RIFF"
        + struct.pack("<I", 36)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + struct.pack("<I", size)
        + data
    )


def test_headers_that_lie_are_one_sentence_each(visitor: Visit, served: str, sounds: Path, tmp_path: Path) -> None:
    visitor.open(served)
    made = {
        "0_hertz.wav": (wav(0), "cannot decode this file"),
        "no_channel.wav": (wav(8000, n_channels=0), "cannot decode this file"),
        "many_channels.wav": (wav(8000, n_channels=65535), "cannot decode this file"),
        "0_bits.wav": (wav(8000, bits=0), "cannot decode this file"),
        "4_gigabytes.wav": (wav(8000, claimed=0xFFFFFFFF), "ends before its header says"),
        "header_only.wav": (wav(8000)[:44], "cannot decode this file"),
        "4_gigahertz.wav": (wav(4_000_000_000), ""),  # a microsecond of sound, which can be heard
    }
    for name, (content, sentence) in made.items():
        (tmp_path / name).write_bytes(content)
        visitor.decide(tmp_path / name)
        said = visitor.text("#message")
        assert sentence in said, name
        assert said.count(".") <= 3, said
        assert visitor.tab.is_hidden("#result") == bool(sentence), name
    infinite = np.full(4000, np.inf, np.float32)
    soundfile.write(tmp_path / "infinite.wav", infinite, 8000, subtype="FLOAT")
    visitor.decide(tmp_path / "infinite.wav")
    assert "not finite numbers" in visitor.text("#message")
    assert visitor.decide(sounds / "a.wav") == "positive"
    assert visitor.text("#message") == ""


def test_the_next_file_ends_the_work_on_the_former(visitor: Visit, served: str, sounds: Path, tmp_path: Path) -> None:
    visitor.open(served)
    soundfile.write(tmp_path / "long.wav", np.zeros(8000 * 3000, np.int16), 8000)
    visitor.tab.set_input_files("#file", str(tmp_path / "long.wav"))
    visitor.tab.wait_for_selector("#decision:text-matches('windows')", timeout=30_000)
    assert visitor.decide(sounds / "a.wav") == "positive"
    visitor.tab.wait_for_timeout(500)
    assert visitor.text("#decision") == "positive"
    assert "0.50 s" in visitor.text("#details")
    assert visitor.text("#message") == ""


def test_labels_from_right_to_left_leave_the_sentence_in_place(
    visitor: Visit, served: str, published: Published
) -> None:
    path = published.folder / "current/manifest.json"
    labels = ["هادئ", "‮צליל"]
    files.write_json(path, json.loads(path.read_text()) | {"labels": labels})
    visitor.open(served)
    assert "⁨هادئ⁩, ⁨צליל⁩" in visitor.text("#about")
    visitor.tab.click("#live")
    visitor.tab.wait_for_selector("#events li", timeout=30_000)
    assert visitor.text("#events li").startswith("⁨צליל⁩: ")
    visitor.tab.click("#live")


def test_no_microphone_is_one_sentence(chromium: Any, served: str, sounds: Path) -> None:
    started = chromium.browser_type.launch(executable_path=browser.find().program)
    tab = visit(started.new_context(permissions=["microphone"]))
    tab.open(served)
    for button in ("#record", "#live"):
        tab.tab.click(button)
        tab.tab.wait_for_selector("#message:not(:empty)")
        assert line_with(tab.text("#message"), "No microphone")
        assert tab.text("#record-text") == "Record"
    assert tab.decide(sounds / "a.wav") == "positive"
    started.close()


def test_a_refused_microphone_is_one_sentence(chromium: Any, served: str, sounds: Path) -> None:
    arguments = ["--use-fake-device-for-media-stream", "--deny-permission-prompts"]
    started = chromium.browser_type.launch(executable_path=browser.find().program, args=arguments)
    tab = visit(started.new_context())
    tab.open(served)
    tab.tab.click("#record")
    tab.tab.wait_for_selector("#message:not(:empty)")
    assert "The microphone is not allowed" in tab.text("#message")
    assert tab.decide(sounds / "a.wav") == "positive"
    started.close()


def test_a_microphone_that_goes_away_leaves_what_was_heard(visitor: Visit, served: str) -> None:
    keep = """const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (what) => (window.given = await ask(what));"""
    visitor.tab.add_init_script(keep)
    visitor.open(served)
    visitor.tab.click("#record")
    visitor.tab.wait_for_selector("#record-text:text-matches('Stop .[1-9] s')", timeout=20_000)
    visitor.tab.evaluate("window.given.getTracks()[0].dispatchEvent(new Event('ended'))")
    visitor.tab.wait_for_selector("#message:not(:empty)")
    assert "disconnected" in visitor.text("#message")
    assert visitor.text("#record-text") == "Record"
    assert visitor.text("#decision")


@pytest.fixture
def without_storage(chromium: Any, tmp_path: Path) -> Iterator[Any]:
    """Chromium whose owner lets sites store nothing."""
    (tmp_path / "profile/Default").mkdir(parents=True)
    blocked = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (tmp_path / "profile/Default/Preferences").write_text(json.dumps(blocked))
    context = chromium.browser_type.launch_persistent_context(
        str(tmp_path / "profile"), executable_path=browser.find().program
    )
    yield context
    context.close()


def test_without_storage_the_page_runs_and_says_so(without_storage: Any, served: str, sounds: Path) -> None:
    tab = visit(without_storage)
    tab.open(served)
    refused = tab.tab.evaluate("() => { try { return localStorage && '' } catch (error) { return error.name } }")
    assert refused == "SecurityError"
    assert "Version 1" in tab.text("#status")
    assert "This browser keeps nothing of it" in tab.text("#status")
    assert tab.decide(sounds / "a.wav") == "positive"
    assert tab.errors == []


def test_without_https_the_page_says_where_it_runs(chromium: Any, published: Published) -> None:
    tab = visit(chromium.new_context())
    tab.tab.route(
        "http://page.example/**",
        lambda route: route.fulfill(path=str(published.folder / (route.request.url.split("/", 3)[3] or "index.html"))),
    )
    tab.tab.goto("http://page.example/")
    tab.tab.wait_for_selector("#message:not(:empty)")
    assert "begin with https://" in tab.text("#message")


def test_a_release_whose_last_day_is_past_is_refused_also_from_the_copy(
    visitor: Visit, served: str, published: Published
) -> None:
    path = published.folder / "current/manifest.json"
    content = json.loads(path.read_text())
    files.write_json(path, content | {"not_after": "2020-01-01"})
    visitor.tab.goto(served)
    visitor.tab.wait_for_selector("#message:not(:empty)")
    assert "It was good until 2020-01-01." in visitor.text("#message")
    last = datetime.datetime.now(tz=datetime.UTC).date() + datetime.timedelta(days=1)
    files.write_json(path, content | {"not_after": last.isoformat()})
    visitor.open(served)
    visitor.tab.clock.install(time=datetime.datetime.now() + datetime.timedelta(days=3))
    visitor.tab.goto(served)
    visitor.tab.wait_for_selector("#message:not(:empty)")
    assert f"It was good until {last.isoformat()}." in visitor.text("#message")
    assert visitor.text("#about") == "There is no classifier to run."


def test_two_tabs_keep_the_later_version(
    chromium: Any, served: str, published: Published, releases: list[Path], sounds: Path
) -> None:
    context = chromium.new_context()
    first, second = visit(context), visit(context)
    listed = json.loads((releases[0] / "manifest.json").read_text())["files"]
    needed = {path for path in listed if not path.endswith(".py")} - {"golden/0.wav"}
    loaded: set[str] = set()
    first.tab.on("requestfinished", lambda request: loaded.add(request.url.partition("/current/")[2]))
    held: list[Any] = []
    first.tab.route("**/current/golden/0.wav", lambda route: held.append(route))  # the first tab is slow
    first.tab.goto(served)
    while not held or not needed <= loaded:
        first.tab.wait_for_timeout(20)
    published.put(releases[1])
    second.open(served)
    assert "Version 2" in second.text("#status")
    published.put(releases[0])
    held[0].continue_()
    first.tab.wait_for_selector(READY, timeout=30_000)
    status = first.text("#status")
    assert "Version 2" in status
    assert line_with(status, "version 1,", "version 2")
    for tab in (first, second):
        assert tab.decide(sounds / "a.wav") == "positive"
        assert tab.errors == []
    context.close()


def test_an_open_page_goes_on_when_its_publisher_updates_it(
    chromium: Any, served: str, published: Published, tmp_path: Path
) -> None:
    if shutil.which("node") is None or not (ROOT / "stages/push/web/node_modules").is_dir():
        pytest.skip("no Node.js here; run `npm ci` in stages/push/web")
    context = chromium.new_context(permissions=["microphone"])
    old, new = visit(context), visit(context)
    ready = "navigator.serviceWorker.ready.then(() => true)"
    old.open(served)
    old.tab.evaluate(ready)
    old.tab.reload()
    old.tab.wait_for_selector(READY, timeout=30_000)
    edited = build(tmp_path / "edited", ("src/recorder.ts", "const BLOCK = 2048", "const BLOCK = 1024"))
    for path in published.folder.glob("recorder-*.js"):
        path.unlink()
    index = (published.folder / "index.html").read_text()
    site = index.partition('id="site">')[2].partition("</script>")[0]
    shutil.copytree(edited, published.folder, dirs_exist_ok=True)
    made = (edited / "index.html").read_text()
    (published.folder / "index.html").write_text(made.replace("__CSP__", page.policy()).replace("__SITE__", site))
    new.open(served)
    changed = """new Promise((resolve) => {
        const look = async () => ((await caches.keys()).filter((n) => n.startsWith('edac-page')).length > 1
            ? resolve(true) : setTimeout(look, 50));
        look();
    })"""
    assert new.tab.evaluate(changed)
    old.tab.click("#record")  # asks for the recorder of the page that it is
    old.tab.wait_for_selector("#record-text:text-matches('Stop .[1-9] s')", timeout=20_000)
    old.tab.click("#record")
    old.tab.wait_for_selector("#result[aria-busy=false]", timeout=20_000)
    assert old.text("#message") == ""
    for tab in (old, new):
        assert tab.errors == []
    context.close()


def test_webassembly_of_another_content_is_not_run(visitor: Visit, served: str, published: Published) -> None:
    for path in (published.folder / "litert").glob("*.wasm"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    visitor.tab.goto(served)
    visitor.tab.wait_for_selector("#message:not(:empty)", timeout=60_000)
    assert visitor.text("#about") == "There is no classifier to run."
