import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from flows.execution.failures import ProcessError
from flows.execution.processes import children
from flows.sweep.store import Store

ROOT = Path(__file__).parents[2]


def test_a_commit_is_all_or_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fail_half_way() -> None:
        with store.commit("finetuned", "k") as folder:
            (folder / "half").write_text("x")
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    assert not store.has("finetuned", "k")
    assert list((tmp_path / "finetuned").iterdir()) == []
    with store.commit("finetuned", "k") as folder:
        (folder / "file").write_text("first")
        assert not store.has("finetuned", "k")
    assert (store.folder("finetuned", "k") / "file").read_text() == "first"


def test_of_two_that_finish_the_same_work_the_first_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for content in ("first", "second"):
        with store.commit("variants", "k") as folder:
            (folder / "file").write_text(content)
    assert (store.folder("variants", "k") / "file").read_text() == "first"
    assert [p.name for p in (tmp_path / "variants").iterdir()] == ["k"]


def test_the_lock_sweeps_up_and_makes_the_second_wait(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path)
    orphan = tmp_path / "variants" / ".tmp-left"
    orphan.mkdir(parents=True)
    entered = threading.Event()

    def second() -> None:
        with store.lock():
            entered.set()

    with store.lock():
        assert not orphan.exists()
        thread = threading.Thread(target=second)
        thread.start()
        while "waiting for it to end" not in (told := capfd.readouterr().err):
            time.sleep(0.01)
        assert "another sweep works in" in told
        assert not entered.is_set()
    thread.join(10)
    assert entered.is_set()


def test_a_child_that_fails_is_told_by_its_last_line(tmp_path: Path) -> None:
    script = written(tmp_path, "import sys; print('noise'); sys.exit('error: it was so.')")
    with children() as processes, pytest.raises(ProcessError, match=r"^it was so$"):
        processes.run(script, log=tmp_path / "log", timeout_s=30)
    assert (tmp_path / "log").read_text() == "noise\nerror: it was so.\n"


def test_stop_kills_what_runs_and_lets_nothing_start(tmp_path: Path) -> None:
    reasons: list[str] = []
    script = written(tmp_path, "import time; print('up'); time.sleep(60)")

    def work() -> None:
        with pytest.raises(ProcessError) as raised:
            processes.run(script, log=tmp_path / "a", timeout_s=60)
        reasons.append(str(raised.value))

    with children() as processes:
        thread = threading.Thread(target=work)
        thread.start()
        while not ((tmp_path / "a").is_file() and (tmp_path / "a").read_text()):
            time.sleep(0.01)
    thread.join(10)
    assert reasons == ["was killed by SIGKILL; if memory ran out, lower sweep.workers"]
    with pytest.raises(ProcessError, match="was not started"):
        processes.run(script, log=tmp_path / "b", timeout_s=1)


def written(folder: Path, script: str) -> list[str]:
    """Return the arguments with which Python runs a script."""
    path = folder / "script.py"
    path.write_text(script)
    return [str(path)]


CHILD = """
from flows.execution.processes import die_with_parent
import os, subprocess, time
die_with_parent()
print(os.getpid(), subprocess.Popen(["sleep", "60"]).pid, flush=True)
time.sleep(60)
"""
PARENT = """
import sys
from pathlib import Path
from flows.execution.processes import children
with children() as processes:
    processes.run(sys.argv[2:], log=Path(sys.argv[1]), timeout_s=60)
"""


def test_kill_9_of_the_parent_ends_the_child_and_the_childs_children(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", PARENT, str(log), *written(tmp_path, CHILD)]
    with subprocess.Popen(command, cwd=ROOT) as parent:
        deadline = time.monotonic() + 60
        while not (log.is_file() and log.read_text().endswith("\n")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        parent.kill()
    pids = [int(pid) for pid in log.read_text().split()]
    assert len(pids) == 2
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.is_file() and status.read_text().rpartition(")")[2].split()[0] == "Z")
