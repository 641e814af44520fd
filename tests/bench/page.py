"""The page in pictures: recording, listening and explaining, on a phone and a desk; accessibility and CSP reports.

    python -m tests.bench.page FOLDER [RELEASE_OR_SELECTED [SOUND.wav]]

Writes a PNG for each state, width and colour scheme into FOLDER and prints a JSON line for each: violations of
axe-core, what the content security policy refused, whether the page is wider than its window. Without a release it
shows the tests' detector of loudness. The microphone is fed from the sound.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.core.project.provenance import ROOT
from stages.push import browser, page
from stages.push.page_server import Served, serving
from tests.push import pages

AXE = ROOT / "stages/push/web/node_modules/axe-core/axe.min.js"
VIEWS: list[tuple[str, Any]] = [
    (name, {"viewport": {"width": width, "height": height}, "color_scheme": scheme})
    for name, width, height, scheme in (
        ("phone", 390, 844, "light"),
        ("phone_dark", 390, 844, "dark"),
        ("desk", 1400, 900, "light"),
        ("desk_dark", 1400, 900, "dark"),
    )
]
POLICY = "Content Security Policy"
STATES = ("recording", "listening", "explaining")


def shown(folder: Path, release: Path, sound: Path) -> Iterator[dict[str, Any]]:
    """Yield the report of each state in each view; writes its picture."""
    from playwright.sync_api import sync_playwright

    fake = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    fake.append(f"--use-file-for-fake-audio-capture={sound}")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as driver:
        site = Path(temporary)
        page.write(site, None)
        started = driver.chromium.launch(executable_path=browser.find().program, args=fake)
        with serving(Served(site, release)) as address:
            for name, options in VIEWS:
                context: Any = started.new_context(permissions=["microphone"], **options)
                tab = context.new_page()
                refused: list[str] = []
                tab.on("console", lambda said, to=refused: to.append(said.text) if POLICY in said.text else None)
                tab.goto(address)
                tab.wait_for_selector("html[data-ready]", timeout=60_000)
                for state in STATES:
                    _bring(tab, state)
                    tab.screenshot(path=folder / f"{state}_{name}.png", full_page=True)
                    wide = tab.evaluate("document.documentElement.scrollWidth > innerWidth")
                    yield {"state": state, "view": name, "refused": list(refused), "too_wide": wide, **_axe(tab)}
                    _end(tab, state)
                context.close()
        started.close()


def _bring(tab: Any, state: str) -> None:
    if state == "recording":
        tab.click("#record")
        tab.wait_for_selector("#record-text:text-matches('Stop .[3-9] s')", timeout=30_000)
    elif state == "listening":
        tab.click("#live")
        tab.wait_for_selector("#live-scores li", timeout=30_000)
        tab.wait_for_timeout(3000)
    else:
        tab.click("#explain")
        tab.wait_for_selector("#explanation li", timeout=120_000)


def _end(tab: Any, state: str) -> None:
    if state == "recording":
        tab.click("#record")
        tab.wait_for_selector("#result[aria-busy=false]", timeout=60_000)
    elif state == "listening":
        tab.click("#live")
        tab.wait_for_selector("#live[aria-pressed=false]")


def _axe(tab: Any) -> dict[str, Any]:
    """Return the rules that axe-core finds broken and how many it finds kept; empty where it is not installed."""
    if not AXE.is_file():
        return {}
    session = tab.context.new_cdp_session(tab)  # what the debugger evaluates is not subject to the page's policy
    session.send("Runtime.evaluate", {"expression": AXE.read_text()})
    script = "axe.run().then((all) => ({violations: all.violations.map((each) => each.id), passes: all.passes.length}))"
    return dict(tab.evaluate(script))


def main(folder: Path, release: Path | None = None, sound: Path | None = None) -> None:
    """Write the pictures and print the reports."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        release = pages.release_of(release, Path(temporary))
        golden = sorted((release / "golden").iterdir())
        for report in shown(folder, release, sound or golden[-1]):
            print(json.dumps(report), flush=True)


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
