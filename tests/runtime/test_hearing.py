import doctest
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.runtime import audio, hearing, wav
from stages.runtime.audio import clip, clip_start, read_part, read_wav, resample
from stages.runtime.errors import ExcludedError
from stages.runtime.hearing import Hearing, Levels, Listener, is_silent, overload_scale, stream_mono
from tests.wavs import RATE, chunk, form, riff, sound
from tests.wavs import wav as plain


def written(path: Path, x: np.ndarray) -> Path:
    (path / "x.wav").write_bytes(
        riff(chunk(b"fmt ", form(3, channels=x.shape[1], bits=32)), chunk(b"data", x.astype("<f4").tobytes()))
    )
    return path / "x.wav"


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_the_channel_that_is_heard(tmp_path: Path, channels: int) -> None:
    x = np.float32(0.5) * sound(channels=channels).astype(np.float32) + np.float32(0.3) * (np.arange(channels) == 0)
    loudest = channels - 1
    x[:, loudest] *= 1.5
    path = written(tmp_path, x)
    expected = {
        "mean": x.mean(axis=1, dtype=np.float32),
        "left": x[:, 0],
        "right": x[:, min(1, channels - 1)],
        "loudest": x[:, loudest],  # a constant on another channel is no sound
    }
    for channel, samples in expected.items():
        np.testing.assert_array_equal(read_wav(path, Hearing(channel=channel))[0], samples)
        mono = stream_mono(channel, channels)
        streamed = np.concatenate([mono(x[i : i + 300]) for i in range(0, len(x), 300)])
        np.testing.assert_array_equal(streamed, samples)


