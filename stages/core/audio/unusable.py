"""Why a recording cannot be used, in a word and in a sentence."""

import os
from pathlib import Path

import numpy as np

from stages.core.project.errors import DataError
from stages.runtime.errors import ExcludedError, RuntimeInputError

UNDECODABLE = "undecodable"
BLOCK = 1 << 16
"""Frames that a decoder gives at a time."""


class UnusableError(DataError):
    """A recording cannot be used; `kind` says why in a word or two, the message in a sentence."""

    def __init__(self, message: str, kind: str = UNDECODABLE) -> None:
        super().__init__(message)
        self.kind = kind


def as_data_error(error: RuntimeInputError) -> UnusableError:
    """Return the error of the device's reader or rules as one of a recording at home."""
    return UnusableError(str(error), error.kind if isinstance(error, ExcludedError) else UNDECODABLE)


def undecodable(path: Path, reason: str) -> str:
    """Return the sentence that a file cannot be decoded, and why."""
    return f"{shown(path)} cannot be decoded as audio ({reason}). Replace or remove it."


def shown(path: Path | str) -> str:
    """Return a path as text that can be printed and stored, whatever bytes its name has.

    Examples
    --------
    >>> shown(os.fsdecode(b"caf\\xe9.wav"))
    'caf\\\\xe9.wav'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def reason_of(error: Exception) -> str:
    """Return in a few words why a decoder failed."""
    said = getattr(error, "strerror", None) or str(error).rpartition(": ")[2]
    return " ".join(said.split()).rstrip(".") or type(error).__name__


def finite(path: Path, frames: np.ndarray) -> np.ndarray:
    """Return frames as they are, or raise UnusableError if one is not a finite number."""
    if not np.isfinite(frames).all():
        raise UnusableError(f"{shown(path)} holds samples that are not finite numbers. Record it again.")
    return frames
