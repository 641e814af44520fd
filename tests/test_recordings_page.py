"""The table of `docs/recordings.md`, row by row: what home and device make of each input."""

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from stages.core.audio import decode
from stages.core.project.errors import DataError
from stages.runtime.audio import clip, read_wav, wav_files
from stages.runtime.errors import RuntimeInputError
from stages.runtime.hearing import Hearing, Listener, is_silent
from stages.runtime.wav import open_wav
from tests.wavs import RATE, Pcm, chunk, encoded, form, riff, sound
from tests.wavs import wav as plain

PAGE = (Path(__file__).parents[1] / "docs" / "recordings.md").read_text()
X = sound(2 * RATE)
PCM = Pcm().encode(X)
FMT, DATA = chunk(b"fmt ", form()), chunk(b"data", PCM)
Write = Callable[[Path], None]


class Case(NamedTuple):
    """A file's name and content; the samples that both must hear, or a part of home's and of the device's sentence."""

    name: str
    content: bytes | Write
    samples: np.ndarray | None = None
    home: str = ""
    device: str = ""
    note: str = ""
    atol: float = 1e-6
    rate: int = RATE


def soundfile_of(samples: np.ndarray, **options: str) -> Write:
    return lambda path: soundfile.write(path, samples, RATE, **options)


def read(content: bytes | Write, *, expected: np.ndarray | None = None, note: str = "", atol: float = 1e-6) -> Case:
    return Case("x.wav", content, Pcm().values(X)[:, 0] if expected is None else expected, note=note, atol=atol)


def both(content: bytes, reason: str) -> Case:
    return Case("x.wav", content, home=reason, device=reason)


def home_only(
    name: str, content: bytes | Write, *, note: str = "", device: str = "is not a WAV file", atol: float = 1e-4
) -> Case:
    return Case(
        name, content, X[:, 0], device=device, note=note, atol=9 if "ADPCM" in device or "GSM" in device else atol
    )


def joined(form: str) -> Write:
    def write(path: Path) -> None:
        one = path.with_name(f"one{path.suffix}")
        soundfile.write(one, X, RATE, format=form)
        path.write_bytes(one.read_bytes() * 2)

    return write


def damaged(form: str, damage: Callable[[bytearray], bytes]) -> Write:
    def write(path: Path) -> None:
        soundfile.write(path, X, RATE, format=form)
        path.write_bytes(damage(bytearray(path.read_bytes())))

    return write


def total_samples(n: int) -> Callable[[bytearray], bytes]:
    def damage(flac: bytearray) -> bytes:
        flac[18:26] = (int.from_bytes(flac[18:26], "big") >> 36 << 36 | n).to_bytes(8, "big")
        return bytes(flac)

    return damage


def years_of_frames(mp3: bytearray) -> bytes:
    at = max(mp3.find(b"Xing"), mp3.find(b"Info")) + 8
    mp3[at : at + 4] = struct.pack(">I", 2**31)
    return bytes(mp3)


def by_ffmpeg(codec: str, container: str, rate: int = RATE) -> Write:
    return lambda path: encoded(path, X[:, 0], rate, codec=codec, container=container)


def floats(values: np.ndarray, kind: str = "<f4") -> bytes:
    return riff(
        chunk(b"fmt ", form(3, bits=8 * np.dtype(kind).itemsize)), chunk(b"data", values.astype(kind).tobytes())
    )


def sized(size: int) -> bytes:
    return riff(FMT, chunk(b"data", PCM, size=size), size=(size + 36) & 0xFFFFFFFF)


LENGTHS = r"in part only: [0-9.]+ s of the [0-9.]+ s that it claims or holds"
OPEN = "open header"
RIFX = riff(chunk(b"fmt ", form(order=">"), order=">"), chunk(b"data", Pcm().encode(X, ">"), order=">"), kind=b"RIFX")

