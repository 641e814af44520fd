"""WAV files as recorders, telephones, pipes, editors and crashes leave them, in blocks of bounded memory.

The rules, for RIFF, RIFX, RF64, BW64 and W64 alike (`docs/recordings.md` shows each with an example):

1. Chunks may come in any order. The first `fmt ` and the first `data` with sound in it count. What follows complete
   sound is not read. A chunk of odd length may or may not be padded.
2. The sound is as long as `data` claims. It reaches to the end of the file where the claim is open: 0 with something
   behind it that is no chunk, or 0x7FF00000 and more, which streams and interrupted recorders leave. A claim that
   exceeds the file by no more than the header's own length reaches to the end too. Any other claim beyond the end of
   the file is kept as `Wav.claimed_frames`: the file is cut short. A second `data` chunk, or a second WAV file behind
   the first, is not read, and counts as claimed too.
3. A sample's container is `block_align / channels` bytes wide; `bits` of it are the sample. Bits that do not fill
   whole bytes are left-justified, and so is everything in an EXTENSIBLE file. Otherwise a container with whole bytes
   to spare leaves the place open, and the samples decide: if the upper bytes of all samples only extend the sign (or
   are 0), the sample is in the least significant bytes; else, if the lower bytes of all samples are 0, it is
   left-justified; else the file is refused.
4. Integers are divided by the full scale of their place. Up to 8 bits are unsigned. `bits` of 0 fill the container.
5. Sample rates outside `RATES` and more than `MAX_CHANNELS` channels are refused, and so are samples that are not
   finite numbers.
"""

import functools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np

from stages.runtime.errors import ExcludedError, RuntimeInputError

RATES = (1_000, 768_000)  # Hz
EMPTY = "empty"
MAX_CHANNELS = 256
BLOCK_BYTES = 1 << 20
_OPEN = 0x7FF00000  # sox, arecord, ffmpeg and others write this or more where they do not know the length
_MOST_HEADER = 4096

