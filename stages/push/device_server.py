"""Answer a push over stdin and stdout. Runs on the device: standard library only.

The SSH transport sends the text of the `device_*` modules to the device's Python. What runs on a device for a push is
thereby tied to the connection: when that ends, so does everything that was started here, and with it the lock.
"""

from __future__ import annotations

import json
import os
import pwd
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.push.device_folder import Folder
from stages.push.device_run import Refusal


class _Wire:
    """The bytes from home, read without a buffer in between, so that their end is seen at once."""

    def __init__(self, lease_s: float) -> None:
        self.lease_s = lease_s
        self._held = b""

    def line(self) -> bytes:
        """Return the next line that is not empty; home sends empty ones to show that it is still there."""
        while True:
            line, end, rest = self._held.partition(b"\n")
            if not end:
                self._held += self._read()
            else:
                self._held = rest
                if line:
                    return line

    def data(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes as they come."""
        while size:
            piece = self._held or self._read()
            piece, self._held = piece[:size], piece[size:]
            size -= len(piece)
            yield piece

    def _read(self) -> bytes:
        ready, _, _ = select.select([0], [], [], self.lease_s)
        data = os.read(0, 2**16) if ready else b""
        if not data:
            sys.exit("the connection ended")
        return data


def serve(lease_s: float) -> None:
    """Answer requests on stdin until it ends, or is silent for `lease_s` seconds.

    The first line is the folder's path, relative to the user's home. A request is `{"do", "with", "bytes"}`: a method
    of `Folder`, its arguments, and how many bytes of data follow the line. An answer is a line with the length of what
    follows: `{"value"}`, or `{"refused", "full"}`.
    """
    wire = _Wire(lease_s)

    def answer(**values: Any) -> None:
        text = json.dumps(values)
        sys.stdout.write(f"{len(text)}\n{text}")
        sys.stdout.flush()

    folder = Folder(_home() / Path(json.loads(wire.line())).expanduser())
    answer(value=None)
    while True:
        request = json.loads(wire.line())
        more: dict[str, Any] = {}
        if request["do"] == "append":
            more["data"] = wire.data(request["bytes"])
        if request["do"] == "run":
            more["tether"] = 0
        try:
            answer(value=getattr(folder, request["do"])(*request["with"], **more))
        except Refusal as refusal:
            for _ in more.get("data", ()):  # the rest of what was refused
                pass
            answer(refused=str(refusal), full=refusal.full)


def _home() -> Path:
    """Return the user's home, whatever directory or HOME the shell's start-up files left."""
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path.home()
