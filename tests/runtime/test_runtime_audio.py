import math
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from librosa.util import pad_center

from stages.runtime.audio import fit_length, lowpass, read_wav, resample
from stages.runtime.errors import RuntimeInputError

RATES = [(44100, 22050), (48000, 22050), (8000, 22050), (16000, 22050), (22050, 16000), (96000, 8000), (22051, 22050)]


@pytest.mark.parametrize("rate_from, rate_to", RATES)
def test_resample_is_scipys_polyphase_filter_with_the_same_taps(
    rng: np.random.Generator, rate_from: int, rate_to: int
) -> None:
    samples = rng.uniform(-1, 1, 12345).astype(np.float32)
    divisor = math.gcd(rate_from, rate_to)
    up, down = rate_to // divisor, rate_from // divisor
    expected = scipy.signal.resample_poly(samples.astype(np.float64), up, down, window=lowpass(up, down))
    resampled = resample(samples, rate_from, rate_to)
    assert resampled.dtype == np.float32
    assert resampled.shape == expected.shape
    np.testing.assert_allclose(resampled, expected, atol=2e-6)


@pytest.mark.parametrize("rate_from, rate_to", RATES)
def test_a_sine_stays_the_same_sine(rate_from: int, rate_to: int) -> None:
    frequency = 0.8 * min(rate_from, rate_to) / 2

    def sine(rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * frequency * np.arange(rate // 2) / rate)

    margin = rate_to // 20
    resampled = resample(sine(rate_from), rate_from, rate_to)[: rate_to // 2]
    error = (resampled - sine(rate_to))[margin:-margin]
    assert np.abs(error).max() < 2e-4  # 74 dB down


def test_what_the_lower_rate_cannot_carry_is_gone() -> None:
    aliasing = np.sin(2 * np.pi * 12000 * np.arange(44100) / 44100)
    assert np.abs(resample(aliasing, 44100, 22050)[1000:-1000]).max() < 2e-4


def test_equal_rates_change_nothing(rng: np.random.Generator) -> None:
    samples = rng.standard_normal(1000).astype(np.float32)
    assert resample(samples, 22050, 22050) is samples


@given(n=st.integers(0, 300), rate_from=st.integers(1, 120), rate_to=st.integers(1, 120))
def test_resampled_length_and_linearity(n: int, rate_from: int, rate_to: int) -> None:
    samples = np.random.default_rng(n).uniform(-1, 1, n).astype(np.float32)
    resampled = resample(samples, rate_from, rate_to)
    assert len(resampled) == math.ceil(n * rate_to / rate_from)
    np.testing.assert_array_equal(resample(2 * samples, rate_from, rate_to), 2 * resampled)


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(RuntimeInputError, match="at least 1 Hz; got 0 and 22050"):
        resample(np.zeros(3), 0, 22050)


@pytest.mark.parametrize("n", [4, 5])
@pytest.mark.parametrize("length", [5, 8, 9])
def test_fit_length_in_the_middle_is_librosas_centre(n: int, length: int) -> None:
    samples = np.arange(1, n + 1, dtype=np.float32)
    np.testing.assert_array_equal(fit_length(samples, length, "middle"), pad_center(samples, size=length))
    whole = np.arange(1, length + 1, dtype=np.float32)
    cut = fit_length(whole, n, "middle")
    before, after = cut[0] - 1, length - cut[-1]
    np.testing.assert_array_equal(np.diff(cut), 1)
    assert len(cut) == n
    assert after - before in (0, 1)


def test_fit_length_cuts_and_pads_at_the_end() -> None:
    samples = np.array([1, 2, 3], np.float32)
    np.testing.assert_array_equal(fit_length(samples, 2), [1, 2])
    np.testing.assert_array_equal(fit_length(samples, 5), [1, 2, 3, 0, 0])
    np.testing.assert_array_equal(samples, [1, 2, 3])


@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_wav_is_read_as_libsndfile_reads_it(
    rng: np.random.Generator, tmp_path: Path, subtype: str, channels: int, container: str
) -> None:
    path = tmp_path / "noise.wav"
    soundfile.write(path, rng.uniform(-1, 1, (999, channels)), 11025, subtype=subtype, format=container)
    samples, rate = read_wav(path)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    assert rate == 11025
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, expected.mean(axis=1, dtype=np.float32))


def wav(encoding: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16, data: bytes = b"\0\0") -> bytes:
    form = struct.pack("<HHIIHH", encoding, channels, rate, 0, 0, bits)
    chunks = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def test_chunks_around_the_data_are_skipped(tmp_path: Path) -> None:
    content = wav(data=struct.pack("<hh", 16384, -32768))
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"  # an odd chunk is padded to an even length
    (tmp_path / "x.wav").write_bytes(content[:12] + odd + content[12:] + odd)
    np.testing.assert_array_equal(read_wav(tmp_path / "x.wav")[0], [0.5, -1.0])


@pytest.mark.parametrize(
    "content, match",
    [
        (b"hello, I am text", "not a WAV file"),
        (b"", "0 bytes"),
        (b"version https://git-lfs.github.com/spec/v1", "it is a Git LFS pointer"),
        (wav()[:-1], "holds no samples"),
        (wav(data=bytes(999))[:-500], "0.03[0-9]+ s of the 0.06[0-9]+ s"),
        (wav()[:36], "without a complete format and data chunk"),
        (
            wav()[:12] + b"LIST" + struct.pack("<I", 99),
            "'LIST' chunk claims 99 bytes",
        ),
        (wav()[:30], "without a complete format and data chunk"),
        (wav(data=b""), "holds no samples"),
        (wav(encoding=2, bits=4), "is a WAV file of Microsoft ADPCM"),
        (wav(channels=0), "must have 1 to 256 channels; got 0"),
        (wav(encoding=3, bits=32, data=struct.pack("<f", math.nan)), "not finite"),
    ],
)
def test_what_is_no_good_wav_file_is_refused(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(RuntimeInputError, match=match) as caught:
        read_wav(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeInputError, match=r"none\.wav .*\(No such file"):
        read_wav(tmp_path / "none.wav")
