"""Check the ranges of parameters that front ends share."""

from dataclasses import dataclass

import numpy as np

from stages.core.project.errors import require
from stages.features.spectral import mel_filterbank


@dataclass(frozen=True)
class Stft:
    """Parameters of a short-time Fourier transform.

    Attributes
    ----------
    sample_rate : int
        Hz.
    clip_samples : int
        Length of a clip.
    n_fft, hop_length : int
        Samples of a frame, and from frame to frame.
    win_length : int or None
        Samples of the window; None is a whole frame.
    center : bool
        Centre frames, with silence beyond the clip's ends.
    """

    sample_rate: int
    clip_samples: int
    n_fft: int
    hop_length: int
    win_length: int | None = None
    center: bool = True

    def require(self, owner: str) -> None:
        """Check the parameters.

        Raises
        ------
        ParameterError
            Named ``owner.parameter``.
        """
        n_fft, hop_length = self.n_fft, self.hop_length
        require(self.sample_rate >= 1, f"{owner}.sample_rate", "be at least 1 Hz", self.sample_rate)
        require(self.clip_samples >= 1, f"{owner}.clip_samples", "be at least 1", self.clip_samples)
        near = 2 ** max(1, round(np.log2(max(n_fft, 2))))
        is_power = n_fft >= 2 and n_fft & (n_fft - 1) == 0
        require(is_power, f"{owner}.n_fft", "be a power of two, for the Fourier transform", n_fft, f"Write {near}.")
        in_window = "Longer hops skip samples; 512 with an n_fft of 2048 is usual."
        require(1 <= hop_length <= n_fft, f"{owner}.hop_length", f"be in 1..n_fft ({n_fft})", hop_length, in_window)
        rule, window = f"be in 1..n_fft ({n_fft})", n_fft if self.win_length is None else self.win_length
        require(1 <= window <= n_fft, f"{owner}.win_length", rule, window, "Lower it or raise n_fft.")
        rule, advice = f"be at least n_fft ({n_fft}) without center", "Raise it, or set center to true."
        enough = self.center or self.clip_samples >= n_fft
        require(enough, f"{owner}.clip_samples", rule, self.clip_samples, advice)


@dataclass(frozen=True)
class Mel:
    """Parameters of a mel filterbank.

    Attributes
    ----------
    sample_rate : int
        Hz.
    n_fft, n_mels : int
        Samples of a frame, and number of filters.
    fmin, fmax : float
        Outer edges of the first and the last filter (Hz).
    may_be_empty : bool
        Allow filters that cover no bin.
    """

    sample_rate: int
    n_fft: int
    n_mels: int
    fmin: float
    fmax: float
    may_be_empty: bool = False

    def require(self, owner: str) -> None:
        """Check the parameters and, unless filters may be empty, that each covers a bin.

        Raises
        ------
        ParameterError
            Named ``owner.parameter``.
        """
        nyquist, fmin, fmax, n_mels = self.sample_rate / 2, self.fmin, self.fmax, self.n_mels
        require(fmax <= nyquist, f"{owner}.fmax", f"be at most sample_rate / 2 ({nyquist:g} Hz)", fmax, "Lower it.")
        require(0 <= fmin < fmax, f"{owner}.fmin", f"be in [0, fmax), here [0, {fmax:g}) Hz", fmin, "Lower it.")
        require(n_mels >= 1, f"{owner}.n_mels", "be at least 1", n_mels)
        if self.may_be_empty:
            return
        filterbank = mel_filterbank(self.sample_rate, self.n_fft, n_mels, fmin, fmax)
        empty = np.flatnonzero(filterbank.max(axis=1) == 0)
        advice = f"Filter {empty[0]} lies between two bins: lower n_mels or raise n_fft." if len(empty) else ""
        rule = f"be so few that each filter holds a bin of n_fft {self.n_fft}"
        require(len(empty) == 0, f"{owner}.n_mels", rule, n_mels, advice)


@dataclass(frozen=True)
class Crops:
    """Crops of a clip that a network takes in turn.

    Attributes
    ----------
    crops : int
        Number of crops.
    length, n_steps : int
        Steps of a crop and of the clip.
    """

    crops: int
    length: int
    n_steps: int

    def require(self, owner: str, length_name: str) -> None:
        """Check the parameters, `length` by its name.

        Raises
        ------
        ParameterError
            Named ``owner.parameter``.
        """
        crops, length, n_steps = self.crops, self.length, self.n_steps
        require(crops >= 1, f"{owner}.crops", "be at least 1", crops)
        require(length >= 1, f"{owner}.{length_name}", "be at least 1", length)
        rule = f"be at least 2 where {length_name} ({length}) is not all of a clip ({n_steps})"
        require(crops > 1 or length >= n_steps, f"{owner}.crops", rule, crops, "Write 10.")
        most = n_steps - crops + 1
        rule = f"be at most {most}, so that {crops} crops differ"
        require(length <= most, f"{owner}.{length_name}", rule, length, "Take longer clips.")
