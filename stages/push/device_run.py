"""Run a program on a device, within bounds of time and output. Runs on the device: standard library only."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

LONGEST_OUTPUT = 2**23  # bytes of stdout
LONGEST_COMPLAINT = 2**16  # bytes of stderr that are kept, the last ones


class Refusal(Exception):  # noqa: N818  it is an answer
    """A request that the device cannot fulfil: the rest of a sentence that begins with the device.

    Parameters
    ----------
    sentence : str
    full : bool
        Whether it failed for lack of space.
    """

    def __init__(self, sentence: str, *, full: bool = False) -> None:
        super().__init__(sentence)
        self.full = full


def run(
    root: Path,
    folder: str,
    arguments: Sequence[str],
    pythons: Sequence[str],
    timeout_s: float,
    tether: int | None = None,
) -> tuple[int, str, str]:
    """Run Python in a folder, in a bare environment.

    Parameters
    ----------
    root : Path
        The device's folder.
    folder : str
        Relative to it.
    arguments : Sequence[str]
    pythons : Sequence[str]
        Interpreters; the first that exists. One with a slash in it is relative to the device's folder.
    timeout_s : float
        After this the process, and all it started, is killed.
    tether : int or None
        A file descriptor; when it is at its end, they are killed as well, and so is this process.

    Returns
    -------
    (exit code, stdout, stderr)
        The exit code is negative if a signal ended it.

    Raises
    ------
    Refusal
        If it cannot be started, takes too long or writes more than `LONGEST_OUTPUT`.
    """
    place = root / folder
    if not place.is_dir():
        raise Refusal(f"has no {place}. Push a release to it first.")
    found = [str(root / python) if "/" in python else python for python in pythons]
    python = next(filter(shutil.which, found), found[-1])
    try:
        child = subprocess.Popen(
            [python, "-B", *arguments],
            cwd=place,
            env={"PATH": os.defpath},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        advice = "Run `edac devices setup`, or name its `python`."
        raise Refusal(f"cannot run {error.filename or python} ({error.strerror}). {advice}") from None
    with child:
        try:
            deadline = time.monotonic() + timeout_s
            stdout, stderr = _collect(child, deadline, timeout_s, tether)
            child.wait(max(0.1, deadline - time.monotonic()))  # it may have closed both and go on
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            raise Refusal(f"gave no answer within {timeout_s:g} s.") from None
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
    return child.returncode, stdout, stderr


def _collect(child: subprocess.Popen[bytes], deadline: float, timeout_s: float, tether: int | None) -> tuple[str, str]:
    written = {stream.fileno(): bytearray() for stream in (child.stdout, child.stderr) if stream}
    waiting = [*written] + ([] if tether is None else [tether])
    while set(waiting) & set(written):
        ready, _, _ = select.select(waiting, [], [], max(0.0, deadline - time.monotonic()))
        if time.monotonic() >= deadline or not ready:
            raise Refusal(f"gave no answer within {timeout_s:g} s.")
        for stream in ready:
            piece = os.read(stream, 2**16)
            if stream in written:
                written[stream] += piece
                if child.stderr and stream == child.stderr.fileno():
                    del written[stream][:-LONGEST_COMPLAINT]
                elif len(written[stream]) > LONGEST_OUTPUT:
                    raise Refusal(f"wrote more than {LONGEST_OUTPUT >> 20} MiB as its answer, and was stopped.")
            if not piece:
                if stream == tether:
                    sys.exit("the connection ended")
                waiting.remove(stream)
    stdout, stderr = (bytes(text).decode(errors="replace") for text in written.values())
    return stdout, stderr
