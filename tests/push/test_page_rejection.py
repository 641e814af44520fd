"""The page refuses a release whose rule measures the front end's output, before anything is written."""

import argparse
import json
import sys
from pathlib import Path

import pytest

from flows.cli.actions.try_page import try_page
from stages.core.project import files
from stages.core.project.errors import DataError, DeviceError
from stages.push import page, rollout
from stages.push.transports import web

sys.path.insert(0, str(Path(__file__).parent))
import pages  # type: ignore[import-not-found]

RULE = {
    "measure": "frontend_distance",
    "limit": -2.0,
    "kept": 0.9,
    "by": "clip",
    "frontend": {"means": [0.0, 0.0], "scales": [1.0, 1.0]},
}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    found: Path = pages.release(tmp_path / "made")
    path = found / "manifest.json"
    files.write_json(path, json.loads(path.read_text()) | {"reject": RULE})
    return found


def test_a_push_to_a_page_is_refused_before_anything_is_written(tmp_path: Path, release: Path) -> None:
    public = web.connect(web.Config(tmp_path / "public"), "page")
    sentence = r"^Device page, a page, runs no release that says \"unknown\" by frontend_distance.*such as auto"
    with pytest.raises(DeviceError, match=sentence):
        rollout.deliver(public, release, keep=2)
    left = [p for p in (tmp_path / "public").rglob("*") if p.suffix in (".tflite", ".html") or p.name == "current"]
    assert left == []


def test_edac_try_refuses_it(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "built", lambda: release)
    given = argparse.Namespace(folder=release, device=None, alias=None, port=0, no_browser=True)
    with pytest.raises(DataError, match=r'^The page runs no release that says "unknown" by frontend_distance'):
        try_page(given)
