"""Silence for native libraries that write to stderr what nobody needs to read."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

_ALONE = threading.RLock()  # two at a time would restore each other's silence


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Discard what native code writes to stderr meanwhile, such as LiteRT's line about XNNPACK.

    Python's exceptions are not affected. Other threads that write to stderr meanwhile are silenced too, so that it is
    for short calls only.

    Examples
    --------
    >>> with quiet():
    ...     _ = os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.")
    """
    with _ALONE:
        with contextlib.suppress(AttributeError, ValueError):  # there may be no stderr
            sys.stderr.flush()
        try:
            kept = os.dup(2)
        except OSError:
            yield
            return
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nothing)
