"""The errors a person can cause, each told in one sentence, and the wrapper that prints them."""

import sys
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


def run(main: Callable[[], int | None]) -> None:
    """Run a `__main__`, turning an `EdacError` into one line on stderr and exit code 1.

    A process that DVC started ends with it, and no proxy is asked for what runs on this machine.
    """
    end_with_dvc()
    without_proxy()
    try:
        sys.exit(main() or 0)
    except EdacError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on where it stopped", file=sys.stderr)
        sys.exit(130)
