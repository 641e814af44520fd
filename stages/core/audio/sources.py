"""Audio files of any format as sources that are read in blocks, each with what it claims and what it holds.

A WAV file is read by the device's own reader. libsndfile reads what else it knows (FLAC, Ogg, MP3, AIFF), and FFmpeg's
libraries (in PyAV) read the rest: WebM, MP4, AAC, AMR, WMA, AC-3, G.722 and compressed WAV files. FFmpeg also
counts what a file holds: where libsndfile would stop early, FFmpeg reads all of it. Streams that are joined in one FLAC
or Ogg file are read one after the other.
"""

import contextlib
import io
import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from stages.core.project import lazy
from stages.core.project.errors import DataError
from stages.runtime import wav
from stages.runtime.errors import ExcludedError, RuntimeInputError
from stages.runtime.hearing import Source

if TYPE_CHECKING:
    import av
else:
    av = lazy.module("av")  # all of FFmpeg, for the files that need it

# Nothing that, as a playlist does, leads to other files.
CONTAINERS = (
    "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,aac,ogg,mp3,flac,wav,w64,aiff,caf,au,amr,amrnb,amrwb,asf,xwma,ac3,eac3,dts,"
    "g722,g726,tta,wv,ape,mpc,mpc8,avi,flv,mpeg,mpegts,gsm,tak,dsf,iff,voc"
)
_SLACK_S, _SLACK_MP3 = 0.05, 3 * 1152  # encoders' delay and padding, by which claims and sound differ in sound files
_OPEN_FRAMES = 2**31  # a claim of this or more is no claim: a stream's header, or a damaged one
_BLOCK = 1 << 16
UNDECODABLE = "undecodable"
SUFFIXES = frozenset(
    """.3gp .aac .ac3 .aif .aifc .aiff .alac .amr .ape .au .bwf .caf .dts .flac .g722 .m4a .m4b .mka .mp2 .mp3 .mp4
    .oga .ogg .opus .pcm .ra .raw .rf64 .snd .spx .tta .voc .w64 .wav .wave .weba .webm .wma .wv""".split()  # noqa: SIM905
)
"""How the names of recordings end; what is in a file its content alone says."""


def open_source(path: Path) -> Source:
    """Open an audio file with the first decoder that knows it.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Source
        It can be read more than once.

    Raises
    ------
    DataError
        If the file is missing, no decoder knows it, or its rate or number of channels is refused; with the reason.
    """
    if not path.is_file():
        raise DataError(f"{shown(path)} does not exist. Check the path, or run `dvc repro pull` again.")
    try:
        return wav.open_wav(path)
    except (wav.NotWavError, wav.CompressedWavError):
        pass
    except RuntimeInputError as error:
        raise as_data_error(error) from None
    contents = _contents(path)
    found: Source
    try:
        found = _soundfile(path, contents)
    except Exception as error:  # noqa: BLE001  as above
        if contents.frames == 0:
            reason = "; ".join(filter(None, (_kind(path), contents.reason or _reason(error))))
            raise UnusableError(undecodable(path, reason)) from None
        found = _Ffmpeg(path, contents, contents.claimed)
    try:
        wav.require_shape(path, found.sample_rate, found.n_channels)
    except RuntimeInputError as error:
        raise as_data_error(error) from None
    return found


class UnusableError(DataError):
    """A recording cannot be used; `kind` says why in a word or two, the message in a sentence."""

    def __init__(self, message: str, kind: str = UNDECODABLE) -> None:
        super().__init__(message)
        self.kind = kind


def as_data_error(error: RuntimeInputError) -> UnusableError:
    """Return the error of the device's reader or rules as one of a recording at home."""
    return UnusableError(str(error), error.kind if isinstance(error, ExcludedError) else UNDECODABLE)


def _kind(path: Path) -> str:
    raw = "samples without a header" if path.suffix.lower() in (".raw", ".pcm", ".sln") else ""
    return wav.other_kind(path) or raw


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


@dataclass(frozen=True)
class _Contents:
    """A file's contents by FFmpeg: frames of all packets, frames that the header claims, rate and channels."""

    frames: int = 0
    claimed: int = 0
    sample_rate: int = 0
    n_channels: int = 0
    codec: str = ""
    joined: bool = False
    reason: str = ""


