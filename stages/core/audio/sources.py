"""Audio files of any format as sources that are read in blocks, each with what it claims and what it holds.

A WAV file is read by the device's own reader. libsndfile reads what else it knows (FLAC, Ogg, MP3, AIFF), and FFmpeg's
libraries (in PyAV) read the rest: WebM, MP4, AAC, AMR, WMA, AC-3, G.722 and compressed WAV files. FFmpeg also
counts what a file holds: where libsndfile would stop early, FFmpeg reads all of it. Streams that are joined in one FLAC
or Ogg file are read one after the other.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from stages.core.audio.joined import Joined, joined_note, starts
from stages.core.audio.tape import KEPT_S, Tape
from stages.core.audio.unusable import BLOCK, UnusableError, as_data_error, finite, reason_of, shown, undecodable
from stages.core.project import lazy
from stages.core.project.errors import DataError
from stages.runtime import wav
from stages.runtime.errors import RuntimeInputError
from stages.runtime.hearing import Source
from stages.runtime.hidden import is_hidden

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
SUFFIXES = frozenset(
    """.3gp .aac .ac3 .aif .aifc .aiff .alac .amr .ape .au .bwf .caf .dts .flac .g722 .m4a .m4b .mka .mp2 .mp3 .mp4
    .oga .ogg .opus .pcm .ra .raw .rf64 .snd .spx .tta .voc .w64 .wav .wave .weba .webm .wma .wv""".split()  # noqa: SIM905
)
"""How the names of recordings end; what is in a file its content alone says."""


def recordings_below(folder: Path) -> list[Path]:
    """Return the files of a folder and of all folders in it that are named as audio and not hidden, sorted."""
    named = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in named if not is_hidden(path.relative_to(folder)))


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
            reason = "; ".join(filter(None, (_kind(path), contents.reason or reason_of(error))))
            raise UnusableError(undecodable(path, reason)) from None
        found = _Ffmpeg(path, contents, contents.claimed)
    try:
        wav.require_shape(path, found.sample_rate, found.n_channels)
    except RuntimeInputError as error:
        raise as_data_error(error) from None
    return found


def _kind(path: Path) -> str:
    raw = "samples without a header" if path.suffix.lower() in (".raw", ".pcm", ".sln") else ""
    return wav.other_kind(path) or raw


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
        return _Contents(reason=reason_of(error))


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


def _slack(sample_rate: int, codec: str) -> int:
    return max(round(_SLACK_S * sample_rate), _SLACK_MP3 if codec.startswith("mp3") else 0)


def _soundfile(path: Path, contents: _Contents) -> Source:
    with _sound(path) as file:
        rate, channels, claimed, subtype = file.samplerate, file.channels, file.frames, file.subtype
        form = file.format
        file.read(BLOCK, dtype="float32")
    slack = _slack(rate, contents.codec)
    if form in ("OGG", "FLAC") and len(begins := starts(path, form)) > 1:
        return Joined(path, begins, rate, channels, claimed)
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
                while left > 0 and len(frames := file.read(min(left, BLOCK), dtype="float32", always_2d=True)):
                    left -= len(frames)
                    yield finite(self.path, frames)
        except DataError:
            raise
        except Exception as error:  # noqa: BLE001  as above
            raise UnusableError(undecodable(self.path, reason_of(error))) from None


class _Ffmpeg:
    """A file that FFmpeg reads; see `Source`."""

    n_frames = None

    def __init__(self, path: Path, contents: _Contents, claimed: int, *, more: bool = False) -> None:
        self.path, self.sample_rate, self.n_channels = path, contents.sample_rate, contents.n_channels
        self.floating = contents.codec.startswith("pcm_f")
        self._tape = Tape(self._decoded, round(KEPT_S * self.sample_rate))
        self.slack = _slack(self.sample_rate, contents.codec)
        self.claimed_frames, self.notes = claimed, tuple[str, ...]()
        self.broken = "another file is joined to it" if contents.joined else ""
        if claimed >= _OPEN_FRAMES:
            self.claimed_frames, self.notes = 0, (f"claims {claimed} frames: read to the end of the file",)
        elif claimed and (more or contents.frames > claimed + self.slack):
            self.notes = (joined_note(claimed / self.sample_rate),)

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        for frames in self._tape.between(start, stop):
            yield finite(self.path, frames)

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
                raise UnusableError(undecodable(self.path, reason_of(error))) from None
            self.broken = reason_of(error)
