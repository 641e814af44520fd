"""A stage ends with the DVC that started it: after `kill -9` of dvc alone, no orphan goes on working."""

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
    above = _above()
    if above is not None:
        signal.signal(signal.SIGUSR1, signal.default_int_handler)  # SIGINT is ignored in what `nohup ... &` started
        threading.Thread(target=_watch, args=(above,), daemon=True, name="end_with_dvc").start()


def _above() -> "psutil.Process | None":
    for process in psutil.Process().parents():
        try:
            if process.name() not in _SHELLS:
                return process
        except psutil.NoSuchProcess:
            return None
    return None


def _watch(above: "psutil.Process") -> None:
    while above.is_running() and above.status() != "zombie":
        time.sleep(_LOOK_S)
    os.kill(os.getpid(), signal.SIGUSR1)  # the way of Ctrl-C: what is being written is cleaned up
    time.sleep(_GRACE_S)
    os._exit(130)
