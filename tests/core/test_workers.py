import os
import signal
import subprocess
import sys
import time

import pytest

from stages.core.workers import spawned

POOL_THAT_WAITS = """
import time
from stages.core.workers import spawned
if __name__ == "__main__":
    with spawned(2, int) as pool:
        waiting = [pool.submit(time.sleep, 60) for _ in range(2)]
        print(*pool._processes, flush=True)
        time.sleep(60)
"""


def test_setup_runs_first_and_errors_come_back() -> None:
    with spawned(1, sys.setrecursionlimit, 4321) as pool:
        assert pool.submit(sys.getrecursionlimit).result() == 4321
        with pytest.raises(ZeroDivisionError):
            pool.submit(divmod, 1, 0).result()


def test_workers_end_with_a_killed_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", POOL_THAT_WAITS], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2
    time.sleep(2)  # until they listen
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while any(map(_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(_alive, workers))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
