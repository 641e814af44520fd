"""Silence cut out of recordings: by the rule of the tool that EDAC's authors used, or by an envelope."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from stages.core.audio import decode
from stages.core.project import files
from stages.core.project.errors import DataError, require
from stages.core.project.progress import track


@dataclass(frozen=True)
class SilenceRemoval:
    """What is silence, and how much of it stays. The defaults are those of Unsilence 1.0.

    Attributes
    ----------
    level_dbfs : float
        A sample below this level, relative to full scale, is quiet.
    min_silence_s : float
        Quiet samples in a row are a silence from this length on.
    min_sound_s : float
        What sounds no longer than this, beside a silence, is silence too.
    margin_s : float
        How much of a silence stays beside a sound.
    """

    level_dbfs: float = -35.0
    min_silence_s: float = 0.5
    min_sound_s: float = 0.3
    margin_s: float = 0.125

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(
            -120 <= self.level_dbfs < 0,
            "silence_removal.level_dbfs",
            "be in [-120, 0) dB",
            self.level_dbfs,
            "0 is full scale; Unsilence takes -35.",
        )
        require(
            self.min_sound_s >= 0,
            "silence_removal.min_sound_s",
            "be 0 s or more",
            self.min_sound_s,
            "0 keeps even the shortest click.",
        )
        require(
            0 <= 2 * self.margin_s <= self.min_silence_s,
            "silence_removal.margin_s",
            "be from 0 to half of min_silence_s",
            self.margin_s,
            "A silence has room for two margins.",
        )


def remove_silence(rule: SilenceRemoval, samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Join what sounds.

    Parameters
    ----------
    rule : SilenceRemoval
    samples : np.ndarray, shape (n_samples,), float32
    sample_rate : int
        In Hz.

    Returns
    -------
    np.ndarray, shape (n_sounding,), float32
        Empty if nothing sounds; all of it if there is no silence.
    """
    n_silence, n_sound, margin = (
        round(seconds * sample_rate) for seconds in (rule.min_silence_s, rule.min_sound_s, rule.margin_s)
    )
    loud = np.flatnonzero(np.abs(samples) >= 10 ** (rule.level_dbfs / 20))
    loud = np.concatenate([[-1], loud, [len(samples)]])
    silences = np.flatnonzero(np.diff(loud) > n_silence)
    if not len(silences):
        return samples.copy()
    starts = np.concatenate([[0], loud[silences + 1]])  # of what lies between the silences
    ends = np.concatenate([loud[silences] + 1, [len(samples)]])
    sounds = [(start, end) for start, end in zip(starts, ends, strict=True) if end - start > n_sound]
    return np.concatenate([samples[:0], *(samples[max(0, start - margin) : end + margin] for start, end in sounds)])


@dataclass(frozen=True)
class DeadSpace:
    """What of a recording is dead: where its envelope, the peak within a window around, is far below the loudest.

    Attributes
    ----------
    below_peak_db : float
        How far.
    window_s : float
        Width of the window.

    References
    ----------
    Mou, Milanova, Sci 6(2), 2024, section 4, which says 20 dB but not below what, nor how the envelope is made.
    """

    below_peak_db: float = 20.0
    window_s: float = 0.05

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(0 < self.below_peak_db <= 120, "dead_space.below_peak_db", "be in (0, 120] dB", self.below_peak_db)
        require(0 < self.window_s <= 10, "dead_space.window_s", "be above 0 and at most 10 s", self.window_s)


def remove_dead_space(rule: DeadSpace, samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Join what is not dead.

    Parameters
    ----------
    rule : DeadSpace
    samples : np.ndarray, shape (n_samples,), float32
    sample_rate : int
        In Hz.

    Returns
    -------
    np.ndarray, shape (n_alive,), float32
        All of it if nothing sounds.
    """
    half = round(rule.window_s * sample_rate / 2)
    loudness = np.abs(samples)
    loud = loudness >= loudness.max(initial=0.0) * 10 ** (-rule.below_peak_db / 20)
    so_far = np.concatenate([[0], np.cumsum(loud)])
    places = np.arange(len(samples))
    alive = so_far[np.minimum(places + half + 1, len(samples))] > so_far[np.maximum(places - half, 0)]
    return samples[alive]


def write_cut(cut: Callable[[np.ndarray, int], np.ndarray], paths: Sequence[Path], folder: Path) -> None:
    """Write each recording as `cut` leaves it, as FLAC with 16 bits per sample; those already written stay.

    Parameters
    ----------
    cut : Callable
        Samples and their rate (Hz) to those that stay.
    paths : Sequence[Path]
        A recording that cannot be decoded is left out, for `pull` to name it.
    folder : Path
        Takes ``<stem>.flac``.
    """

    def write(path: Path) -> None:
        target = folder / f"{path.stem}.flac"
        if target.is_file():
            return
        try:
            samples, sample_rate = decode.decode(path)
        except DataError:
            return
        left = cut(samples, sample_rate)
        if not len(left):
            left = np.zeros(1, np.float32)  # silent, and `pull` says so; FLAC cannot hold nothing
        with files.atomic(target) as temporary:
            soundfile.write(temporary, left, sample_rate, subtype="PCM_16", format="FLAC")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in track(pool.map(write, paths), "cut silence", total=len(paths)):
            pass
