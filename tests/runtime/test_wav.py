"""The device's reader, flavour by flavour; the samples that were written, libsndfile and FFmpeg are the oracles."""

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from stages.runtime import wav
from stages.runtime.audio import read_wav
from stages.runtime.errors import RuntimeInputError
from stages.runtime.hearing import Hearing
from tests.wavs import GUID, RATE, Pcm, chunk, encoded, extension, form, riff, sound
from tests.wavs import wav as plain

X = sound()
PCM = Pcm().encode(X)
FMT, DATA = chunk(b"fmt ", form()), chunk(b"data", PCM)
KEEP = Hearing(partial="keep")

READ: dict[str, bytes] = {
    "plain": riff(FMT, DATA),
    "streamed by ffmpeg": riff(FMT, chunk(b"LIST", b"INFO"), chunk(b"data", PCM, size=0xFFFFFFFF), size=0xFFFFFFFF),
    "streamed by sox": riff(FMT, chunk(b"data", PCM, size=0x7FFFF000), size=0x7FFFF024),
    "streamed by arecord": riff(FMT, chunk(b"data", PCM, size=0x80000000), size=0x80000024),
    "of a recorder that lost power": riff(FMT, chunk(b"data", PCM, size=0), size=0),
    "data counts the header": riff(FMT, chunk(b"data", PCM, size=len(PCM) + 44)),
    "data 16 bytes too long": riff(FMT, chunk(b"data", PCM, size=len(PCM) + 16)),
    "wrong outer size": riff(FMT, DATA, size=100),
    "chunks before": riff(chunk(b"JUNK", bytes(28)), chunk(b"bext", bytes(602)), FMT, DATA),
    "odd chunk, padded": riff(FMT, chunk(b"axml", b"a" * 495), DATA),
    "odd chunk, unpadded": riff(FMT, chunk(b"axml", b"a" * 495, pad=False), DATA),
    "format behind the data": riff(DATA, FMT),
    "list behind": riff(FMT, DATA, chunk(b"LIST", b"INFO")),
    "list behind claims too much": riff(FMT, DATA, chunk(b"LIST", b"INFO", size=400)),
    "ID3v1 behind": riff(FMT, DATA) + b"TAG" + b"Title".ljust(125, b"\0"),
    "text behind": riff(FMT, DATA) + b"some trailing text\n",
    "ID3v2 before": b"ID3\x03\0\0\0\0\x01\x0a" + bytes(138) + riff(FMT, DATA),
    "bits not given": riff(chunk(b"fmt ", form(bits=0, align=2)), DATA),
    "block align not given": riff(chunk(b"fmt ", form(align=0)), DATA),
    "extended by nothing": riff(chunk(b"fmt ", form(more=b"\0\0")), DATA),
    "EXTENSIBLE": riff(chunk(b"fmt ", form(0xFFFE, more=extension(1, 16))), DATA),
    "RF64": riff(
        chunk(b"ds64", struct.pack("<QQQI", 0, len(PCM), 0, 0)), FMT, chunk(b"data", PCM, size=0xFFFFFFFF), kind=b"RF64"
    ),
    "RF64 that is open": riff(chunk(b"ds64", bytes(28)), FMT, chunk(b"data", PCM, size=0xFFFFFFFF), kind=b"RF64"),
    "RIFX": riff(
        chunk(b"fmt ", form(order=">"), order=">"), chunk(b"data", Pcm().encode(X, ">"), order=">"), kind=b"RIFX"
    ),
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        (tmp_path / "x.wav").write_bytes(content)
        return tmp_path / "x.wav"

    return write


def assert_hears(path: Path, expected: np.ndarray, *, atol: float = 0) -> None:
    samples, rate = read_wav(path)
    assert (rate, str(samples.dtype), samples.shape) == (RATE, "float32", (len(expected),))
    np.testing.assert_allclose(samples, expected.mean(axis=1, dtype=np.float32), rtol=0, atol=atol)


@pytest.mark.parametrize("flavour", READ)
def test_everything_that_was_recorded_is_read(write: Callable[[bytes], Path], flavour: str) -> None:
    assert_hears(write(READ[flavour]), Pcm().values(X))


@pytest.mark.parametrize("flavour", [name for name in READ if "streamed" in name or "open" in name or "power" in name])
def test_an_open_header_is_told(write: Callable[[bytes], Path], flavour: str) -> None:
    (note,) = wav.open_wav(write(READ[flavour])).notes
    assert "open header" in note


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    "pcm",
    [
        *(Pcm(8 * width, width) for width in range(1, 9)),
        Pcm(12, 2),
        Pcm(20, 3),
        Pcm(24, 4, left=False),  # arecord -f S24_LE
        Pcm(24, 4, left=False, zero_above=True),  # the same from drivers that leave the fourth byte 0
        Pcm(24, 4),
        Pcm(20, 4, left=False),  # arecord -f S20_LE
        Pcm(18, 4, left=False),
        Pcm(16, 4, left=False),
        Pcm(16, 4),
        Pcm(16, 3),
        Pcm(32, 8, left=False),
    ],
)
def test_any_width_in_any_container(write: Callable[[bytes], Path], pcm: Pcm, channels: int) -> None:
    x = sound(channels=channels)
    assert_hears(write(plain(x, pcm)), pcm.values(x), atol=1e-7)


