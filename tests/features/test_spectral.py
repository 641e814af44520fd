import librosa
import numpy as np
import pytest
import scipy.fft
import scipy.signal
from librosa.filters import mel as librosa_mel

from stages.core.nn.keras import tf
from stages.features import spectral


@pytest.mark.parametrize(
    "sample_rate, n_fft, n_mels, fmin, fmax",
    [(22050, 2048, 128, 0, 11025), (16000, 512, 40, 60, 7600), (44100, 1024, 64, 20, 20000), (8000, 256, 10, 0, 900)],
)
def test_mel_filterbank_is_librosas(sample_rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float) -> None:
    expected = librosa_mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax, dtype=np.float64)
    filterbank = spectral.mel_filterbank(sample_rate, n_fft, n_mels, fmin, fmax)
    np.testing.assert_allclose(filterbank, expected, rtol=1e-9, atol=1e-14)
    assert not np.signbit(filterbank).any()


def test_each_filter_has_unit_area() -> None:
    filterbank = spectral.mel_filterbank(22050, 2**16, 32, 100, 10000)
    np.testing.assert_allclose(filterbank.sum(axis=1) * 22050 / 2**16, 1, rtol=1e-3)


@pytest.mark.parametrize("n_in, n_out", [(128, 15), (20, 20), (7, 1)])
def test_dct_is_scipys(n_in: int, n_out: int) -> None:
    expected = scipy.fft.dct(np.eye(n_in), norm="ortho", axis=0)[:n_out]
    np.testing.assert_allclose(spectral.dct(n_in, n_out), expected, atol=1e-14)


@pytest.mark.parametrize("win_length, n_fft", [(2048, 2048), (400, 512), (399, 512)])
def test_window_is_librosas(win_length: int, n_fft: int) -> None:
    hann = scipy.signal.get_window("hann", win_length, fftbins=True)
    expected = librosa.util.pad_center(hann, size=n_fft)
    np.testing.assert_allclose(spectral.hann(win_length, n_fft), expected, atol=1e-15)


@pytest.mark.parametrize("n_fft", [4, 8, 32, 512, 2048])
def test_the_factors_make_up_numpys_fourier_transform(n_fft: int, rng: np.random.Generator) -> None:
    factors, bins = spectral.fourier_factors(n_fft)
    signals = rng.standard_normal((n_fft, 3))
    values = signals
    for factor in factors:
        values = factor @ values.reshape(len(factor), factor.shape[2], -1)
    spectrum = np.fft.rfft(signals, axis=0)
    power = np.abs(spectrum) ** 2
    power[0] += power[-1]
    assert sorted(bins.ravel()) == list(range(n_fft // 2))
    np.testing.assert_allclose((values.reshape(*bins.shape, 2, 3) ** 2).sum(axis=2), power[bins], atol=1e-9)


def test_the_last_radix_parts_the_bins_into_neighbouring_runs() -> None:
    _, bins = spectral.fourier_factors(2048)
    for i in range(bins.shape[1] // 2):
        run = bins[:, 2 * i : 2 * i + 2]
        assert ((run >= i * run.size) & (run <= (i + 1) * run.size)).all()


@pytest.mark.parametrize("center", [True, False])
def test_both_spectra_agree(rng: np.random.Generator, center: bool) -> None:
    waveforms = tf.constant(rng.standard_normal((2, 3001)), tf.float32)
    window, filterbank = spectral.hann(400, 512), spectral.mel_filterbank(16000, 512, 40, 60, 7600)
    exact = spectral.mel_bands(spectral.spectrogram(waveforms, window, 160, center=center, power=2.0), filterbank)
    fast = spectral.mel_spectrogram(waveforms, window, filterbank, 160, center=center)
    np.testing.assert_allclose(fast, exact, rtol=1e-4)
