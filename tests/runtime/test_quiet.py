"""Native chatter is discarded, and what comes before and after is not."""

import subprocess
import sys

PROGRAM = """
import os, threading
from stages.runtime.quiet import quiet
os.write(2, b"before ")
def noisy():
    for _ in range(50):
        with quiet():
            os.write(2, b"chatter ")
threads = [threading.Thread(target=noisy) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
try:
    with quiet():
        with quiet():
            os.write(2, b"chatter ")
        raise ValueError
except ValueError:
    os.write(2, b"after")
"""


def test_only_what_is_written_meanwhile_is_lost_whatever_the_threads() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "before after"


def test_without_a_stderr() -> None:
    program = "import os; os.close(2)\nfrom stages.runtime.quiet import quiet\nwith quiet(): print('done')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "done\n"