def test_sixteen_bits_in_the_lower_three_of_four_bytes_are_no_whisper(write: Callable[[bytes], Path]) -> None:
    as_24 = Pcm(16, 2).values(X).astype(np.float64)  # every sample's lowest byte of 24 bits is 0
    assert_hears(write(plain(as_24, Pcm(24, 4, left=False))), as_24.astype(np.float32))


@pytest.mark.parametrize("valid", [0, 20, 24, 32])
def test_extensible_is_left_justified_whatever_its_valid_bits(write: Callable[[bytes], Path], valid: int) -> None:
    fmt = chunk(b"fmt ", form(0xFFFE, bits=32, more=extension(1, valid)))
    assert_hears(write(riff(fmt, chunk(b"data", Pcm(24, 4).encode(X)))), Pcm(24, 4).values(X))


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "W64"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW"])
def test_the_samples_are_libsndfile_s(tmp_path: Path, subtype: str, channels: int, container: str) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, sound(channels=channels), RATE, subtype=subtype, format=container)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    np.testing.assert_array_equal(np.concatenate(list(wav.open_wav(path).blocks())), expected)


@pytest.mark.parametrize(
    "codec", ["pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_alaw", "pcm_mulaw", "pcm_u8"]
)
def test_the_samples_are_ffmpeg_s(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "x.wav"
    encoded(path, X[:, 0], RATE, codec=codec, container="wav")
    with av.open(str(path)) as container:
        to_float = av.AudioResampler("fltp", "mono", RATE)
        frames = [piece for frame in container.decode(audio=0) for piece in to_float.resample(frame)]
    expected = np.concatenate([frame.to_ndarray()[0] for frame in [*frames, *to_float.resample(None)]])
    np.testing.assert_allclose(read_wav(path)[0], expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("law", [6, 7])
def test_telephones_codes_are_those_of_libsndfile(write: Callable[[bytes], Path], law: int) -> None:
    path = write(riff(chunk(b"fmt ", form(law, bits=8, more=b"\0\0")), chunk(b"data", bytes(range(256)))))
    expected, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_array_equal(wav.a_law() if law == 6 else wav.mu_law(), expected)
    np.testing.assert_array_equal(read_wav(path)[0], expected)


REFUSED: dict[str, tuple[bytes, str]] = {
    "rate of 1 Hz": (plain(X, rate=1), r"sample rate of 1000 to 768000 Hz; got 1\."),
    "rate of 3 GHz": (plain(X, rate=3_000_000_000), "768000 Hz; got 3000000000"),
    "rate of a typing error": (plain(X, rate=1_000_003), "got 1000003"),
    "5,000 channels": (plain(X, channels=5000, align=10000), "1 to 256 channels; got 5000"),
    "no room for the bits": (plain(X, bits=24, align=2), "24 bits do not fit into 2 bytes"),
    "a frame that does not divide": (plain(X, channels=2, align=3), "3 bytes do not divide among 2 channels"),
    "noise in the spare byte": (
        plain(np.random.default_rng(0).uniform(-1, 1, (500, 1)), Pcm(32, 4), bits=24),
        "its samples of 24 bits fill 4 bytes",
    ),
    "floats that say PCM": (
        riff(chunk(b"fmt ", form(bits=32)), chunk(b"data", X.astype("<f4").tobytes())),
        "it says PCM, and its samples are floating-point numbers",
    ),
    "half floats": (plain(X, encoding=3), "must have 32 or 64 bits; got 16"),
    "EXTENSIBLE without a format": (
        riff(chunk(b"fmt ", form(0xFFFE, more=b"\0\0")), DATA),
        "does not say how it is enc",
    ),
    "EXTENSIBLE of a vendor": (
        riff(chunk(b"fmt ", form(0xFFFE, more=extension(1)[:-14] + GUID[::-1])), DATA),
        "does not say how it is encoded",
    ),
    "nothing in it": (riff(FMT, chunk(b"data", b"")), "holds no samples"),
    "nothing but metadata behind": (riff(FMT, chunk(b"data", b""), chunk(b"LIST", b"INFO")), "holds no samples"),
    "cut to 0.01 s": (riff(FMT, DATA)[: 44 + 320], r"in part only: 0\.01 s of the 0\.1 s that it claims or holds"),
    "two in one file": (riff(FMT, DATA) * 2, r"in part only: 0\.1 s of the 0\.2"),
    "two data chunks": (riff(FMT, DATA, DATA), r"in part only: 0\.1 s of the 0\.2 s"),
    "not finite": (
        riff(chunk(b"fmt ", form(3, bits=32)), chunk(b"data", struct.pack("<ff", 1, np.inf))),
        "not finite numbers",
    ),
    "beyond float32": (
        riff(chunk(b"fmt ", form(3, bits=64)), chunk(b"data", struct.pack("<dd", 0.1, 1e300))),
        "not finite numbers, the first at 6.25e-05 s",
    ),
    "integers as floats": (
        riff(chunk(b"fmt ", form(3, bits=32)), chunk(b"data", Pcm().integers(X).astype("<f4").tobytes())),
        r"exceeds full scale by 83\.\d dB",
    ),
}


@pytest.mark.parametrize("flavour", REFUSED)
def test_what_cannot_be_right_is_refused_in_one_sentence(write: Callable[[bytes], Path], flavour: str) -> None:
    content, reason = REFUSED[flavour]
    path = write(content)
    with pytest.raises(RuntimeInputError, match=reason) as caught:
        read_wav(path)
    assert str(caught.value).startswith(f"{path} ")
    assert "\n" not in str(caught.value)


def test_a_compressed_file_names_its_encoding(tmp_path: Path) -> None:
    for subtype, name in (("IMA_ADPCM", "IMA ADPCM"), ("MS_ADPCM", "Microsoft ADPCM"), ("GSM610", "GSM 6.10")):
        soundfile.write(tmp_path / "x.wav", X, RATE, subtype=subtype)
        with pytest.raises(wav.CompressedWavError, match=f"WAV file of {name} .*PCM"):
            read_wav(tmp_path / "x.wav")


def test_what_is_there_of_a_file_that_was_cut_can_be_kept(write: Callable[[bytes], Path]) -> None:
    samples, _ = read_wav(write(riff(FMT, DATA)[: 44 + 320]), KEEP)
    np.testing.assert_array_equal(samples, Pcm().values(X)[:160, 0])


def test_a_file_beyond_4_gib_is_read_beyond_them(tmp_path: Path) -> None:
    path, n_bytes = tmp_path / "long.wav", 2**32 + 64_000
    with path.open("wb") as stream:  # sparse
        stream.write(riff(FMT, chunk(b"data", b"", size=n_bytes % 2**32)))
        stream.truncate(44 + n_bytes)
        stream.seek(44 + n_bytes - 2)
        stream.write(b"\0\x40")
    found = wav.open_wav(path)
    assert found.n_frames == n_bytes // 2
    assert np.concatenate(list(found.blocks(found.n_frames - 3)))[-1] == 0.5


def test_any_part_of_a_file_is_that_part(write: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wav, "BLOCK_BYTES", 1000)
    x = sound(channels=3)
    found = wav.open_wav(write(plain(x, Pcm(24, 3))))
    whole = Pcm(24, 3).values(x)
    for start, stop in ((0, None), (7, 1000), (1599, 1600), (1600, None)):
        blocks = list(found.blocks(start, stop))
        assert all(block.nbytes <= 4000 / 3 for block in blocks)
        np.testing.assert_array_equal(np.concatenate([np.zeros((0, 3), np.float32), *blocks]), whole[start:stop])


def test_a_folder_and_a_pipe_are_no_wav_files(tmp_path: Path) -> None:
    with pytest.raises(RuntimeInputError, match="is not a regular file"):
        read_wav(tmp_path)
