"""Files that are not plain WAV: all of their sound is heard, or a reason is told."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages.core.audio import decode
from stages.core.audio.unusable import UnusableError, shown
from stages.runtime.hearing import Hearing
from tests.messages import line_with
from tests.trees import encode
from tests.wavs import encoded, sound

RATE = 44_100
A, B = (np.sin(2 * np.pi * hz * np.arange(RATE) / RATE).astype(np.float32) * 0.4 for hz in (440, 880))
KEEP = Hearing(partial="keep")


def written(folder: Path, suffix: str, samples: np.ndarray) -> bytes:
    path = folder / f"one.{suffix}"
    soundfile.write(path, samples, RATE)
    return path.read_bytes()


def pitch(samples: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * RATE / len(samples))


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "flac"])
def test_all_of_two_joined_files_is_heard_and_told(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"joined.{suffix}"
    path.write_bytes(written(tmp_path, suffix, A) + written(tmp_path, suffix, B))
    samples, rate = decode.decode(path)
    assert rate == RATE
    assert len(samples) / rate == pytest.approx(2, abs=0.1)
    assert [round(pitch(half), -1) for half in (samples[8000:40_000], samples[-40_000:-8000])] == [440, 880]
    (note,) = decode.hear(path).notes
    assert line_with(note, "more than the 1 s")


def test_an_mp4_with_another_behind_it_is_heard_in_part_and_told(tmp_path: Path) -> None:
    encode(tmp_path / "one.m4a", A, RATE)
    (tmp_path / "two.m4a").write_bytes((tmp_path / "one.m4a").read_bytes() * 2)
    with pytest.raises(UnusableError, match=r"in part only: 1\.\d+ s"):
        decode.decode(tmp_path / "two.m4a")
    assert len(decode.decode(tmp_path / "two.m4a", KEEP)[0]) == pytest.approx(RATE, abs=2048)


@pytest.mark.parametrize("total", [0, 2**36 - 1, 2**35])
def test_a_flac_file_that_does_not_know_its_length_is_heard(tmp_path: Path, total: int) -> None:
    content = bytearray(written(tmp_path, "flac", A))
    streaminfo = int.from_bytes(content[18:26], "big") >> 36 << 36 | total
    content[18:26] = streaminfo.to_bytes(8, "big")
    expected = soundfile.read(tmp_path / "one.flac", dtype="float32")[0]
    (tmp_path / "x.flac").write_bytes(content)
    np.testing.assert_array_equal(decode.decode(tmp_path / "x.flac")[0], expected)


@pytest.mark.parametrize("frames", [2**31 - 1, 2**31])
def test_an_xing_header_of_years_is_no_memory_error(tmp_path: Path, frames: int) -> None:
    content = bytearray(written(tmp_path, "mp3", A))
    at = max(content.find(b"Xing"), content.find(b"Info")) + 8
    content[at : at + 4] = struct.pack(">I", frames)
    (tmp_path / "x.mp3").write_bytes(content)
    heard = decode.hear(tmp_path / "x.mp3")
    assert heard.n_samples == pytest.approx(RATE, abs=2000)
    assert heard.notes[0].startswith("claims 247390")


@pytest.mark.parametrize("suffix", ["mp3", "flac"])
def test_half_a_file_tells_both_lengths(tmp_path: Path, suffix: str) -> None:
    content = written(tmp_path, suffix, A)
    (tmp_path / f"x.{suffix}").write_bytes(content[: len(content) // 2])
    with pytest.raises(UnusableError, match=r"in part only: 0\.\d+ s of the 1 s") as caught:
        decode.decode(tmp_path / f"x.{suffix}")
    assert caught.value.kind == "heard in part"
    samples, _ = decode.decode(tmp_path / f"x.{suffix}", KEEP)
    assert 0.3 * RATE < len(samples) < 0.7 * RATE


@pytest.mark.parametrize(
    ("name", "codec", "container", "rate"),
    [
        ("x.amr", "libopencore_amrnb", "amr", 8_000),
        ("x.wma", "wmav2", "asf", 44_100),
        ("x.ac3", "ac3", "ac3", 44_100),
        ("x.g722", "g722", "g722", 16_000),
        ("g722.wav", "g722", "wav", 16_000),
        ("mp3.wav", "libmp3lame", "wav", 44_100),
        ("x.wv", "wavpack", "wv", 44_100),
        ("x.caf", "pcm_s16le", "caf", 44_100),
    ],
)
def test_what_ffmpeg_can_decode_is_heard(tmp_path: Path, name: str, codec: str, container: str, rate: int) -> None:
    tone = 0.4 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    encoded(tmp_path / name, tone, rate, codec=codec, container=container)
    samples, found = decode.decode(tmp_path / name)
    assert found == rate
    assert len(samples) / rate == pytest.approx(1, abs=0.06)
    assert np.argmax(np.abs(np.fft.rfft(samples))) * rate / len(samples) == pytest.approx(440, abs=2)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.raw", bytes(4000), "zeros without a header; "),
        ("x.raw", bytes(range(1, 251)) * 16, "samples without a header; "),
        ("x.wav", b"", "a file of 0 bytes; "),
        ("x.wav", b"<!DOCTYPE html><html>404</html>", "a web page; "),
        ("x.mp3", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer, "),
    ],
)
def test_a_file_that_is_no_sound_has_a_reason(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnusableError, match=rf"cannot be decoded as audio \({reason}.*\)"):
        decode.decode(tmp_path / name)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".m4a"])
def test_a_name_of_other_bytes_than_utf_8_is_heard(tmp_path: Path, suffix: str) -> None:
    encode(tmp_path / f"x{suffix}", A, RATE)
    odd = tmp_path / os.fsdecode(b"caf\xe9" + suffix.encode())
    (tmp_path / f"x{suffix}").rename(odd)
    assert len(decode.decode(odd)[0]) == pytest.approx(RATE, abs=2048)
    assert shown(odd).endswith(rf"caf\xe9{suffix}")


@pytest.mark.parametrize("rate", [999, 800_000])
def test_the_device_s_range_of_rates_holds_for_every_format(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "x.au", sound(), rate)
    with pytest.raises(UnusableError, match=f"sample rate of 1000 to 768000 Hz; got {rate}"):
        decode.decode(tmp_path / "x.au")


def test_floats_beyond_full_scale_are_excluded_or_scaled_in_every_format_that_stores_them(tmp_path: Path) -> None:
    x = sound()[:, 0]
    for name, form in (("x.aiff", "AIFF"), ("x.wav", "WAV"), ("x.caf", "CAF")):
        soundfile.write(tmp_path / name, x * 32767, RATE, format=form, subtype="FLOAT")
        with pytest.raises(UnusableError, match=r"by 83\.\d dB.* overload: scale\.$") as caught:
            decode.decode(tmp_path / name)
        assert caught.value.kind == "beyond full scale"
        samples, _ = decode.decode(tmp_path / name, Hearing(overload="scale"))
        np.testing.assert_allclose(samples, x * 32767 / 32768, atol=1e-6)
