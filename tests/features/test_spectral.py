import librosa
import numpy as np
import pytest
import scipy.fft
import scipy.signal
from librosa.filters import mel as librosa_mel

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
