"""docs/own_recordings.md, command by command: what it shows is what comes out."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from flows.cli.main import parser
from stages.core.project import provenance
from tests.trees import encode

pytestmark = pytest.mark.thorough

PAGE = (provenance.ROOT / "docs/own_recordings.md").read_text()
RATE = 16000
PEOPLE = ("anna", "ben", "carla", "david", "emma", "felix", "greta", "hugo", "ida", "jan")


def sessions() -> list[tuple[str, list[str]]]:
    """Return the `edac` commands of the page's console blocks, each with the lines that it is said to print."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line.strip() not in ("", "..."):
                found[-1][1].append(line)
    return [(command, lines) for command, lines in found if command.startswith("edac ")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("home")
    for i, word in enumerate(("down", "up", "yes")):
        for k, person in enumerate(PEOPLE):
            for take in range(1, 5):
                t = np.arange(round((0.5 + 0.04 * k) * RATE)) / RATE
                noise = np.random.default_rng(100 * i + 10 * k + take).normal(size=len(t))
                sound = 0.3 * np.sin(2 * np.pi * 300 * 2**i * t) + 0.03 * noise
                encode(root / "words" / f"{word}_{person}_{take}.wav", sound.astype(np.float32), RATE)
    return root


def test_every_command_prints_what_the_page_shows(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(home))
    assert [command.split()[1] for command, _ in sessions()][:2] == ["start", "check"]
    for command, lines in sessions():
        given = parser().parse_args(shlex.split(command)[1:])
        given.run(given)
        printed = capsys.readouterr().out.replace(str(home), "/home/me").splitlines()
        for line in lines:
            assert line in printed, f"{command} does not print {line!r}, but:\n" + "\n".join(printed)
