"""A stage ends with the DVC that started it: after `kill -9` of dvc alone, no orphan goes on working."""

import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from stages.core.project import lazy

if TYPE_CHECKING:
    import psutil
else:
    psutil = lazy.module("psutil")  # only a stage that DVC started needs it; `edac --help` stays instant

_LOOK_S = 0.5
_GRACE_S = 10.0
_SHELLS = {"sh", "bash", "dash", "zsh", "fish", "ksh"}


def end_with_dvc() -> None:
    """If DVC runs this process, end it as Ctrl-C does as soon as that DVC is gone, and after some seconds by force.

    DVC names its stage in the environment (`DVC_STAGE`) and starts commands through a shell, which may outlive it; so
    the process that is watched is the first above that is no shell. A process started by a person is left alone.
    """
    if "DVC_STAGE" not in os.environ or threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGUSR1, signal.default_int_handler)  # SIGINT is ignored in what `nohup ... &` started
    threading.Thread(target=_watch, args=(_above(),), daemon=True, name="end_with_dvc").start()


def _above() -> "psutil.Process | None":
    """Return the DVC that started this process, None if it was killed while this process began."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process().parents():
            name = process.name()
            if name not in _SHELLS:
                takes_orphans = name == "systemd" or (process.pid == 1 and not name.startswith(("python", "dvc")))
                return None if takes_orphans else process
    return None


def _watch(above: "psutil.Process | None") -> None:
    while _lives(above):
        time.sleep(_LOOK_S)
    os.kill(os.getpid(), signal.SIGUSR1)  # the way of Ctrl-C: what is being written is cleaned up
    time.sleep(_GRACE_S)
    os._exit(130)


def _lives(process: "psutil.Process | None") -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process is not None and process.is_running() and process.status() != "zombie"
    return False