_STATES_LENGTH = {"matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "flac", "ogg", "wav", "caf", "tta", "wv", "asf", "aiff"}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    name: Any = str(path)
    try:
        name.encode()
    except UnicodeEncodeError:  # PyAV takes names in UTF-8 only
        with path.open("rb") as stream, av.open(stream, options={"format_whitelist": CONTAINERS}) as container:
            yield container
        return
    with av.open(name, options={"format_whitelist": CONTAINERS}) as container:
        yield container


def _contents(path: Path) -> _Contents:
    """Count what a file holds without decoding it."""
    try:
        with _opened(path) as container:
            if not container.streams.audio:
                return _Contents(reason="it holds no audio")
            stream = container.streams.audio[0]
            context = stream.codec_context
            if context is None:
                return _Contents(reason="its encoding is unknown")
            rate, held = context.sample_rate, 0.0
            with contextlib.suppress(av.FFmpegError):  # cut short: what came before counts
                for packet in container.demux(stream):
                    held += float((packet.duration or 0) * stream.time_base)
            claimed = 0.0
            if container.format.name in _STATES_LENGTH:
                claimed = float((stream.duration or 0) * stream.time_base) or (container.duration or 0) / av.time_base
            joined = container.format.name.startswith("mov") and _is_joined_mp4(path)
            return _Contents(round(held * rate), round(claimed * rate), rate, context.channels, context.name, joined)
    except Exception as error:  # noqa: BLE001  whatever a decoder does with a file is that file's matter
        return _Contents(reason=_reason(error))


def _is_joined_mp4(path: Path) -> bool:
    """Return whether a second MP4 file follows the first one, which FFmpeg does not read."""
    with path.open("rb") as stream:
        at, size, kinds = 0, stream.seek(0, 2), list[bytes]()
        while at + 8 <= size and len(kinds) < 1000:
            stream.seek(at)
            header = stream.read(16)
            length = int.from_bytes(header[:4], "big")
            if length == 1:
                length = int.from_bytes(header[8:16], "big")
            if length < 8:
                break
            kinds.append(header[4:8])
            at += length
    return kinds.count(b"ftyp") > 1


def _starts(path: Path, form: str) -> list[int]:
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


class _Joined:
    """Streams that are joined in one FLAC or Ogg file, each read by libsndfile; see `Source`."""

    n_frames, slack, broken, floating = None, 0, "", False

    def __init__(self, path: Path, starts: Sequence[int], sample_rate: int, n_channels: int, first: int) -> None:
        self.path, self.sample_rate, self.n_channels = path, sample_rate, n_channels
        self._ranges = list(zip(starts, [*starts[1:], path.stat().st_size], strict=True))
        self.claimed_frames = 0
        self.notes = (_joined_note(first / sample_rate),)

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        return _between(self._decoded(), start, stop)

    def _decoded(self) -> Iterator[np.ndarray]:
        try:
            for begin, end in self._ranges:
                with _Range(self.path, begin, end) as content, soundfile.SoundFile(content) as file:
                    if (file.samplerate, file.channels) != (self.sample_rate, self.n_channels):
                        raise UnusableError(undecodable(self.path, "its rate or channels change midway"))
                    while len(frames := file.read(_BLOCK, dtype="float32", always_2d=True)):
                        yield _finite(self.path, frames)
        except DataError:
            raise
        except Exception as error:  # noqa: BLE001  as above
            raise UnusableError(undecodable(self.path, _reason(error))) from None


def _joined_note(claimed_s: float) -> str:
    return f"holds more than the {claimed_s:.6g} s that it claims, as joined files do: all of it is heard"


def _between(blocks: Iterator[np.ndarray], start: int, stop: int | None) -> Iterator[np.ndarray]:
    """Yield the frames from `start` to before `stop` of blocks that can only be read from the beginning."""
    at = 0
    for frames in blocks:
        first, last = max(start - at, 0), len(frames) if stop is None else stop - at
        at += len(frames)
        if first < len(frames):
            yield frames[first:last]
        if stop is not None and at >= stop:
            return


def _slack(sample_rate: int, codec: str) -> int:
    return max(round(_SLACK_S * sample_rate), _SLACK_MP3 if codec.startswith("mp3") else 0)


def _reason(error: Exception) -> str:
    """Return in a few words why a decoder failed."""
    said = getattr(error, "strerror", None) or str(error).rpartition(": ")[2]
    return " ".join(said.split()).rstrip(".") or type(error).__name__


def _soundfile(path: Path, contents: _Contents) -> Source:
    with _sound(path) as file:
        rate, channels, claimed, subtype = file.samplerate, file.channels, file.frames, file.subtype
        form = file.format
        file.read(_BLOCK, dtype="float32")
    slack = _slack(rate, contents.codec)
    if form in ("OGG", "FLAC") and len(starts := _starts(path, form)) > 1:
        return _Joined(path, starts, rate, channels, claimed)
    more = form == "MP3" and contents.frames > claimed + slack
    less = form in ("OGG", "FLAC", "MP3") and 0 < contents.frames < claimed - slack
    if more or less:
        return _Ffmpeg(path, contents, claimed, more=more)
    return _Soundfile(path, rate, channels, claimed, slack, subtype in ("FLOAT", "DOUBLE"))


@contextlib.contextmanager
def _sound(path: Path) -> Iterator[soundfile.SoundFile]:
    with path.open("rb") as stream:  # by its descriptor, so that neither name nor suffix matters
        descriptor = os.dup(stream.fileno())
    with soundfile.SoundFile(descriptor, closefd=True) as file:
        yield file


@dataclass(frozen=True)
class _Soundfile:
    """A file that libsndfile reads; see `Source`."""

    path: Path
    sample_rate: int
    n_channels: int
    claimed_frames: int
    slack: int
    floating: bool
    notes: tuple[str, ...] = ()
    n_frames: None = None
    broken: str = ""

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        left = (self.claimed_frames if stop is None else stop) - start
        if start and start >= self.claimed_frames:  # where libsndfile cannot seek to
            return
        try:
            with _sound(self.path) as file:
                if start:
                    file.seek(start)
                while left > 0 and len(frames := file.read(min(left, _BLOCK), dtype="float32", always_2d=True)):
                    left -= len(frames)
                    yield _finite(self.path, frames)
        except DataError:
            raise
        except Exception as error:  # noqa: BLE001  as above
            raise UnusableError(undecodable(self.path, _reason(error))) from None


class _Ffmpeg:
    """A file that FFmpeg reads; see `Source`."""

    n_frames = None

    def __init__(self, path: Path, contents: _Contents, claimed: int, *, more: bool = False) -> None:
        self.path, self.sample_rate, self.n_channels = path, contents.sample_rate, contents.n_channels
        self.floating = contents.codec.startswith("pcm_f")
        self.slack = _slack(self.sample_rate, contents.codec)
        self.claimed_frames, self.notes = claimed, tuple[str, ...]()
        self.broken = "another file is joined to it" if contents.joined else ""
        if claimed >= _OPEN_FRAMES:
            self.claimed_frames, self.notes = 0, (f"claims {claimed} frames: read to the end of the file",)
        elif claimed and (more or contents.frames > claimed + self.slack):
            self.notes = (_joined_note(claimed / self.sample_rate),)

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        for frames in _between(self._decoded(), start, stop):
            yield _finite(self.path, frames)

    def _decoded(self) -> Iterator[np.ndarray]:
        heard = False
        try:
            with _opened(self.path) as container:
                stream = container.streams.audio[0]
                rate, layout = stream.codec_context.sample_rate, stream.codec_context.layout
                to_float = av.AudioResampler(format="fltp", layout=layout, rate=rate)
                for frame in container.decode(stream):
                    if (frame.sample_rate, frame.layout.name) != (rate, layout.name):
                        raise UnusableError(undecodable(self.path, "its rate or channels change midway"))
                    for piece in to_float.resample(frame):
                        heard = True
                        yield piece.to_ndarray().T
                for piece in to_float.resample(None):
                    yield piece.to_ndarray().T
        except DataError:
            raise
        except Exception as error:  # noqa: BLE001  as above
            if not heard:
                raise UnusableError(undecodable(self.path, _reason(error))) from None
            self.broken = _reason(error)


def _finite(path: Path, frames: np.ndarray) -> np.ndarray:
    if not np.isfinite(frames).all():
        raise UnusableError(f"{shown(path)} holds samples that are not finite numbers. Record it again.")
    return frames