_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_GUIDS = tuple(bytes.fromhex(tail) for tail in ("000000001000800000aa00389b71", "00002107d3118644c8c1ca000000"))
_W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_WAVE = bytes.fromhex("77617665f3acd3118cd100c04f8edb8a")
_COMPRESSED = {
    0x02: "Microsoft ADPCM",
    0x11: "IMA ADPCM",
    0x31: "GSM 6.10",
    0x50: "MPEG",
    0x55: "MP3",
    0x64: "G.726",
    0x65: "G.722",
    0xFF: "AAC",
    0x160: "Windows Media",
    0x161: "Windows Media",
    0x162: "Windows Media",
    0x28F: "G.722",
    0x2000: "AC-3",
}
_CHUNKS = {
    *(b"fmt ", b"data", b"fact", b"LIST", b"list", b"JUNK", b"junk", b"PAD ", b"FLLR", b"bext", b"iXML", b"ixml"),
    *(b"aXML", b"axml", b"chna", b"cart", b"cue ", b"smpl", b"inst", b"plst", b"labl", b"note", b"PEAK", b"acid"),
    *(b"id3 ", b"ID3 ", b"_PMX", b"umid", b"levl", b"minf", b"elm1", b"regn", b"afsp", b"DISP", b"ds64", b"strc"),
}
_MAGIC = (  # what else may be called .wav
    (b"fLaC", "a FLAC file"),
    (b"OggS", "an Ogg file"),
    (b"FORM", "an AIFF file"),
    (b"ID3", "an MP3 file"),
    *((b"\xff" + second, "an MP3 file") for second in (b"\xfb", b"\xfa", b"\xf3", b"\xf2")),
    (b"caff", "a CAF file"),
    (b".snd", "an AU file"),
    (b"#!AMR", "an AMR file"),
    (b"\x30\x26\xb2\x75", "a WMA file"),
    (b"\0\x05\x16\x07", "what macOS keeps beside a file (AppleDouble), not the recording itself"),
    (b"bplist00", "a place holder of iCloud, not the recording itself"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF document"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"GIF8", "a GIF picture"),
    (b"#EXTM3U", "a playlist"),
    (b"{", "JSON text"),
    (b"\xff\xf1", "an AAC file"),
    (b"\xff\xf9", "an AAC file"),
    (b"\x1aE\xdf\xa3", "a WebM file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the recording itself"),
    (b"<", "a web page"),
)


class NotWavError(RuntimeInputError):
    """A file is no WAV file at all; another decoder may know it."""


class CompressedWavError(RuntimeInputError):
    """A WAV file holds a compressed encoding that a device does not decode; another decoder may know it."""


@dataclass(frozen=True)
class Wav:
    """An opened WAV file.

    Attributes
    ----------
    path : Path
    sample_rate : int
        Hz.
    n_channels : int
    n_frames : int
        Frames that the file holds (samples per channel).
    claimed_frames : int
        Frames that it claims or holds: more than `n_frames` if it is cut short or another is joined to it.
    floating : bool
        Whether samples are stored as floating point and so may exceed full scale.
    notes : tuple[str, ...]
        What a person should know although the file was read, such as an open header; each completes "FILE ...".
    """

    path: Path
    sample_rate: int
    n_channels: int
    n_frames: int
    claimed_frames: int
    floating: bool
    notes: tuple[str, ...]
    _offset: int
    _frame_bytes: int
    _convert: Callable[[bytes], np.ndarray]
    slack: int = 0
    broken: str = ""

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Yield the samples in blocks of about a mebibyte.

        Parameters
        ----------
        start, stop : int
            First frame, and the frame after the last; None reads to the end.

        Yields
        ------
        np.ndarray, shape (n, n_channels), float32
            Full scale is 1.

        Raises
        ------
        RuntimeInputError
            If a sample is not a finite number, or the file cannot be read any more.
        """
        at, end = start, self.n_frames if stop is None else min(stop, self.n_frames)
        for content in _read(self.path, self._offset + start * self._frame_bytes, end - start, self._frame_bytes):
            frames = self._convert(content).reshape(-1, self.n_channels)
            if self.floating and not np.isfinite(frames).all():
                bad = at + int(np.argmin(np.isfinite(frames).all(axis=1)))
                raise RuntimeInputError(
                    f"{self.path} holds samples that are not finite numbers, the first at {bad / self.sample_rate:g} "
                    "s. Record it again."
                )
            yield frames
            at += len(frames)


def open_wav(path: Path) -> Wav:
    """Read the header of a WAV file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Wav

    Raises
    ------
    NotWavError
        If it is another kind of file.
    CompressedWavError
        If its encoding is compressed.
    RuntimeInputError
        If it is missing, holds no samples, contradicts itself, or has a rate or a number of channels that is refused.

    Examples
    --------
    >>> import tempfile, wave
    >>> path = Path(tempfile.mkdtemp()) / "tone.wav"
    >>> with wave.open(str(path), "wb") as tone:
    ...     tone.setparams((1, 2, 8000, 0, "NONE", ""))
    ...     tone.writeframes(bytes(16000))
    >>> open_wav(path).n_frames
    8000
    """
    try:
        if path.exists() and not path.is_file():
            raise RuntimeInputError(f"{path} is not a regular file. Name a WAV file.")
        with path.open("rb") as stream:
            return _parse(path, stream)
    except OSError as error:
        raise RuntimeInputError(f"{path} cannot be read ({error.strerror}). Check the path.") from None


@dataclass(frozen=True)
class _Container:
    """How chunks are written: `start` of the first one, the length of a chunk's header, and the byte order."""

    start: int
    order: str
    w64: bool = False


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    offset: int
    claimed: int
    end: int  # where the next chunk's header may be; beyond the end of the file if the claim is


def _container(stream: BinaryIO) -> _Container | None:
    head = stream.read(40)
    start = 0
    if head[:3] == b"ID3" and len(head) >= 10:  # a tag that taggers of MP3 files put first
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        stream.seek(start)
        head = stream.read(40)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return _Container(start + 12, ">" if head[:4] == b"RIFX" else "<")
    if head[:16] == _W64_RIFF and head[24:40] == _W64_WAVE:
        return _Container(start + 40, "<", w64=True)
    return None


def _chunk(stream: BinaryIO, at: int, size: int, kind: _Container) -> _Chunk | None:
    """Return the chunk whose header is at `at`; None at the end of the file."""
    stream.seek(at)
    if kind.w64:
        header = stream.read(24)
        if len(header) < 24:
            return None
        claimed = int(struct.unpack("<Q", header[16:])[0]) - 24
        return _Chunk(header[:4].lower(), at + 24, max(claimed, 0), at + 24 + (max(claimed, 0) + 7) // 8 * 8)
    header = stream.read(8)
    if len(header) < 8:
        return None
    name, claimed = struct.unpack(kind.order + "4sI", header)
    end = at + 8 + claimed
    if claimed % 2 and end < size:
        stream.seek(end)
        end += _padding(stream.read(5))
    return _Chunk(name, at + 8, claimed, end)


def _padding(behind: bytes) -> int:
    """Return how many bytes pad an odd chunk, 1 as the standard has it or 0 as some writers do."""
    if behind[1:5] in _CHUNKS or behind[:1] == b"\0":
        return 1
    return 0 if behind[:4] in _CHUNKS or not behind[1:5].isalnum() else 1


def _parse(path: Path, stream: BinaryIO) -> Wav:
    kind = _container(stream)
    size = stream.seek(0, 2)
    if kind is None:
        stream.seek(0)
        found = _kind(stream.read(40))
        raise NotWavError(f"{path} is not a WAV file{f'; it is {found}' if found else ''}. Convert it to WAV.")
    form: bytes | None = None
    sound: tuple[_Chunk, int, int, str] | None = None
    long_size, at, has_data = None, kind.start, False
    while (form is None or sound is None) and (chunk := _chunk(stream, at, size, kind)):
        if chunk.name == b"ds64":
            stream.seek(chunk.offset)
            long_size = int.from_bytes(stream.read(16)[8:16], "little")
        elif chunk.name == b"fmt " and form is None:
            stream.seek(chunk.offset)
            form = stream.read(min(chunk.claimed, 40))
        elif chunk.name == b"data" and sound is None:
            has_data = True
            sound = _extent(stream, chunk, size, long_size)
            if sound is not None and chunk.offset + sound[1] >= size:
                break
        elif chunk.end > size:
            claim = f"its {chunk.name.decode('latin-1').strip()!r} chunk claims {chunk.claimed} bytes"
            raise RuntimeInputError(f"{path} is cut short before its sound: {claim}. Record it again.")
        at = chunk.end
    if form is None or len(form) < 14 or (sound is None and not has_data):
        raise RuntimeInputError(f"{path} is a WAV file without a complete format and data chunk. Record it again.")
    if sound is None:
        raise ExcludedError(f"{path} holds no samples. Record it again.", EMPTY)
    chunk, held, claimed, note = sound
    following = _chunk(stream, chunk.end, size, kind) if chunk.end < size else None
    if following is not None and following.name in (b"data", b"RIFF", b"riff"):
        claimed += min(following.claimed, size - following.offset)
    layout = _Format(path, kind.order, form)
    n_frames, claimed_frames = (n // layout.frame_bytes for n in (held, claimed))
    if n_frames == 0:
        raise ExcludedError(f"{path} holds no samples. Record it again.", EMPTY)
    convert = layout.converter(lambda: _read(path, chunk.offset, n_frames, layout.frame_bytes))
    return Wav(
        path,
        layout.sample_rate,
        layout.n_channels,
        n_frames,
        max(claimed_frames, n_frames),
        layout.encoding == _FLOAT,
        (note,) if note else (),
        chunk.offset,
        layout.frame_bytes,
        convert,
    )


def other_kind(path: Path) -> str:
    """Return what a file that is no WAV file is by its first bytes; empty if they tell nothing."""
    with path.open("rb") as stream:
        return _kind(stream.read(40))


def _kind(head: bytes) -> str:
    if not head:
        return "a file of 0 bytes"
    if head[4:8] == b"ftyp":
        return "an MP4 file"
    if not any(head):
        return "zeros without a header"
    return next((name for magic, name in _MAGIC if head.startswith(magic)), "")


def _extent(stream: BinaryIO, chunk: _Chunk, size: int, long_size: int | None) -> tuple[_Chunk, int, int, str] | None:
    """Return a data chunk, how many bytes it holds and claims, and a note; None if it holds nothing."""
    held, claimed = max(size - chunk.offset, 0), chunk.claimed
    if claimed == 0xFFFFFFFF and long_size is not None:
        claimed, is_open = long_size, long_size in (0, 2**64 - 1)
    else:
        is_open = claimed >= _OPEN and claimed > held
    if chunk.claimed == 0:
        stream.seek(chunk.offset)
        behind = stream.read(4)
        is_open = len(behind) == 4 and behind not in _CHUNKS
        if not is_open:
            return None
    if is_open:
        return (
            chunk,
            held,
            held,
            f"has an open header, which claims {claimed} bytes of sound: read to the end of the file",
        )
    if held - claimed >= 2**32:  # a 32-bit size that wrapped around
        claimed += (held - claimed) // 2**32 * 2**32
        return chunk, claimed, claimed, "is longer than its header can say: read beyond 4 GiB"
    if held < claimed <= held + min(chunk.offset, _MOST_HEADER):
        return (
            chunk,
            held,
            held,
            f"claims {claimed - held} bytes of sound more than it holds, as if it counted its header",
        )
    return chunk, min(held, claimed), claimed, ""


def _read(path: Path, offset: int, n_frames: int, frame_bytes: int) -> Iterator[bytes]:
    """Yield part of a file in blocks of whole frames."""
    at_once = max(1, BLOCK_BYTES // frame_bytes)
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            while n_frames > 0:
                content = stream.read(min(n_frames, at_once) * frame_bytes)
                n_read = len(content) // frame_bytes
                if not n_read:  # the file has become shorter meanwhile
                    return
                yield content[: n_read * frame_bytes]
                n_frames -= n_read
    except OSError as error:
        raise RuntimeInputError(f"{path} cannot be read ({error.strerror}). Check the path.") from None


class _Format:
    """The format chunk: what a frame is made of."""

    def __init__(self, path: Path, order: str, form: bytes) -> None:
        self.path, self.order = path, order
        self.encoding, self.n_channels, self.sample_rate, _, align = struct.unpack(order + "HHIIH", form[:14])
        (bits,) = struct.unpack(order + "H", form[14:16]) if len(form) >= 16 else (0,)
        self.extensible = self.encoding == _EXTENSIBLE
        if self.extensible:
            if len(form) < 40 or form[26:40] not in _GUIDS:
                raise RuntimeInputError(f"{path} is EXTENSIBLE and does not say how it is encoded. Convert it to WAV.")
            (self.encoding,) = struct.unpack(order + "H", form[24:26])
        if self.encoding not in (_PCM, _FLOAT, _A_LAW, _MU_LAW):
            name = _COMPRESSED.get(self.encoding, "an unknown encoding")
            raise CompressedWavError(
                f"{path} is a WAV file of {name} (format {self.encoding:#x}); PCM, floating point, A-law and mu-law "
                "are read. Convert it to PCM."
            )
        require_shape(path, self.sample_rate, self.n_channels)
        if align % self.n_channels:
            self._refuse(f"its frames of {align} bytes do not divide among {self.n_channels} channels")
        self.width = align // self.n_channels or -(-bits // 8)
        self.bits = bits or 8 * self.width
        if not 1 <= self.bits <= 8 * self.width <= 64:
            self._refuse(f"its samples of {bits} bits do not fit into {self.width} bytes")
        if self.encoding == _FLOAT and (self.bits != 8 * self.width or self.width not in (4, 8)):
            self._refuse(f"floating-point samples must have 32 or 64 bits; got {self.bits} in {self.width} bytes")
        if self.encoding in (_A_LAW, _MU_LAW) and self.width != 1:
            self._refuse(f"its samples of A-law or mu-law must have 8 bits; they have {8 * self.width}")
        self.frame_bytes = self.width * self.n_channels

    def _refuse(self, reason: str) -> NoReturn:
        raise RuntimeInputError(f"{self.path} contradicts itself: {reason}. Convert it again.")

    def converter(self, content: Callable[[], Iterator[bytes]]) -> Callable[[bytes], np.ndarray]:
        """Return the function from bytes to float32; `content` yields all of the sound, for what only it decides."""
        if self.encoding == _FLOAT:
            return functools.partial(_floats, self.width, self.order)
        if self.encoding in (_A_LAW, _MU_LAW):
            return functools.partial(_companded, a_law() if self.encoding == _A_LAW else mu_law())
        if self.width == 4 and self.bits == 32 and _is_floating(next(content()), self.order):
            self._refuse("it says PCM, and its samples are floating-point numbers")
        whole = -(-self.bits // 8)
        if self.width == whole or self.extensible or self._left_justified(content()):
            return functools.partial(_left, self.width, self.order)
        return functools.partial(_right, self.width, self.order, self.bits)

    def _left_justified(self, content: Iterator[bytes]) -> bool:
        """Decide where in a container with bytes to spare the sample is; rule 3."""
        left = signed = plain = True
        spare, unsigned = 8 * self.width - self.bits, self.bits <= 8
        for block in content:
            values = _integers(block, self.width, self.order)
            left = left and not (values & ((1 << spare) - 1)).any()
            upper = values >> (self.bits if unsigned else self.bits - 1)
            signed = signed and not unsigned and bool(np.isin(upper, (0, -1)).all())
            plain = plain and not (values >> self.bits).any()
        if not (left or signed or plain):
            self._refuse(f"its samples of {self.bits} bits fill {self.width} bytes")
        return not (signed or plain)


def require_shape(path: Path, sample_rate: int, n_channels: int) -> None:
    """Refuse a sample rate outside `RATES` and a number of channels outside 1 to `MAX_CHANNELS`.

    Raises
    ------
    RuntimeInputError

    Examples
    --------
    >>> require_shape(Path("a.wav"), 48000, 2)
    """
    if not RATES[0] <= sample_rate <= RATES[1]:
        raise RuntimeInputError(
            f"{path} must have a sample rate of {RATES[0]} to {RATES[1]} Hz; got {sample_rate}. Correct its header, or "
            "resample it."
        )
    if not 1 <= n_channels <= MAX_CHANNELS:
        raise RuntimeInputError(f"{path} must have 1 to {MAX_CHANNELS} channels; got {n_channels}. Correct its header.")


def _floats(width: int, order: str, content: bytes) -> np.ndarray:
    with np.errstate(over="ignore"):  # beyond float32: infinite, and refused as such
        return np.frombuffer(content, f"{order}f{width}").astype(np.float32)


def _companded(table: np.ndarray, content: bytes) -> np.ndarray:
    return table[np.frombuffer(content, np.uint8)]


def _integers(content: bytes, width: int, order: str) -> np.ndarray:
    """Return signed integers of any width up to 8 bytes: int16, int32 or int64."""
    if width in (1, 2, 4, 8):
        return np.frombuffer(content, f"{order}i{width}").astype(f"i{width}")
    room = 4 if width < 4 else 8
    padded = np.zeros((len(content) // width, room), np.uint8)
    columns = np.frombuffer(content, np.uint8).reshape(-1, width)
    padded[:, room - width :] = columns if order == "<" else columns[:, ::-1]
    return padded.view(f"<i{room}")[:, 0] >> (8 * (room - width))


def _left(width: int, order: str, content: bytes) -> np.ndarray:
    """Convert samples whose most significant bit is the container's."""
    if width == 1:
        return (np.frombuffer(content, np.uint8).astype(np.float32) - 128) / 128
    values = _integers(content, width, order)
    return _scaled(values, 8 * width)


def _right(width: int, order: str, bits: int, content: bytes) -> np.ndarray:
    """Convert samples in the lowest `bits` of their containers, whatever is above."""
    values = _integers(content, width, order).astype(np.int64)
    if bits <= 8:
        return ((values & 0xFF) - 128).astype(np.float32) / 128
    return _scaled((values << (64 - bits)) >> (64 - bits), bits)


def _scaled(values: np.ndarray, bits: int) -> np.ndarray:
    if bits <= 32:
        return values.astype(np.float32) / np.float32(2.0 ** (bits - 1))
    return (values / 2.0 ** (bits - 1)).astype(np.float32)


def _is_floating(block: bytes, order: str) -> bool:
    """Return whether 32-bit samples are floating-point numbers: as integers they would never come near 0."""
    integers = np.abs(np.frombuffer(block, f"{order}i4").astype(np.int64))
    integers = integers[integers > 0]
    exponents = (np.frombuffer(block, f"{order}u4") >> 23) & 0xFF
    exponents = exponents[exponents > 0]
    return len(integers) >= 16 and integers.min() > 2**29 and exponents.min() > 80 and exponents.max() < 129


@functools.lru_cache(maxsize=1)
def a_law() -> np.ndarray:
    """Return the float32 value of each byte in A-law (ITU-T G.711, table 1a)."""
    code = np.arange(256) ^ 0x55
    mantissa, segment = (code & 0x0F) << 4, (code >> 4) & 7
    magnitude = np.where(segment == 0, mantissa + 8, (mantissa + 0x108) << np.maximum(segment - 1, 0))
    return (np.where(code & 0x80, magnitude, -magnitude) / 2**15).astype(np.float32)


@functools.lru_cache(maxsize=1)
def mu_law() -> np.ndarray:
    """Return the float32 value of each byte in mu-law (ITU-T G.711, table 2a)."""
    code = ~np.arange(256) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84
    return (np.where(code & 0x80, -magnitude, magnitude) / 2**15).astype(np.float32)
