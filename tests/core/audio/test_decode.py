from pathlib import Path

import numpy as np
import pytest

from stages.core.audio import decode
from stages.core.project.errors import DataError
from stages.runtime.hearing import Hearing
from tests.trees import encode

RATE = 48_000
TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".webm", ".ogg", ".mp3", ".m4a", ".flac", ".wav"])
def test_a_tone_comes_out_of_every_container(tmp_path: Path, suffix: str) -> None:
    encode(tmp_path / f"tone{suffix}", TONE, RATE)
    samples, sample_rate = decode.decode(tmp_path / f"tone{suffix}")
    assert (str(samples.dtype), samples.ndim, sample_rate) == ("float32", 1, RATE)
    assert abs(len(samples) - RATE) <= 2048  # AAC pads to whole frames
    spectrum = np.abs(np.fft.rfft(samples[:RATE] * np.hanning(min(len(samples), RATE))))
    assert np.argmax(spectrum) == 440
    assert np.sqrt(np.mean(samples[4000:44_000] ** 2)) == pytest.approx(
        0.5 / np.sqrt(2), rel=0.06
    )  # LAME takes 5 % off


def test_opus_is_the_same_in_webm_and_ogg(tmp_path: Path) -> None:
    encode(tmp_path / "tone.webm", TONE, RATE)
    encode(tmp_path / "tone.ogg", TONE, RATE)
    webm, ogg = decode.decode(tmp_path / "tone.webm")[0], decode.decode(tmp_path / "tone.ogg")[0]  # FFmpeg, libsndfile
    assert len(webm) == len(ogg) == RATE
    np.testing.assert_allclose(webm, ogg, atol=1e-4)


def test_a_container_cut_short_is_refused_or_gives_what_it_holds(tmp_path: Path) -> None:
    encode(tmp_path / "tone.webm", TONE, RATE)
    whole = (tmp_path / "tone.webm").read_bytes()
    (tmp_path / "tone.webm").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"0\.\d+ s of the 1\.\d+ s"):
        decode.decode(tmp_path / "tone.webm")
    samples, _ = decode.decode(tmp_path / "tone.webm", Hearing(partial="keep"))
    assert 0.3 * RATE < len(samples) < 0.7 * RATE


@pytest.mark.parametrize(
    "content", [b"", b"these are words", b"\x1a\x45\xdf\xa3" + bytes(2000), b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n"]
)
def test_what_is_no_audio_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.webm").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.webm cannot be decoded as audio \(.+\)"):
        decode.decode(tmp_path / "x.webm")


def test_a_playlist_leads_nowhere(tmp_path: Path) -> None:
    encode(tmp_path / "secret.mp3", TONE, RATE)
    (tmp_path / "x.m3u8").write_text(f"#EXTM3U\n#EXTINF:1,\n{tmp_path / 'secret.mp3'}\n#EXT-X-ENDLIST\n")
    with pytest.raises(DataError, match="cannot be decoded"):
        decode.decode(tmp_path / "x.m3u8")
