"""What a device answers, checked before it is used: any answer of another form is that device's error."""

import contextlib
import json
import math
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from subprocess import CompletedProcess
from typing import Any

from stages.core.project.errors import DeviceError
from stages.runtime.lines import Line

LONGEST_REASON = 300  # characters of a device's own words in a message
_LOG_LINE = re.compile(
    r"(INFO|WARNING|DEBUG|VERBOSE)\b.{0,3}:|[IWEF]\d{4} |\d{4}-\d\d-\d\d[ T]\d\d:|WARNING: All log messages"
)
_OWN_ERROR = re.compile(r"(?:[\w.-]+: )?error: (.+)")
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Warning)\b(: .*)?")


@dataclass(frozen=True)
class Held:
    """One release on a device.

    Attributes
    ----------
    name : str
        Name of its directory in `releases/`.
    number : int
        Place in the order in which releases came; -1 for a directory that was made by hand.
    release : str
        Its id.
    sound : bool
        Whether its manifest and every file that the manifest lists are unaltered.
    ours : bool
        Whether a push made it, so that a push may remove it.
    """

    name: str
    number: int
    release: str
    sound: bool
    ours: bool


@dataclass(frozen=True)
class Current:
    """What stands at `current`.

    Attributes
    ----------
    kind : str
        ``"none"``, ``"link"``, ``"dangling"``, ``"folder"`` or ``"file"``.
    target : str or None
        Where the link points.
    name : str
        Name of the directory in `releases/`, empty if it is in none.
    release : str
        Id of the release, by content; empty if it is none.
    sound : bool
        As for `Held`.
    """

    kind: str
    target: str | None
    name: str
    release: str
    sound: bool


@dataclass(frozen=True)
class State:
    """The releases that a device holds, oldest first, and the one that runs.

    Attributes
    ----------
    releases : tuple[Held, ...]
    current : Current
    next_number : int
        Above that of every release.
    """

    releases: tuple[Held, ...]
    current: Current
    next_number: int

    @property
    def running(self) -> Held | None:
        """The release that `current` leads to, or is a copy of, if it is one of `releases`."""
        named = [held for held in self.releases if held.name == self.current.name]
        alike = [held for held in self.releases if held.sound and held.release == self.current.release]
        return next(iter(named + alike[::-1]), None)


@dataclass(frozen=True)
class Space:
    """Room on a device.

    Attributes
    ----------
    free_bytes : int
    free_inodes : int or None
        None if the file system sets no limit.
    noexec : bool
        Whether its folder lies on a file system from which nothing can be run.
    """

    free_bytes: int
    free_inodes: int | None
    noexec: bool


@contextlib.contextmanager
def understood(device: str) -> Iterator[None]:
    """Turn whatever goes wrong in reading a device's answer into one sentence."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, OverflowError) as error:
        said = short(f"{type(error).__name__}: {error}", 120)
        raise DeviceError(
            f"Device {device} answers in a form that is not understood ({said}). Run `edac devices setup`, then look "
            "at what runs there."
        ) from None


def state(device: str, value: Any) -> State:
    """Check the answer of `device_folder.Folder.state`."""
    with understood(device):
        return State(
            tuple(
                Held(
                    text(one["name"]), whole(one["number"]), text(one["release"]), flag(one["sound"]), flag(one["ours"])
                )
                for one in items(value["releases"])
            ),
            Current(
                **{key: text(value["current"][key]) for key in ("kind", "name", "release")},
                target=optional_text(value["current"]["target"]),
                sound=flag(value["current"]["sound"]),
            ),
            whole(value["next"]),
        )


def space(device: str, value: Any) -> Space:
    """Check the answer of `device_folder.Folder.space`."""
    with understood(device):
        inodes = value["free_inodes"]
        return Space(whole(value["free_bytes"]), None if inodes is None else whole(inodes), flag(value["noexec"]))


def lines(device: str, stdout: str) -> list[Line]:
    """Check that a program answered one JSON object a line, without NaN, and return them.

    Raises
    ------
    DeviceError
        If it did not.
    """
    found = []
    for line in stdout.splitlines():
        try:
            value = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise DeviceError(f"Device {device} answers what is not JSON: {line[:80]!r}.")
        found.append(value)
    return found


def text(value: Any) -> str:
    """Return a text, raising `TypeError` for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"{_shown(value)} is no text")
    return value


def optional_text(value: Any) -> str | None:
    """Return a text or None, raising `TypeError` for anything else."""
    return None if value is None else text(value)


def whole(value: Any) -> int:
    """Return an integer, raising `TypeError` for anything else."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{_shown(value)} is no integer")
    return value


def number(value: Any) -> float:
    """Return a finite number, raising `TypeError` for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError(f"{_shown(value)} is no finite number")
    return float(value)


def flag(value: Any) -> bool:
    """Return a truth value, raising `TypeError` for anything else."""
    if not isinstance(value, bool):
        raise TypeError(f"{_shown(value)} is neither true nor false")
    return value


def items(value: Any) -> list[Any]:
    """Return a list, raising `TypeError` for anything else."""
    if not isinstance(value, list):
        raise TypeError(f"{_shown(value)} is no list")
    return value


def printable(text: str) -> str:
    """Return text in which every control character is a question mark.

    Examples
    --------
    >>> printable("safe" + chr(27) + "[2J")
    'safe?[2J'
    """
    return "".join(c if c.isprintable() else "?" for c in text)


def short(text: str, longest: int = LONGEST_REASON) -> str:
    """Return text fit for a terminal: one line, no control characters, not too long."""
    clean = printable(" ".join(text.split()))
    return clean if len(clean) <= longest else f"{clean[:longest]}..."


def last_words(stderr: str) -> str:
    """Return why a program failed in its own words: its error line, never a line that a library logged.

    Examples
    --------
    >>> last_words("INFO: Created TensorFlow Lite XNNPACK delegate for CPU.")
    ''
    >>> last_words("error: no such file.\\nINFO: Created TensorFlow Lite XNNPACK delegate for CPU.")
    'no such file'
    """
    said = [line for line in stderr.splitlines() if line.strip()]
    own = [found[1] for line in said if (found := _OWN_ERROR.match(line))]
    raised = [line for line in said if _EXCEPTION.match(line)]
    other = [line for line in said if not _LOG_LINE.match(line.strip())]
    last = next((found[-1] for found in (own, raised, other) if found), "")
    return short(last.removeprefix("ERROR: ")).rstrip(".")


def failure(done: CompletedProcess[str]) -> str:
    """Return why a program ended as it did: the signal, else its last words, else its exit code.

    Examples
    --------
    >>> failure(CompletedProcess([], -9, "", "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."))
    'was killed (signal 9), probably out of memory'
    """
    code = done.returncode
    killed_by = -code if code < 0 else code - 128 if code > 128 else 0  # a shell between adds 128
    if killed_by == signal.SIGKILL:
        return "was killed (signal 9), probably out of memory"
    if killed_by and killed_by in {one.value for one in signal.Signals}:
        return f"was ended by signal {killed_by} ({signal.strsignal(killed_by)})"
    return last_words(done.stderr) or f"exit code {code}"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _shown(value: Any) -> str:
    return short(repr(value), 60)
