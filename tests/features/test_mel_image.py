"""librosa for the levels, matplotlib for the colours, SciPy for the resize."""

import warnings

import librosa
import matplotlib.cm
import matplotlib.colors
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

from stages.core.project.errors import ParameterError
from stages.features.export import export, export_halves
from stages.features.frontends import mel_image
from stages.features.params import FeatureParams
from stages.runtime.litert import Model
from tests.marks import thorough_but


def signals(n: int, rate: int) -> dict[str, np.ndarray]:
    t = np.arange(n) / rate
    noise = np.random.default_rng(7).standard_normal(n)
    return {
        "noise": 0.1 * noise,
        "quiet": 1e-4 * noise,
        "cough": 0.3 * noise * np.exp(-8 * t),
        "chirp": 0.5 * scipy.signal.chirp(t, 50, t[-1], 0.45 * rate),
        "silence": np.zeros(n),
    }


def librosa_levels(samples: np.ndarray, config: mel_image.Config) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Empty filters detected", UserWarning)
        bands = librosa.feature.melspectrogram(
            y=samples.astype(np.float64),
            sr=config.sample_rate,
            n_fft=config.n_fft,
            hop_length=config.hop_length,
            n_mels=config.n_mels,
            fmax=config.fmax,
        )
    return librosa.power_to_db(bands, ref=np.max, top_db=80)


def picture(levels: np.ndarray, config: mel_image.Config) -> np.ndarray:
    """Return what `imshow` colours, each pixel at the level of its cell, resized between pixels' centres."""
    scale = matplotlib.colors.Normalize(levels.min(), levels.max())
    painted = matplotlib.cm.ScalarMappable(scale, "viridis").to_rgba(levels)[..., :3]
    centres = [
        (np.arange(size) + 0.5) * whole / size - 0.5
        for whole, size in zip(levels.shape, (config.height, config.width), strict=True)
    ]
    grid = np.meshgrid(*centres, indexing="ij")
    channels = [scipy.ndimage.map_coordinates(painted[..., i], grid, order=1, mode="nearest") for i in range(3)]
    return np.stack(channels, axis=-1)


@pytest.fixture(scope="module", params=thorough_but([512, 128], 512))
def models(request: pytest.FixtureRequest) -> tuple[mel_image.Config, Model, Model]:
    config = mel_image.Config(hop_length=request.param)
    levels, _ = export_halves(mel_image, config)
    return config, Model(levels), Model(export(mel_image, config))


@pytest.mark.parametrize("name", ["noise", "quiet", "cough", "chirp", "silence"])
def test_levels_are_librosas_and_the_picture_is_matplotlibs(
    models: tuple[mel_image.Config, Model, Model], name: str
) -> None:
    config, to_levels, to_picture = models
    samples = signals(config.clip_samples, config.sample_rate)[name].astype(np.float32)[np.newaxis]
    levels = to_levels.run(samples)[0]
    np.testing.assert_allclose(levels, librosa_levels(samples[0], config).T, rtol=0, atol=5e-3)
    # A level between two colours may take either, which are at most 1/64 apart.
    made, expected = to_picture.run(samples)[0], picture(levels.T, config)
    np.testing.assert_allclose(made, expected, rtol=0, atol=1 / 64)
    assert np.abs(made - expected).mean() < 1e-4


def test_the_published_picture_has_305_frames_and_39_by_88_pixels() -> None:
    config = mel_image.Config()
    assert Model(export_halves(mel_image, config)[0]).output_shape == (305, 128)
    assert mel_image.feature_shape(config) == Model(export(mel_image, config)).output_shape == (39, 88, 3)


def test_low_tones_are_in_the_first_rows_and_early_ones_in_the_first_columns() -> None:
    config = mel_image.Config()
    t = np.arange(config.clip_samples) / config.sample_rate
    early_low = np.where(t < t[-1] / 4, np.sin(2 * np.pi * 150 * t), 0.0).astype(np.float32)
    (made,) = Model(export(mel_image, config)).run(early_low[np.newaxis])
    yellow = made[..., 0]  # viridis ends in yellow, alone in its red
    rows, columns = np.nonzero(yellow > 0.8)
    assert rows.max() < 10
    assert columns.max() < 24


def test_empty_bands_are_allowed_and_masks_too() -> None:
    params = FeatureParams("mel_image")
    params.configure()
    params.require_levels()
    with pytest.raises(ParameterError, match=r"features\.options\.mel_image\.fmax must .*got 12000"):
        mel_image.Config(fmax=12000.0)
    with pytest.raises(ParameterError, match=r"features\.options\.mel_image\.width .*got 0"):
        mel_image.Config(width=0)
