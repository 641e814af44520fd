"""A stage ends with the DVC that started it, and two processes never make the same folder."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.core.project import files
from stages.core.project.errors import DataError

ROOT = Path(__file__).parents[3]
STAGE = """
import sys, time
from pathlib import Path
from stages.core.project import errors, files

def main():
    with files.growing_folder(Path("out"), "key") as work:
        Path("started").write_text(str(__import__("os").getpid()))
        time.sleep(60)

errors.run(main)
"""
DVC = """
import subprocess, sys
subprocess.run(["/bin/sh", "-c", f"{sys.executable} stage.py; true"])
"""


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not (path.is_file() and path.read_text()):
        assert time.monotonic() < until, f"{path} does not appear"
        time.sleep(0.05)


def ended(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def start(folder: Path, *, by_dvc: bool) -> subprocess.Popen[bytes]:
    (folder / "stage.py").write_text(STAGE)
    (folder / "dvc.py").write_text(DVC)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} | ({"DVC_STAGE": "pull"} if by_dvc else {})
    process = subprocess.Popen([sys.executable, "dvc.py"], cwd=folder, env=environment, stderr=subprocess.DEVNULL)
    wait_for(folder / "started")
    return process


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at /proc")
def test_a_stage_ends_when_dvc_is_killed_although_a_shell_is_between(tmp_path: Path) -> None:
    dvc = start(tmp_path, by_dvc=True)
    pid = int((tmp_path / "started").read_text())
    dvc.kill()
    dvc.wait()
    until = time.monotonic() + 30
    while not ended(pid):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / ".out.lock").exists()  # it ended as by Ctrl-C
    with files.growing_folder(tmp_path / "out", "key"):  # and the next run goes on
        pass


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at /proc")
def test_a_stage_whose_dvc_was_killed_before_the_stage_began_ends_too(tmp_path: Path) -> None:
    (tmp_path / "stage.py").write_text(STAGE)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_STAGE": "pull"}
    command = f"(sleep 0.2; exec {sys.executable} stage.py 2> said) &"
    subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, env=environment, check=True)
    wait_for(tmp_path / "said")
    assert (tmp_path / "said").read_text() == "interrupted; run the same command again to go on where it stopped\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at /proc")
def test_a_stage_that_a_person_started_lives_on_and_its_folder_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = start(tmp_path, by_dvc=False)
    pid = int((tmp_path / "started").read_text())
    shell.kill()
    shell.wait()
    monkeypatch.setattr(files, "LOCK_S", 1.0)
    try:
        with (
            pytest.raises(DataError, match=r"out is .*another process"),
            files.growing_folder(tmp_path / "out", "key"),
        ):
            pass
        assert not ended(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
    monkeypatch.setattr(files, "LOCK_S", 30.0)
    with files.growing_folder(tmp_path / "out", "key"):  # a killed process holds no lock
        pass
    assert (tmp_path / "out").is_dir()
