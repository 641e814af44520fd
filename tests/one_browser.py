"""One headless Chromium for many releases: the page that visitors get scores clips with each."""

import contextlib
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.litert import single
from stages.core.project import files
from stages.core.project.errors import DeviceError
from stages.push import browser, bundle, page
from stages.push.page_server import Question, Served, serving
from stages.runtime import manifest
from stages.runtime.litert import Model

LONGEST_S = 120


@dataclass(frozen=True)
class OneBrowser:
    """A started Chromium and the page's files."""

    started: Any
    folder: Path
    sample_rate: int

    def scores(self, frontend: bytes, model: bytes, clips: np.ndarray, *, as_one: bool) -> np.ndarray:
        """Scores of clips, through front end and model or through both as one file; raises `DeviceError` if refused."""
        with tempfile.TemporaryDirectory(dir=self.folder) as temporary:
            place = release(Path(temporary) / "release", frontend, model, self.sample_rate, as_one=as_one)
            asked = Question(secrets.token_hex(16), {"do": "scores", "threads": 1}, clips.tobytes())
            with serving(Served(self.folder / "site", place, asked)) as address:
                tab = self.started.new_page()
                tab.goto(f"{address}#ask={asked.token}")
                for _ in range(LONGEST_S * 50):
                    if asked.answered.is_set():
                        break
                    tab.wait_for_timeout(20)
                tab.close()
        if not asked.answer or not asked.answer["ok"]:
            raise DeviceError((asked.answer or {"error": f"no answer within {LONGEST_S} s"})["error"])
        return np.asarray(asked.answer["scores"])


@contextlib.contextmanager
def one_browser(sample_rate: int) -> Iterator[OneBrowser]:
    """Start Chromium; raises `DataError` or `DeviceError` where the page or the browser is missing."""
    from playwright.sync_api import sync_playwright

    program = browser.find().program
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as driver:
        page.write(Path(temporary) / "site", None)
        started = driver.chromium.launch(executable_path=program)
        yield OneBrowser(started, Path(temporary), sample_rate)
        started.close()


def release(folder: Path, frontend: bytes, model: bytes, sample_rate: int, *, as_one: bool) -> Path:
    """Write a release that is just enough for questions about scores and latencies."""
    folder.mkdir()
    n_outputs = Model(model).output_shape[0]
    (folder / manifest.FRONTEND).write_bytes(frontend)
    (folder / manifest.MODEL).write_bytes(model)
    if as_one:
        (folder / bundle.SINGLE).write_bytes(single.merge(frontend, model))
    (folder / "MODEL_CARD.md").write_text("# Benchmark\n")
    listed = {path.name: files.sha256(path) for path in folder.iterdir()}
    content = {
        "schema": manifest.SCHEMA,
        "name": "benchmark",
        "version": 1,
        "device_class": "any",
        "card": "MODEL_CARD.md",
        "labels": [str(i) for i in range(max(n_outputs, 2))],
        "threshold": 0.5 if n_outputs == 1 else None,
        "sample_rate": sample_rate,
        "clip_samples": Model(frontend).input_shape[0],
        "files": listed,
        "golden": [{"file": "MODEL_CARD.md", "scores": [0.0] * n_outputs}],
        "tolerance": 0.01,
        "model": {},
    }
    files.write_json(folder / manifest.NAME, content)
    return folder
