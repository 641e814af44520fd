"""Visitors of the page: Chromium, its microphone fed from a file; and folders that a web server publishes."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stages.core.project.errors import DataError, DeviceError
from stages.push import browser, page

sys.path.insert(0, str(Path(__file__).parent))
import pages  # type: ignore[import-not-found]

READY = "html[data-ready]"
LOUD = (1.0, 2.0)  # seconds in which the microphone hears the tone


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


def visit(context: Any) -> Visit:
    """Open a tab and note what it complains about."""
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


def make_sounds(folder: Path) -> Path:
    """Write a tone from 1 s to 2 s between near silence, as the microphone hears it, and in six formats."""
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


def start_chromium(sounds: Path) -> Iterator[Any]:
    """Yield Chromium, whose microphone hears `microphone.wav`; skip where it is not there."""
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


@dataclass
class Published:
    """A folder as a web server publishes it; the release may be replaced."""

    folder: Path

    def put(self, release: Path) -> None:
        shutil.rmtree(self.folder / "current", ignore_errors=True)
        shutil.copytree(release, self.folder / "current")