def test_opposed_channels_are_silent_together_and_not_alone(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(plain(np.concatenate([sound(), -sound()], axis=1)))
    silent = {c: is_silent(read_wav(tmp_path / "x.wav", Hearing(channel=c))[0], -60) for c in hearing.CHANNELS}
    assert silent == {"mean": True, "left": False, "right": False, "loudest": False}


@pytest.mark.parametrize("constant", [0.0, 0.3, -1.0])
def test_silence_is_judged_without_the_mean(constant: float) -> None:
    tone = np.sin(np.arange(8000) / 3).astype(np.float32)
    for peak, silent in ((0.0, True), (0.0009, True), (0.0011, False)):
        assert is_silent(np.float32(constant) + np.float32(peak) * tone, -60.0) is silent
    assert is_silent(np.zeros(0, np.float32), -60.0)


def test_levels_are_those_of_the_whole() -> None:
    x = sound(1000, 3).astype(np.float32)
    levels = Levels(3)
    for i in range(0, 1000, 77):
        levels.add(x[i : i + 77])
    np.testing.assert_allclose(levels.mean, x.mean(axis=0), atol=1e-7)
    np.testing.assert_allclose(levels.energy, ((x - x.mean(axis=0)) ** 2).sum(axis=0), rtol=1e-4)
    assert levels.peak == np.abs(x).max()


@pytest.mark.parametrize(
    ("peak", "scale"),
    [(1.12, 1), (1.2, 1.2), (32, 32), (100, 2**15), (32768, 2**15), (36_000, 2**15), (8e6, 2**23), (2e9, 2**31)],
)
def test_what_exceeds_full_scale_is_divided_by_its_own(tmp_path: Path, peak: float, scale: float) -> None:
    x = sound().astype(np.float32)
    x *= np.float32(peak) / np.abs(x).max()
    assert overload_scale(float(np.abs(x).max())) == pytest.approx(scale)
    samples, _ = read_wav(written(tmp_path, x), Hearing(overload="scale"))
    np.testing.assert_allclose(samples, x[:, 0] / scale, rtol=1e-6)
    if scale > 1:
        with pytest.raises(ExcludedError, match="exceeds full scale by"):
            read_wav(tmp_path / "x.wav")


def test_nobody_knows_the_scale_of_what_is_beyond_32_bits(tmp_path: Path) -> None:
    with pytest.raises(ExcludedError, match="exceeds full scale by 2"):
        read_wav(written(tmp_path, sound() * 1e12), Hearing(overload="scale"))


def test_a_clip_is_placed_where_the_sound_is() -> None:
    silence, burst = np.zeros(2 * RATE, np.float32), sound(RATE // 2)[:, 0].astype(np.float32)
    samples = np.concatenate([silence, burst, np.zeros(RATE // 2, np.float32)])
    loudest = Hearing(place="loudest")
    assert is_silent(clip(samples, RATE), -60)
    start = clip_start(samples, RATE, hearing=loudest)
    assert start <= 2 * RATE
    assert start + RATE >= 2.5 * RATE
    assert np.abs(clip(samples, RATE, hearing=loudest)).max() == np.abs(burst).max()
    np.testing.assert_array_equal(clip(burst, RATE, hearing=loudest), clip(burst, RATE))  # all of it is heard anyway
    assert clip_start(samples + np.float32(0.5), RATE, hearing=loudest) == start  # a constant is no sound


@pytest.mark.parametrize("align", ["start", "middle"])
@pytest.mark.parametrize("n", [0, 1, 7, 800, 1599, 1600, 4000])
def test_a_short_recording_is_repeated(n: int, align: str) -> None:
    x, repeat = sound(n)[:, 0].astype(np.float32), Hearing(short="repeat")
    found = clip(x, 1600, align, repeat)
    if n >= 1600 or not n:
        np.testing.assert_array_equal(found, clip(x, 1600, align))
    else:
        np.testing.assert_array_equal(found, x[np.arange(1600) % n])
    assert found.dtype == np.float32


@pytest.mark.parametrize("n", [700, 1600, 4000])
def test_the_mean_of_what_is_heard_is_removed_before_padding(n: int) -> None:
    x = sound(n)[:, 0].astype(np.float32) + np.float32(0.3)
    found = clip(x, 1600, "middle", Hearing(remove_dc=True))
    start = max(0, (n - 1600) // 2)
    part = x[start : start + 1600]
    pad = (1600 - len(part)) // 2
    np.testing.assert_allclose(found[pad : pad + len(part)], part - part.mean(), atol=1e-6)
    assert not found[:pad].any()
    np.testing.assert_array_equal(clip(x, 1600, "middle"), audio.fit_length(x, 1600, "middle"))


@pytest.mark.parametrize(
    "rates", [(48_000, 16_000), (44_100, 16_000), (44_101, 16_000), (8_000, 22_050), (16_000, 16_000)]
)
def test_a_part_is_that_part_of_the_whole(tmp_path: Path, rates: tuple[int, int]) -> None:
    x = sound(rates[0] * 2)
    (tmp_path / "x.wav").write_bytes(plain(x, rate=rates[0]))
    listener = Listener(wav.open_wav(tmp_path / "x.wav"), Hearing())
    whole = resample(read_wav(tmp_path / "x.wav")[0], *rates)
    for start, stop in (
        (0, 100),
        (rates[1] // 3, rates[1]),
        (len(whole) - 50, len(whole)),
        (len(whole) - 5, len(whole) + 9),
    ):
        np.testing.assert_allclose(read_part(listener, rates[1], start, stop), whole[start:stop], rtol=0, atol=1e-6)


@pytest.mark.parametrize("module", [hearing, wav, audio])
def test_the_examples_run(module: object) -> None:
    assert not doctest.testmod(module).failed  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=40), st.integers(-120, -50), st.integers(-10, 10))
def test_silence_is_the_peak_about_the_mean_however_it_is_found(micros: list[int], limit: int, offset: int) -> None:
    heard = np.array(micros, np.float32) / np.float32(1e6) + np.float32(offset / 10)
    levels = Levels(1)
    levels.add(heard[:, np.newaxis])
    assert is_silent(heard, limit) == (levels.peak_about_mean < 10 ** (limit / 20))
