from typing import Any

import pytest

from stages.core.project.errors import ParameterError
from stages.features.frontends import log_mel, mfcc
from stages.features.params import FeatureParams


def test_options_reach_the_front_end() -> None:
    module, config = FeatureParams("log_mel", {"log_mel": {"n_mels": 32}, "mfcc": {"n_mfcc": 13}}).configure()
    assert module is log_mel
    assert config == log_mel.Config(n_mels=32)


def test_an_unknown_front_end_lists_the_known_ones() -> None:
    with pytest.raises(ParameterError, match=r"features.frontend .*'mfc'.*mean 'mfcc'.*log_mel, .*mfcc"):
        FeatureParams("mfc").configure()


@pytest.mark.parametrize(
    "options, match",
    [
        ({"n_fft": 2000}, "mfcc.n_fft .*got 2000.*2048"),
        ({"n_fft": 0}, "mfcc.n_fft must be a power of two"),
        ({"hop_length": 4096}, r"mfcc.hop_length must be in 1..n_fft \(2048\); got 4096"),
        ({"hop_length": 0}, "mfcc.hop_length must be in"),
        ({"sample_rate": 0}, "mfcc.sample_rate must be at least 1 Hz"),
        ({"clip_samples": 0}, "mfcc.clip_samples must be at least 1; got 0"),
        ({"n_mfcc": 200}, r"mfcc.n_mfcc must be in 1..n_mels \(128\); got 200"),
        ({"n_mfcc": 0}, "mfcc.n_mfcc must be in"),
        ({"n_mels": 0}, "mfcc.n_mels must be at least 1"),
        ({"n_mels": 1000}, "mfcc.n_mels .*got 1000.*two bins"),
        ({"n_mel": 64}, "'n_mel'.*'n_mels'"),
    ],
)
def test_mfcc_refuses(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        FeatureParams("mfcc", {"mfcc": options}).configure()


@pytest.mark.parametrize(
    "options, match",
    [
        ({"fmax": 12000.0}, r"log_mel.fmax .*\(11025 Hz\); got 12000"),
        ({"fmin": 500.0, "fmax": 400.0}, r"log_mel.fmin .*\[0, 400\) Hz; got 500"),
        ({"fmin": -1.0}, "log_mel.fmin must be in"),
        ({"win_length": 2000}, r"log_mel.win_length must be in 1..n_fft \(1024\); got 2000"),
        ({"win_length": 0}, "log_mel.win_length must be in"),
        ({"power": 0.0}, "log_mel.power must be greater than 0"),
        ({"floor": 0.0}, "log_mel.floor must be greater than 0"),
        ({"top_db": -80.0}, "log_mel.top_db must be greater than 0 dB"),
        ({"center": False, "clip_samples": 1000}, r"clip_samples .*n_fft \(1024\)"),
        ({"pad_samples": -1}, "log_mel.pad_samples must be 0 or more; got -1"),
        ({"crops": 0}, "log_mel.crops must be at least 1; got 0"),
        ({"crops": 10}, "log_mel.crops must be 1 without crop_frames; got 10"),
        (
            {"crop_frames": 100},
            r"crops must be at least 2 where crop_frames \(100\) is not all of a clip \(216\)",
        ),
        ({"crop_frames": 0}, "log_mel.crop_frames must be at least 1; got 0"),
        (
            {"crop_frames": 208, "crops": 10},
            "crop_frames must be at most 207, so that 10 crops differ; got 208",
        ),
    ],
)
def test_log_mel_refuses(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        FeatureParams("log_mel", {"log_mel": options}).configure()


def test_the_defaults_are_edacs() -> None:
    assert mfcc.Config() == mfcc.Config(22050, 154350, 2048, 512, 128, 15)
