"""The page with recordings just under its hour: seconds to the answer, memory, and how long the page stands still.

    python -m tests.bench.page_hour [RELEASE_OR_SELECTED]   # without one, the tests' detector of loudness

Prints a JSON line for each format. Memory is the proportional set size of all Chromium's processes, sampled every
0.2 s; the page's longest standstill is the longest task that Chromium reports of its thread.
"""

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from stages.push import browser, page
from stages.push.page_server import Served, serving
from tests.push import pages  # type: ignore[import-not-found]

MINUTES = 59
FORMATS = {
    "WAV, 16 kHz, one channel": (16000, 1, "wav"),
    "WAV, 48 kHz, one channel": (48000, 1, "wav"),
    "FLAC, 48 kHz, two channels": (48000, 2, "flac"),
}


def write(path: Path, rate: int, n_channels: int) -> None:
    """Write quiet noise with a tone of a second each minute."""
    rng = np.random.default_rng(3)
    minute = rng.normal(0, 0.003, (60 * rate, n_channels))
    minute[10 * rate : 11 * rate] += 0.4 * np.sin(2 * np.pi * 700 * np.arange(rate) / rate)[:, None]
    with soundfile.SoundFile(path, "w", rate, n_channels, "PCM_16") as stream:
        for _ in range(MINUTES):
            stream.write(minute)


class Memory(threading.Thread):
    """Samples the proportional set size of a process and all below it, in MiB."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root, self.most, self.over = root, 0.0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.2):
            self.most = max(self.most, self.now())

    def now(self) -> float:
        """MiB at this moment."""
        parents = {}
        for place in Path("/proc").iterdir():
            try:
                parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            except (ValueError, OSError):
                continue
        found, grown = {self.root}, True
        while grown:
            more = {child for child, parent in parents.items() if parent in found}
            grown, found = not more <= found, found | more
        return sum(map(self._pss, found - {self.root}))

    @staticmethod
    def _pss(process: int) -> float:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            return 0.0
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def measured(release: Path, sound: Path) -> dict[str, Any]:
    """Give the page a file and return what it took."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as driver:
        page.write(Path(temporary), None)
        started = driver.chromium.launch(executable_path=browser.find().program)
        with serving(Served(Path(temporary), release)) as address:
            tab = started.new_page()
            tab.goto(address)
            tab.wait_for_selector("html[data-ready]", timeout=60_000)
            tab.evaluate("""() => {
                window.longest = 0;
                const note = (all) => all.getEntries().forEach((each) => (longest = Math.max(longest, each.duration)));
                new PerformanceObserver(note).observe({ type: "longtask" });
            }""")
            memory = Memory(os.getpid())
            before = memory.now()
            memory.start()
            begin = time.perf_counter()
            tab.set_input_files("#file", str(sound))
            tab.wait_for_selector("#result[aria-busy=false], #message:not(:empty)", timeout=550_000)
            taken = time.perf_counter() - begin
            memory.over.set()
            said = tab.inner_text("#decision"), tab.inner_text("#message"), tab.locator("#found li").count()
            standstill = tab.evaluate("longest")
        started.close()
    return {
        "MB": round(sound.stat().st_size / 1e6, 1),
        "seconds": round(taken, 1),
        "MiB before": round(before),
        "MiB at most": round(memory.most),
        "longest standstill, s": round(standstill / 1000, 2),
        "decision": said[0],
        "message": said[1],
        "events": said[2],
    }


def main(release: Path | None = None) -> None:
    """Print a line for each format."""
    with tempfile.TemporaryDirectory() as temporary:
        release = pages.release_of(release, Path(temporary))
        for name, (rate, n_channels, suffix) in FORMATS.items():
            sound = Path(temporary) / f"hour.{suffix}"
            write(sound, rate, n_channels)
            print(json.dumps({"format": name, **measured(release, sound)}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