READ_OR_REFUSED: dict[str, list[Case]] = {
    "24 bits in the lower 3 of 4 bytes (`arecord -f S24_LE`)": [
        read(plain(X, pcm), expected=pcm.values(X)[:, 0])
        for pcm in (Pcm(24, 4, left=False), Pcm(24, 4, left=False, zero_above=True))
    ],
    "24 bits in the upper 3 of 4 bytes": [read(plain(X, Pcm(24, 4)), expected=Pcm(24, 4).values(X)[:, 0])],
    "12 bits in 16, left-justified": [read(plain(X, Pcm(12, 2)), expected=Pcm(12, 2).values(X)[:, 0])],
    "20 bits in 24, left-justified": [read(plain(X, Pcm(20, 3)), expected=Pcm(20, 3).values(X)[:, 0])],
    "data size 0xFFFFFFFF (ffmpeg into a pipe)": [read(sized(0xFFFFFFFF), note=OPEN)],
    "data size 0x7FFFF000 (sox into a pipe)": [read(sized(0x7FFFF000), note=OPEN)],
    "data size 0x80000000 (arecord into a pipe)": [read(sized(0x80000000), note=OPEN)],
    "data size 16 bytes too large": [read(sized(len(PCM) + 16), note="claims 16 bytes of sound more than it holds")],
    "data size 0 with sound behind it (power was lost)": [read(sized(0), note=OPEN)],
    "ID3v1, text or a damaged LIST behind complete sound": [
        read(riff(FMT, DATA) + b"TAG" + bytes(125)),
        read(riff(FMT, DATA) + b"some text"),
        read(riff(FMT, DATA, chunk(b"LIST", b"INFO", size=400))),
    ],
    "odd chunk without padding": [read(riff(FMT, chunk(b"axml", b"a" * 495, pad=False), DATA))],
    "format chunk behind the sound": [read(riff(DATA, FMT))],
    "RF64, W64, RIFX": [
        read(soundfile_of(X, format="RF64", subtype="FLOAT"), expected=X[:, 0].astype(np.float32)),
        read(soundfile_of(X, format="W64", subtype="FLOAT"), expected=X[:, 0].astype(np.float32)),
        read(RIFX),
    ],
    "A-law, mu-law": [
        read(soundfile_of(X, format="WAV", subtype=law), expected=X[:, 0], atol=0.02) for law in ("ALAW", "ULAW")
    ],
    "IMA ADPCM, Microsoft ADPCM, GSM 6.10 in WAV": [
        home_only("x.wav", soundfile_of(X, subtype=subtype), device=f"is a WAV file of {name}")
        for subtype, name in (("IMA_ADPCM", "IMA ADPCM"), ("MS_ADPCM", "Microsoft ADPCM"), ("GSM610", "GSM 6.10"))
    ],
    "FLAC named `.wav`": [home_only("x.wav", soundfile_of(X, format="FLAC"), device="it is a FLAC file")],
    "cut to a tenth": [both(riff(FMT, DATA)[: 44 + len(PCM) // 10], LENGTHS)],
    "two WAV files joined, or a second data chunk": [
        both(riff(FMT, DATA) * 2, LENGTHS),
        both(riff(FMT, DATA, DATA), LENGTHS),
    ],
    "two MP3, Ogg or FLAC files joined": [
        Case(
            f"x.{kind.lower()}",
            joined(kind),
            np.tile(X[:, 0], 2),
            device="is not a WAV file",
            note="joined files",
            atol=9,
        )
        for kind in ("MP3", "OGG", "FLAC")
    ],
    "FLAC with total samples 0 or 2^36 - 1": [
        home_only("x.flac", damaged("FLAC", total_samples(n))) for n in (0, 2**36 - 1)
    ],
    "MP3 whose Xing header claims 2^31 frames": [
        Case("x.mp3", damaged("MP3", years_of_frames), X[:, 0], device="is not a WAV file", note="claims ", atol=9)
    ],
    "MP3 or FLAC cut in the middle": [
        Case(f"x.{kind.lower()}", damaged(kind, lambda b: bytes(b[: len(b) // 2])), home=LENGTHS, device="is not a WAV")
        for kind in ("MP3", "FLAC")
    ],
    "AMR, WMA, AC-3, G.722": [
        Case(name, by_ffmpeg(codec, container, rate), X[:, 0], device="is not a WAV file", atol=9, rate=rate)
        for name, codec, container, rate in (
            ("x.amr", "libopencore_amrnb", "amr", 8_000),
            ("x.wma", "wmav2", "asf", 16_000),
            ("x.ac3", "ac3", "ac3", 48_000),
            ("x.g722", "g722", "g722", 16_000),
        )
    ],
    "raw samples, a web page, a Git LFS pointer, 0 bytes": [
        Case("x.raw", PCM, home="samples without a header", device="is not a WAV file"),
        Case("x.wav", b"<html>", home="a web page", device="it is a web page"),
        Case(
            "x.wav", b"version https://git-lfs.github.com", home="a Git LFS pointer", device="it is a Git LFS pointer"
        ),
        Case("x.wav", b"", home="a file of 0 bytes", device="it is a file of 0 bytes"),
    ],
    "MP3, MP4, CAF, AU named `.wav`": [
        *(
            home_only("x.wav", soundfile_of(X, format=kind), device=f"it is an? {name} file", atol=0.2)
            for kind, name in (("MP3", "MP3"), ("CAF", "CAF"), ("AU", "AU"))
        ),
        Case("x.wav", by_ffmpeg("aac", "mp4"), X[:, 0], device="it is an MP4 file", atol=9),
    ],
    "AppleDouble, zip, PDF, JSON, zeros named `.wav`": [
        both(content, f"it is {name}|\\({name}")
        for content, name in (
            (b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(4000), "what macOS keeps beside a file"),
            (b"PK\x03\x04" + bytes(100), "a zip archive"),
            (b"%PDF-1.4\n" + bytes(100), "a PDF document"),
            (b'{"error": "not found"}', "JSON text"),
            (bytes(5000), "zeros without a header"),
        )
    ],
    "sample rate 1, 999, 768,001, 10,000,000 or 3,000,000,000 Hz": [
        both(plain(X, rate=rate), f"a sample rate of 1000 to 768000 Hz; got {rate}")
        for rate in (1, 999, 768_001, 1_000_003, 10_000_000, 3_000_000_000)
    ],
    "5,000 channels": [both(plain(X, channels=5000, align=10_000), "must have 1 to 256 channels; got 5000")],
    "floating point that holds integers": [both(floats(X * 32767), r"exceeds full scale by 83\.\d dB")],
    "not finite, or beyond float32": [
        both(
            floats(np.where(np.arange(len(X)) == 800, value, X[:, 0]), "<f8"), "not finite numbers, the first at 0.05 s"
        )
        for value in (np.nan, np.inf, 1e300)
    ],
}


@pytest.mark.parametrize("row", READ_OR_REFUSED)
def test_home_and_device_read_the_same_or_say_why_not(tmp_path: Path, row: str) -> None:
    for number, case in enumerate(READ_OR_REFUSED[row]):
        path = tmp_path / str(number) / case.name
        path.parent.mkdir()
        if isinstance(case.content, bytes):
            path.write_bytes(case.content)
        else:
            case.content(path)
        heard: dict[str, np.ndarray] = {}
        for name, reader, reason, refusal in (
            ("home", decode.decode, case.home, DataError),
            ("device", read_wav, case.device, RuntimeInputError),
        ):
            if reason:
                with pytest.raises(refusal, match=reason) as caught:
                    reader(path)
                assert re.fullmatch(rf"{re.escape(str(path))} [^\n]+\.", str(caught.value))
            else:
                heard[name] = reader(path)[0]
        if case.samples is None:
            assert not heard
            continue
        if len(heard) == 2:
            np.testing.assert_array_equal(heard["home"], heard["device"])
        seconds = len(heard["home"]) / decode.decode(path)[1]
        assert seconds == pytest.approx(len(case.samples) / case.rate, abs=0.25 if case.atol > 1 else 0.02)
        n = min(len(case.samples), len(heard["home"]))
        np.testing.assert_allclose(heard["home"][:n], case.samples[:n], rtol=0, atol=case.atol)
        assert case.note in " ".join(decode.hear(path).notes)
        if "device" in heard:
            assert case.note in " ".join(open_wav(path).notes)


def test_constant_0_3(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(plain(np.full((RATE, 1), 0.3)))
    assert decode.hear(tmp_path / "x.wav").peak < 1e-3
    assert is_silent(read_wav(tmp_path / "x.wav")[0], -60)


def test_right_is_minus_left(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(plain(np.concatenate([X, -X], axis=1)))
    for channel, silent in (("mean", True), ("left", False), ("right", False), ("loudest", False)):
        assert (decode.hear(tmp_path / "x.wav", Hearing(channel=channel)).peak < 1e-3) is silent
        assert is_silent(read_wav(tmp_path / "x.wav", Hearing(channel=channel))[0], -60) is silent


def test_silence_as_long_as_the_clip_before_the_sound(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(plain(np.concatenate([np.zeros((2 * RATE, 1)), X])))
    for place, silent in (("aligned", True), ("loudest", False)):
        for samples in (decode.decode(tmp_path / "x.wav")[0], read_wav(tmp_path / "x.wav")[0]):
            assert is_silent(clip(samples, RATE, hearing=Hearing(place=place)), -60) is silent


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.wav")
    path.write_bytes(plain(X))
    np.testing.assert_array_equal(decode.decode(path)[0], read_wav(path)[0])


def test_what_systems_leave_behind(tmp_path: Path) -> None:
    for name in ("x.wav", "._x.wav", ".DS_Store", "Thumbs.db", "__MACOSX/x.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(plain(X))
    assert list(wav_files([tmp_path])) == [tmp_path / "x.wav"]


def test_an_hour_in_blocks_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "hour.wav"
    with path.open("wb") as stream:  # sparse
        stream.write(riff(chunk(b"fmt ", form(channels=2, rate=48_000)), chunk(b"data", b"", size=4 * 48_000 * 3600)))
        stream.truncate(44 + 4 * 48_000 * 3600)
    listener = Listener(open_wav(path), Hearing())
    largest = max(block.nbytes for _, block in zip(range(50), listener.blocks(), strict=False))
    assert largest <= 2**21


def test_the_table_has_these_rows_and_those_that_other_tests_hold() -> None:
    table = PAGE.partition("## What becomes of odd files")[2]
    rows = re.findall(r"^\| (?!Input|---)(.+?) \|", table, re.MULTILINE)
    elsewhere = {  # tests above, tests/core/audio/test_apart.py and tests/runtime/test_hidden.py
        "constant 0.3",
        "right = -left",
        "silence as long as the clip before the sound",
        "a decoder that crashes or hangs",
        "a name that is not UTF-8",
        "`._x.wav`, `.DS_Store`, `Thumbs.db`, `__MACOSX`",
    }
    assert set(rows) == set(READ_OR_REFUSED) | elsewhere
    assert len(rows) == len(set(rows))
