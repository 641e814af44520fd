"""Real DVC projects of one stage: what is told, what a failure says, and that a kill leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.execution.dvc_command import dvc
from flows.execution.failures import ProcessError

ROOT = Path(__file__).parents[2]
CONFIG = "[core]\n    no_scm = True\n    analytics = false\n"


def project(folder: Path, command: str) -> Path:
    for name, text in {".dvc/config": CONFIG, "dvc.yaml": f"stages:\n  only:\n    cmd: {command}\n"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_every_line_is_told_and_logged_and_the_environment_reaches_the_stage(tmp_path: Path) -> None:
    log, told = tmp_path / "logs/dvc.log", list[str]()
    log.parent.mkdir()
    log.write_text("an earlier command's words\n" * 1000)
    folder = project(tmp_path / "project", "echo $GREETING && pwd")
    dvc("repro", log=log, folder=folder, environment={"GREETING": "hello"}, on_line=told.append)
    assert "hello" in told
    assert str(folder) in told
    assert "an earlier command's words" not in told
    assert told == [line.rpartition("\r")[2] for line in log.read_text().splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("'echo error: the rule is broken. >&2; exit 1'", "`dvc repro` failed: the rule is broken"),
        ("'exit 3'", r"`dvc repro` failed: .*'only': .*exited with 3"),
    ],
)
def test_a_failure_says_the_stages_words_before_dvcs(tmp_path: Path, command: str, said: str) -> None:
    with pytest.raises(ProcessError, match=said):
        dvc("repro", log=tmp_path / "dvc.log", folder=project(tmp_path / "project", command))


def test_kill_9_ends_dvc_and_its_stage(tmp_path: Path) -> None:
    folder = project(tmp_path / "project", "echo $$ > pid && exec sleep 600")
    call = (
        "from pathlib import Path; from flows.execution.dvc_command import dvc; "
        "dvc('repro', log=Path('log'), folder=Path('.'))"
    )
    process = subprocess.Popen([sys.executable, "-c", call], cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 60
    while not (folder / "pid").is_file() or not (folder / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    stage = int((folder / "pid").read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    while _lives(stage):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
