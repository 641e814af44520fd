"""Random WAV headers and what a reader must make of them: the right samples, or one sentence."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from stages.core.audio import decode
from stages.core.project.errors import DataError
from stages.runtime.audio import read_wav
from stages.runtime.errors import RuntimeInputError
from stages.runtime.hearing import Hearing
from stages.runtime.wav import MAX_CHANNELS, RATES, a_law, mu_law
from tests.wavs import Pcm, chunk, extension, form, riff, sound

KEEP = Hearing(partial="keep")
OPEN = (0, 0x7FF00000, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFDB)


@dataclass(frozen=True)
class Case:
    """A file, and what must be read of it: samples, or nothing where it must be refused."""

    content: bytes
    expected: np.ndarray | None
    rate: int
    text: str = field(default="")
    damaged: bool = False


def cases() -> st.SearchStrategy[Case]:
    """Return good and odd files, and among five of them one whose header has damaged bytes."""
    return st.sampled_from([0, 1, 2, 3, 4]).flatmap(lambda kind: _written() if kind else _damaged())


@st.composite
def _damaged(draw: st.DrawFn) -> Case:
    """Return a file with random bytes in its header: nobody knows what is right, but no reader may fall over."""
    case = draw(_written())
    content = bytearray(case.content)
    for _ in range(draw(st.integers(1, 4))):
        content[draw(st.integers(0, min(len(content) - 1, 80)))] = draw(st.sampled_from([0, 1, 2, 16, 255, 128]))
    content = content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content
    return Case(bytes(content), None, case.rate, f"damaged: {case.text}", damaged=True)


@st.composite
def _written(draw: st.DrawFn) -> Case:
    """Return files with one or more oddities each; `expected` comes from the samples that were written."""
    channels = draw(st.sampled_from([1, 1, 2, 3, 6]))
    n = draw(st.integers(40, 400))
    x = sound(n, channels, draw(st.integers(0, 9)))
    rate = draw(st.sampled_from([1_000, 8_000, 11_025, 16_000, 44_101, 48_000, 192_000, 768_000, 0, 999, 1_000_003]))
    order = draw(st.sampled_from("<<<>"))
    encoding, bits, width, data, values = _sound(draw, x, order)
    extensible = order == "<" and draw(st.booleans()) and not (encoding == 1 and bits <= 8 * (width - 1))
    header = {"channels": channels, "rate": rate, "order": order}
    if extensible:
        more = extension(encoding, draw(st.sampled_from([0, bits])))
        fmt = form(0xFFFE, bits=8 * width, more=more, **header)  # type: ignore[arg-type]
    else:
        align = draw(st.sampled_from([channels * width] * 3 + [0])) if width == -(-bits // 8) else channels * width
        fmt = form(encoding, bits=bits, align=align, more=draw(st.sampled_from([b"", b"\0\0"])), **header)  # type: ignore[arg-type]

    before = b"".join(draw(st.lists(_metadata(order), max_size=2)))
    after = draw(
        st.sampled_from([b"", b"TAG" + b"x" * 125, b"junk behind the sound\n", _list(order), _list(order, 400)])
    )
    frame = channels * width
    kind = draw(st.sampled_from(["plain", "open", "long", "cut", "torn", "late format"]))
    fmt_chunk = chunk(b"fmt ", fmt, order=order)
    claim, body = len(data), data
    if kind == "open":
        claim, after = draw(st.sampled_from(OPEN)), b""
        if claim == 0 and values[0].any() is np.False_:
            claim = OPEN[1]
    elif kind == "long":
        claim, after = len(data) + draw(st.integers(1, 44)), b""
    elif kind == "cut":
        keep = draw(st.integers(1, n - 1))
        body, values, after = data[: keep * frame], values[:keep], b""
    elif kind == "torn" and frame > 1:
        body, claim = data[:-1], len(data) - 1
        values = values[: len(body) // frame]
    sounding = chunk(b"data", body, size=claim, order=order, pad=draw(st.booleans()) and kind == "plain")
    parts = [fmt_chunk, before, sounding]
    if kind == "late format":
        parts = [before, chunk(b"data", body, order=order), fmt_chunk]
    content = riff(*parts, kind=b"RIFX" if order == ">" else b"RIFF", size=draw(st.sampled_from([None, 0, 0xFFFFFFFF])))
    refused = not RATES[0] <= rate <= RATES[1] or channels > MAX_CHANNELS or not len(values)
    text = f"{kind}, encoding {encoding}, {bits} bits in {width}, {channels} channels, {rate} Hz, claims {claim}"
    return Case(content + after, None if refused else values, rate, text)


def _sound(draw: st.DrawFn, x: np.ndarray, order: str) -> tuple[int, int, int, bytes, np.ndarray]:
    """Return encoding, bits, width, the bytes, and the samples that they stand for."""
    encoding = draw(st.sampled_from([1, 1, 1, 1, 3, 6, 7]))
    if encoding == 3:
        width = draw(st.sampled_from([4, 8]))
        return 3, 8 * width, width, x.astype(f"{order}f{width}").tobytes(), x.astype(np.float32)
    if encoding != 1:
        codes = np.random.default_rng(len(x)).integers(0, 256, x.shape, dtype=np.uint8)
        return encoding, 8, 1, codes.tobytes(), (a_law() if encoding == 6 else mu_law())[codes]
    bits = draw(st.sampled_from([8, 12, 16, 18, 20, 24, 32, 40, 48, 64]))
    whole = -(-bits // 8)
    width = draw(st.integers(whole, 8)) if bits > 8 else 1
    least = width > whole and draw(st.booleans())
    pcm = Pcm(bits, width, left=not least, zero_above=least and draw(st.booleans()))
    return 1, bits, width, pcm.encode(x, order), pcm.values(x)


def _metadata(order: str) -> st.SearchStrategy[bytes]:
    names = st.sampled_from([b"LIST", b"JUNK", b"bext", b"fact", b"axml", b"cue "])
    return st.builds(
        lambda n, size, pad: chunk(n, b"a" * size, pad=pad, order=order), names, st.integers(0, 70), st.booleans()
    )


def _list(order: str, size: int | None = None) -> bytes:
    return chunk(b"LIST", b"INFO", size=size, order=order)


def violation(case: Case, path: Path) -> str | None:
    """Return what a reader did wrong with a case; None if all is right."""
    path.write_bytes(case.content)
    found: list[np.ndarray | None] = []
    readers = (("device", read_wav, RuntimeInputError), ("home", decode.decode, DataError))
    sentences = []
    for name, read, refusal in readers:
        try:
            samples, rate = read(path, KEEP)
        except refusal as error:  # type: ignore[misc]
            sentences.append(str(error))
            if "\n" in str(error) or not str(error).endswith(".") or str(path) not in str(error):
                return f"{name} says {error!r} of {case.text}"
            found.append(None)
            continue
        except Exception as error:  # noqa: BLE001  any other is what this looks for
            return f"{name} ends in {type(error).__name__}: {error} on {case.text}"
        if rate != case.rate and not case.damaged:
            return f"{name} reads {rate} Hz of {case.text}"
        found.append(samples)
    device, home = found
    if case.damaged and (device is None or home is None):  # another decoder may know what the header says now
        return None
    if device is None or home is None:
        if device is not home:
            return f"home and device differ on {case.text}: {sentences}"
        return None if case.expected is None else f"refused: {case.text}: {sentences}"
    if not np.array_equal(device, home):
        return f"home and device differ on {case.text}: {sentences}"
    if case.damaged:
        return None
    if case.expected is None:
        return f"read: {case.text}"
    expected = case.expected.mean(axis=1, dtype=np.float32)
    if device.shape != expected.shape or not np.allclose(device, expected, rtol=0, atol=1e-7):
        return f"wrong samples of {case.text}"
    return None
