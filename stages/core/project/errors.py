"""The errors a person can cause, each told in one sentence, and the wrapper that prints them."""

import contextlib
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from stages.core.project.loopback import without_proxy
from stages.core.project.parent import end_with_dvc


class EdacError(Exception):
    """A mistake the user can mend; the message names what, the rule, what was got and what to do."""


class ParameterError(EdacError):
    """A value in `params.yaml` or on the command line breaks a rule."""


class DataError(EdacError):
    """A file or a data set is missing, unreadable or not what it claims to be."""


class ModelError(EdacError):
    """A model file does not hold what it claims: an operator, a dtype, a sparsity, a score."""


class DeviceError(EdacError):
    """A device refused a release, or could not be reached; the message never carries control characters of its own."""

    def __init__(self, message: str) -> None:
        """Replace control characters."""
        super().__init__("".join(c if c.isprintable() else "?" for c in message))


def require(condition: bool, parameter: str, rule: str, got: Any, advice: str = "") -> None:
    """Raise a `ParameterError` in the house's one shape unless `condition` holds.

    Parameters
    ----------
    condition : bool
    parameter : str
        Dotted name as the user wrote it, e.g. ``"sweep.sparsities"``.
    rule : str
        Completes "must ...", e.g. ``"be a fraction in [0, 1)"``.
    got : Any
        The offending value, shown with `repr`.
    advice : str
        One sentence that says what to do.

    Raises
    ------
    ParameterError
    """
    if not condition:
        raise ParameterError(f"{parameter} must {rule}; got {got!r}. {advice}".rstrip())


def notice(sentence: str) -> None:
    """Print one line on stderr that is no error, such as that a name has changed."""
    print(f"notice: {sentence}", file=sys.stderr, flush=True)


def warning(sentence: str) -> None:
    """Print one line on stderr that a person at the terminal must see."""
    print(f"warning: {sentence}", file=sys.stderr, flush=True)


def run(main: Callable[[], int | None]) -> None:
    """Run a `__main__`, turning an `EdacError` into one line on stderr and exit code 1.

    A process that DVC started ends with it, and no proxy is asked for what runs on this machine. A disk that is full or
    cannot be written is one line too, whatever was being written. SIGTERM and SIGHUP end it as Ctrl-C does.
    """
    try:
        _end_like_ctrl_c()
        end_with_dvc()
        without_proxy()
        _write_any_text()
        code = main() or 0
        if sys.stdout is not None:
            sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:
        if not _stdout_ends():
            raise
        sys.exit(_CUT_OFF)  # by a reader that has heard enough, such as `head`
    except EdacError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        refused = _refused_by_disk(error)
        if refused is None:
            raise
        _stdout_ends()
        print(f"error: {refused}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt as ended:
        with contextlib.suppress(OSError):  # the terminal may be gone
            print("interrupted; run the same command again to go on where it stopped", file=sys.stderr, flush=True)
        sys.exit(128 + (ended.number if isinstance(ended, _Ended) else signal.SIGINT))


class _Ended(KeyboardInterrupt):
    """Another signal than that of Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def _end_like_ctrl_c() -> None:
    """Have SIGTERM and SIGHUP raise `KeyboardInterrupt`, so that what is being written is cleaned up."""

    def end(number: int, _: object) -> None:
        raise _Ended(number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:  # `nohup` ignores the latter
                signal.signal(number, end)


_CUT_OFF = 141  # as shells report SIGPIPE


def _write_any_text() -> None:
    """Have a terminal that lacks a character show its number instead."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() not in ("utf-8", "utf8"):
            stream.reconfigure(errors="backslashreplace")


def _stdout_ends() -> bool:
    """Return whether nothing can be written to stdout any more, and see that nothing is from now on."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    except (AttributeError, ValueError):  # it was closed from the start
        return True
    return False


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
_IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.ELOOP)
_BROKEN = (errno.EIO, errno.ESTALE)
_REFUSED = (*_FULL, *_CLOSED, *_IN_THE_WAY, *_BROKEN)


def _refused_by_disk(error: BaseException) -> str | None:
    """Return the sentence of an error that a full or unwritable disk caused, None for another."""
    seen: BaseException | None = error
    while seen is not None and not (isinstance(seen, OSError) and seen.errno in _REFUSED):
        if f"[Errno {errno.ENOSPC}]" in str(seen):  # TensorFlow raises what it caught anew, without its number
            seen = OSError(errno.ENOSPC, "No space left on device")
            break
        seen = seen.__cause__ or seen.__context__
    if not isinstance(seen, OSError):
        return None
    place = seen.filename2 or seen.filename
    where = f"{place}: " if place else ""
    if seen.errno in _FULL:
        import tempfile  # slow to import, and rarely needed

        return (
            f"{where}{seen.strerror}. Make room on the project's disk and in the folder of temporary files "
            f"({_or(tempfile.gettempdir, 'TMPDIR')}), then run the same command again."
        )
    advice = {_IN_THE_WAY: "Move away what stands there", _BROKEN: "Check that disk"}
    doing = next((text for numbers, text in advice.items() if seen.errno in numbers), "Make it writable")
    return f"{where}{seen.strerror}. {doing}, then run the same command again." if where else None


def _or(value: Callable[[], str], otherwise: str) -> str:
    try:
        return value()
    except OSError:  # there is no usable folder of temporary files
        return otherwise
