"""A release whose rule measures the front end's output: the page refuses it in a sentence, before anything is written."""

import json
import sys
from pathlib import Path

import pytest

from flows.cli import main
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


def test_edac_try_refuses_it(release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        page.built()
    except DataError as error:
        pytest.skip(str(error))
    assert main(["try", str(release), "--no-browser"]) == 1
    assert 'The page runs no release that says "unknown" by frontend_distance' in capsys.readouterr().err
