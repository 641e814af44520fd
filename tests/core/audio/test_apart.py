import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages.core.audio import decode
from stages.core.audio.apart import Apart, Span
from stages.core.audio.decode import Heard
from stages.core.audio.unusable import UnusableError
from stages.runtime.hearing import Hearing
from tests.wavs import sound, wav


def moody(path: Path, hearing: Hearing, span: Span) -> Heard:
    """Do to the process what the file's name says, as a decoder's C may."""
    if path.stem == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.stem == "exit":
        os._exit(3)
    if path.stem == "hang":
        time.sleep(600)
    if path.stem == "memory":
        raise MemoryError
    return decode.hear(path, hearing, span)


@pytest.mark.thorough
def test_whatever_a_decoder_does_the_next_file_is_heard(tmp_path: Path) -> None:
    for name in ("crash", "exit", "hang", "memory", "good"):
        (tmp_path / f"{name}.wav").write_bytes(wav(sound()))
    reasons = {
        "crash": r"its decoder crashed, signal 11\)",
        "exit": r"its decoder crashed\)",
        "hang": r"its decoder did not come to an end within 1 s\)",
        "memory": r"MemoryError:\)",
    }
    with Apart(hear=moody, limit_s=0.5, everything=True) as apart:
        for name, reason in reasons.items():
            with pytest.raises(UnusableError, match=rf"{name}\.wav cannot be decoded as audio \({reason}") as caught:
                apart.hear(tmp_path / f"{name}.wav")
            assert caught.value.kind == "undecodable"
            assert apart.hear(tmp_path / "good.wav") == decode.hear(tmp_path / "good.wav")


def test_what_is_heard_apart_is_what_is_heard_here(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", sound(channels=2), 16_000)
    soundfile.write(tmp_path / "a.wav", sound(channels=2), 16_000, subtype="IMA_ADPCM")
    (tmp_path / "b.wav").write_bytes(wav(sound(channels=2)))
    with Apart(Hearing(channel="right")) as apart:
        for name in ("a.flac", "a.wav", "b.wav"):
            heard = apart.hear(tmp_path / name)
            samples, rate = decode.decode(tmp_path / name, Hearing(channel="right"))
            assert (heard.sha256, heard.sample_rate) == (decode.content_hash(samples), rate)
            assert heard.peak == pytest.approx(float(np.abs(samples - samples.mean()).max()), abs=1e-6)


def test_a_file_that_vanishes_is_unusable(tmp_path: Path) -> None:
    with Apart(everything=True) as apart, pytest.raises(UnusableError, match="No such file"):
        apart.hear(tmp_path / "gone.mp3")
