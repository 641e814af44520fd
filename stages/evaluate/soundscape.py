"""Soundscapes for `evaluate.stream`: held-out clips in a background, at stated densities and signal-to-noise ratios.

A soundscape is made second by second and never held as a whole. Everything is a function of the seed, and only clips of
one side of the split are in it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.core.artifacts.clips import Clip
from stages.core.audio import decode
from stages.core.project.errors import DataError
from stages.core.scoring.detection import Sounds, TrueEvent
from stages.runtime.hearing import Hearing

ACTIVE_DB = 30.0
"""Decibels below a clip's loudest 10 ms down to which it counts as sounding."""
FRAME_S = 0.01
BACKGROUND_DBFS = -40.0
BLOCK_S = 10.0


@dataclass(frozen=True)
class Placed:
    """A clip in a soundscape.

    Attributes
    ----------
    clip : Clip
    start : int
        Sample at which its sounding part starts.
    snr_db : float
        Power of its sounding part above the background's.
    """

    clip: Clip
    start: int
    snr_db: float


def place(
    clips: Sequence[Clip], *, seconds: float, per_hour: float, snr_db: Sequence[float], rate: int, seed: Sequence[int]
) -> list[Placed]:
    """Draw which clips sound when: as many an hour as stated, in random order, each clip as often as another.

    Parameters
    ----------
    clips : Sequence[Clip]
    seconds : float
        Length of the soundscape.
    per_hour : float
        Clips an hour.
    snr_db : Sequence[float]
        Drawn from for each clip.
    rate : int
        Hz.
    seed : Sequence[int]

    Returns
    -------
    list[Placed]
        By start. Starts are uniform over equal sections, of which each has one clip, so that clips overlap only where
        they are longer than what is left of a section.
    """
    rng = np.random.default_rng(list(seed))
    n = max(1, round(per_hour * seconds / 3600))
    order = np.concatenate([rng.permutation(len(clips)) for _ in range(-(-n // len(clips)))])[:n]
    section = seconds / n
    starts = (np.arange(n) + rng.uniform(0, 0.5, n)) * section
    levels = rng.choice(np.asarray(snr_db, np.float64), n)
    return [
        Placed(clips[i], round(float(start) * rate), float(level))
        for i, start, level in zip(order, starts, levels, strict=True)
    ]


def sounding(samples: np.ndarray, rate: int) -> slice:
    """Return the part of a clip from its first to its last 10 ms within `ACTIVE_DB` of the loudest.

    Examples
    --------
    >>> sounding(np.concatenate([np.zeros(100), np.ones(50), np.zeros(70)]), 1000)
    slice(100, 150, None)
    """
    size = max(1, round(FRAME_S * rate))
    padded = np.pad(samples.astype(np.float64), (0, -len(samples) % size))
    power = np.square(padded.reshape(-1, size)).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (-ACTIVE_DB / 10)) if power.max() > 0 else np.array([0])
    return slice(int(loud[0]) * size, min((int(loud[-1]) + 1) * size, len(samples)))


class Stream(ABC):
    """A stream of samples, and what is in it.

    Attributes
    ----------
    truth : list[TrueEvent]
        Events, by onset.
    sounds : Sounds
        Whose sound is heard when, that of no event too.
    hours : float
    """

    truth: list[TrueEvent]
    sounds: Sounds
    hours: float

    @abstractmethod
    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the sound in blocks: (n,) float32."""

    def windows(self, length: int, hop: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the start and the samples of every whole window, `hop` samples from one to the next.

        Parameters
        ----------
        length, hop : int
            In samples.
        """
        held, start = np.zeros(0, np.float32), 0
        for block in self.blocks():
            held, at = np.concatenate([held, block]), 0
            while len(held) - at >= length:
                yield start, held[at : at + length]
                at, start = at + hop, start + hop
            held = held[at:]


class Soundscape(Stream):
    """A soundscape as a stream of samples, and what is in it.

    Parameters
    ----------
    placed : Sequence[Placed]
    background : np.ndarray, shape (n,), float32
        Repeated from its start, with another sign each time.
    seconds : float
    rate : int
        Hz.
    hearing : Hearing
    ignored : Sequence[str]
        Labels whose clips are heard and are no event.
    """

    def __init__(
        self,
        placed: Sequence[Placed],
        background: np.ndarray,
        *,
        seconds: float,
        rate: int,
        hearing: Hearing,
        ignored: Sequence[str] = (),
    ) -> None:
        self._background, self._n, self._rate, self.hours = background, round(seconds * rate), rate, seconds / 3600
        level = float(np.sqrt(np.mean(np.square(background, dtype=np.float64))))
        self._sounds: list[tuple[int, np.ndarray]] = []
        self.truth: list[TrueEvent] = []
        heard: dict[str, np.ndarray] = {}
        sounding_clips: list[TrueEvent] = []
        for each in placed:
            name = each.clip.clip_id
            if name not in heard:
                samples = decode.load(each.clip.path, rate, hearing, each.clip.span)
                heard[name] = samples[sounding(samples, rate)]
            samples = heard[name]
            own = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) or 1.0
            self._sounds.append((each.start, samples * np.float32(level * 10 ** (each.snr_db / 20) / own)))
            ends = each.start / rate, (each.start + len(samples)) / rate
            sounding_clips.append(TrueEvent("", *ends, each.clip.group))
            self.truth += [
                TrueEvent(label, *ends, each.clip.group, each.snr_db)
                for label in each.clip.labels
                if label not in ignored
            ]
        self.sounds = Sounds.of(sounding_clips, hours=self.hours, background_s=len(background) / rate)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the sound in blocks of `BLOCK_S`: (n,) float32, cut off at full scale."""
        size, n = round(BLOCK_S * self._rate), len(self._background)
        for start in range(0, self._n, size):
            stop = min(start + size, self._n)
            at = np.arange(start, stop)
            block = self._background[at % n] * np.where(at // n % 2, -1, 1).astype(np.float32)
            for first, samples in self._sounds:
                low, high = max(first, start), min(first + len(samples), stop)
                if low < high:
                    block[low - start : high - start] += samples[low - first : high - first]
            yield np.clip(block, -1.0, 1.0)


def pink_noise(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise whose power falls by 3 dB an octave, at `BACKGROUND_DBFS`: (n,) float32."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, n)
    return np.asarray(noise * 10 ** (BACKGROUND_DBFS / 20) / np.sqrt(np.mean(noise**2)), np.float32)


def background(folder: Path | None, side: str, rate: int, hearing: Hearing, seed: int) -> np.ndarray:
    """Return the background of one side: the user's recordings of it at their own level, or pink noise.

    Parameters
    ----------
    folder : Path or None
        Recordings without any event; validation and test take turns through them, in the order of their names. Of a
        single one validation has the first half. None is a minute of pink noise.
    side : {"validation", "test"}
    rate : int
        Hz.
    hearing : Hearing
    seed : int

    Raises
    ------
    DataError
        If the folder holds no recording.
    """
    second = side == "test"
    if folder is None:
        return pink_noise(60 * rate, np.random.default_rng([seed, int(second)]))
    paths = background_files(folder)
    if len(paths) == 1:
        samples = decode.load(paths[0], rate, hearing)
        half = len(samples) // 2
        return samples[half:] if second else samples[:half]
    return np.concatenate([decode.load(path, rate, hearing) for path in paths[int(second) :: 2]])


def background_files(folder: Path) -> list[Path]:
    """Return the recordings of a folder of backgrounds, sorted.

    Raises
    ------
    DataError
        If there is none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not paths:
        raise DataError(f"evaluate.stream.background must be a folder of recordings; {folder} holds none.")
    return paths
