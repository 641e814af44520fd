import subprocess
import sys

import pytest

from stages.core.project.workers import spawned

POOL_THAT_WAITS = """
import time
from stages.core.project.workers import spawned
if __name__ == "__main__":
    with spawned(2, int) as pool:
        print(*[pool.submit(pow, 2, i).result() for i in range(2)], flush=True)
        [pool.submit(time.sleep, 60) for _ in range(2)]
        time.sleep(60)
"""


def test_setup_runs_first_and_errors_come_back() -> None:
    with spawned(1, sys.setrecursionlimit, 4321) as pool:
        assert pool.submit(sys.getrecursionlimit).result() == 4321
        with pytest.raises(ZeroDivisionError):
            pool.submit(divmod, 1, 0).result()


def test_workers_end_with_a_killed_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", POOL_THAT_WAITS], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "1 2\n"
        parent.kill()
        rest, _ = parent.communicate(timeout=30)  # every worker holds the pipe: it ends when the last of them does
    assert rest == ""
