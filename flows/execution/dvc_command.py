"""DVC as a child process, which ends with this process and waits while another DVC command uses the folder."""

import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flows.execution.failures import ProcessError
from flows.execution.processes import children

_BUSY = re.compile(r"Unable to acquire lock|is busy, it is being blocked by")
_CAUSES = (re.compile(r"^error: (.*)", re.MULTILINE), re.compile(r"^ERROR: (.*)", re.MULTILINE))  # of a stage, of DVC
_RETRY_S = 15.0  # between attempts while DVC is busy


def dvc(
    *arguments: str,
    log: Path,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], object] = lambda _: None,
) -> None:
    """Run a DVC command.

    Parameters
    ----------
    *arguments : str
        Words after `dvc`.
    log : Path
        File that takes the output.
    folder : Path or None
        Working folder, whose code runs; None takes this process's.
    environment : Mapping or None
        Additions to this process's environment.
    on_line : Callable
        Called with each line of the output as soon as it is printed.

    Raises
    ------
    ProcessError
        If the command fails; the message is the stage's own error if a stage failed.
    """
    while True:
        try:
            return _run(("-m", "dvc", "--wait-for-lock", *arguments), log.absolute(), folder, environment, on_line)
        except ProcessError as error:
            said = log.read_text(errors="replace")
            if not _BUSY.search(said):
                causes = (cause for pattern in _CAUSES for cause in pattern.findall(said))
                raise ProcessError(f"`dvc {' '.join(arguments)}` failed: {next(causes, error)}") from None
        on_line("another DVC command works in this folder; waiting for it to end")
        time.sleep(_RETRY_S)


def _run(
    arguments: tuple[str, ...],
    log: Path,
    folder: Path | None,
    environment: Mapping[str, str] | None,
    on_line: Callable[[str], object],
) -> None:
    """Run Python and pass on its output line by line, without progress bars."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where the stages' `python` is found
    with (
        ThreadPoolExecutor(1) as pool,
        children(folder=folder, environment={"PATH": path, **(environment or {})}) as processes,
        log.open(newline="\n", errors="replace") as output,
    ):
        ended, rest = pool.submit(processes.run, arguments, log=log, timeout_s=None), ""
        while True:
            last = ended.done()
            *lines, rest = (rest + output.read()).split("\n")
            for line in filter(str.strip, lines):
                on_line(line.rstrip("\r").rpartition("\r")[2])
            if last:
                return ended.result()
            time.sleep(0.5)
