"""Streams that are joined in one FLAC or Ogg file, as some recorders and editors leave them."""

import io
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from stages.core.audio.tape import KEPT_S, Tape
from stages.core.audio.unusable import BLOCK, UnusableError, finite, reason_of, undecodable
from stages.core.project.errors import DataError


def starts(path: Path, form: str) -> list[int]:
    """Return where each of the streams begins that are joined in a FLAC or Ogg file; one, as a rule."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return list(_flac_starts(content) if form == "FLAC" else _ogg_starts(content))


def _flac_starts(content: mmap.mmap) -> Iterator[int]:
    yield 0
    at = 0
    while (at := content.find(b"fLaC", at + 4)) > 0:
        if content[at + 4 : at + 8] in (b"\0\0\0\x22", b"\x80\0\0\x22"):  # its STREAMINFO
            yield at


def _ogg_starts(content: mmap.mmap) -> Iterator[int]:
    """Yield the first page of each stream in a chain (RFC 3533, section 4)."""
    at, within = content.find(b"OggS\0"), False
    yield 0
    while 0 <= at < len(content) - 5:
        begins = bool(content[at + 5] & 2)
        if begins and within:
            yield at
        within = not begins
        at = content.find(b"OggS\0", at + 27)


class _Range(io.RawIOBase):
    """Part of a file as a file."""

    def __init__(self, path: Path, start: int, stop: int) -> None:
        self._file, self._start, self._size, self._at = path.open("rb"), start, stop - start, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._start + self._at)
        content = self._file.read(max(0, min(len(buffer), self._size - self._at)))
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


class Joined:
    """Streams that are joined in one FLAC or Ogg file, each read by libsndfile; see `Source`."""

    n_frames, slack, broken, floating = None, 0, "", False

    def __init__(self, path: Path, starts: Sequence[int], sample_rate: int, n_channels: int, first: int) -> None:
        self.path, self.sample_rate, self.n_channels = path, sample_rate, n_channels
        self._ranges = list(zip(starts, [*starts[1:], path.stat().st_size], strict=True))
        self._tape = Tape(self._decoded, round(KEPT_S * sample_rate))
        self.claimed_frames = 0
        self.notes = (joined_note(first / sample_rate),)

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Yield the frames from `start` to before `stop`, as `stages.runtime.hearing.Source` has it."""
        return self._tape.between(start, stop)

    def _decoded(self) -> Iterator[np.ndarray]:
        try:
            for begin, end in self._ranges:
                with _Range(self.path, begin, end) as content, soundfile.SoundFile(content) as file:
                    if (file.samplerate, file.channels) != (self.sample_rate, self.n_channels):
                        raise UnusableError(undecodable(self.path, "its rate or channels change midway"))
                    while len(frames := file.read(BLOCK, dtype="float32", always_2d=True)):
                        yield finite(self.path, frames)
        except DataError:
            raise
        except Exception as error:  # noqa: BLE001  as above
            raise UnusableError(undecodable(self.path, reason_of(error))) from None


def joined_note(claimed_s: float) -> str:
    """Return what a person should know of a file that holds more than it claims (seconds)."""
    return f"holds more than the {claimed_s:.6g} s that it claims, as joined files do: all of it is heard"
