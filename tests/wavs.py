"""WAV files of every flavour, described by their headers, and the samples that are in them."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 16_000
GUID = bytes.fromhex("000000001000800000aa00389b71")
W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")


def sound(n: int = 1600, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Return noise and a tone below half of full scale: (n, channels) float64."""
    rng = np.random.default_rng(seed)
    t = np.arange(n)[:, np.newaxis]
    phase = np.arange(channels)[np.newaxis]
    return 0.4 * np.sin(0.17 * t + phase) + 0.05 * rng.uniform(-1, 1, (n, channels))


@dataclass(frozen=True)
class Pcm:
    """How integers are stored.

    Attributes
    ----------
    bits, width : int
        Of a sample, and bytes of its container.
    left : bool
        Left-justified in its container, else in its least significant bits.
    zero_above : bool
        Without its sign in the bits above.
    """

    bits: int = 16
    width: int = 2
    left: bool = True
    zero_above: bool = False

    def integers(self, x: np.ndarray) -> np.ndarray:
        """Return the samples as integers of `bits`, signed."""
        return np.rint(np.clip(x, -1, 1 - 2.0 ** (1 - self.bits)) * 2.0 ** (self.bits - 1)).astype(np.int64)

    def values(self, x: np.ndarray) -> np.ndarray:
        """Return what a reader must give: float32."""
        return (self.integers(x) / 2.0 ** (self.bits - 1)).astype(np.float32)

    def encode(self, x: np.ndarray, order: str = "<") -> bytes:
        """Return the bytes."""
        values = self.integers(x)
        if self.bits <= 8:  # unsigned
            values = values + 2 ** (self.bits - 1)
        if self.zero_above:
            values = values & ((1 << self.bits) - 1)
        if self.left:
            values = values << (8 * self.width - self.bits)
        whole = values.astype("<i8").view(np.uint8).reshape(-1, 8)[:, : self.width]
        return (whole if order == "<" else whole[:, ::-1]).tobytes()


def chunk(name: bytes, body: bytes, *, size: int | None = None, pad: bool = True, order: str = "<") -> bytes:
    size = len(body) if size is None else size
    return name + struct.pack(order + "I", size) + body + (b"\0" if pad and len(body) % 2 else b"")


def form(
    encoding: int = 1,
    *,
    channels: int = 1,
    rate: int = RATE,
    bits: int = 16,
    align: int | None = None,
    order: str = "<",
    more: bytes = b"",
) -> bytes:
    align = channels * -(-bits // 8) if align is None else align
    fields = (encoding, channels, rate, rate * align & 0xFFFFFFFF, align, bits)
    return struct.pack(order + "HHIIHH", *fields) + more


def extension(encoding: int, valid: int = 0) -> bytes:
    """Return what an EXTENSIBLE format chunk has behind its first 16 bytes."""
    return struct.pack("<HHIH", 22, valid, 0, encoding) + GUID


def riff(*chunks: bytes, kind: bytes = b"RIFF", size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return kind + struct.pack(">I" if kind == b"RIFX" else "<I", len(body) if size is None else size) + body


def wav(x: np.ndarray, pcm: Pcm = Pcm(), **header: Any) -> bytes:
    """Return a plain file of PCM."""
    fields = {"channels": x.shape[1], "bits": pcm.bits, "align": x.shape[1] * pcm.width} | header
    return riff(chunk(b"fmt ", form(**fields)), chunk(b"data", pcm.encode(x)))


def encoded(path: Path, x: np.ndarray, rate: int, *, codec: str, container: str) -> None:
    """Write one channel, (n,), with an encoder of FFmpeg's."""
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"  # type: ignore[assignment]
        stream.bit_rate = 12_200 if rate == 8_000 else 128_000
        frame = av.AudioFrame.from_ndarray((x * 32767).astype(np.int16)[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = rate
        formats = av.Codec(codec, "w").audio_formats or []
        to_codec = av.AudioResampler(formats[0].name, "mono", rate)
        for converted in [*to_codec.resample(frame), *to_codec.resample(None)]:
            out.mux(stream.encode(converted))
        out.mux(stream.encode(None))
