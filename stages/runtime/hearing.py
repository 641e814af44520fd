"""The rules by which a recording is heard, the same at home and on a device: channel, level, cut files, silence, DC.

They are parameters of the task (`pull` and `features` in params.yaml) and travel in a release's manifest.

channel       which channel of a recording is heard: their mean, the left one (first), the right one (second, or the
              only one), or the loudest: that with the most energy about its own mean, over the whole recording; of a
              stream, until now
overload      what becomes of floating-point samples whose peak exceeds full scale by more than `OVERLOAD_DB`: the
              recording is excluded, or scaled: up to `MOST_GAIN` it is divided by its peak; beyond it is taken for
              integers and divided by the full scale of 16, 24 or 32 bits, the least that is at most `OVERLOAD_DB` below
              the peak
partial       what becomes of a recording that can be heard in part only, since it is cut short or another one is joined
              to it: excluded, or kept as far as it is heard
silence_dbfs  a recording, clip or window is silent if its peak about its mean stays below this level
remove_dc     whether the mean of what is heard of a clip is subtracted from it, before it is padded
place         which part of a longer recording a clip is: `aligned` as the front end says (from its start or from its
              middle), or `loudest`: the part with the most energy about the recording's mean
short         what follows a recording that is shorter than a clip: silence (`pad`), or the recording again, until it is
              full (`repeat`)
segment_s     length of the segments that a recording is cut into, each of them a clip; 0 for one clip per recording
hop_s         from the start of one segment to the next
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from stages.runtime.errors import ExcludedError

CHANNELS = ("mean", "left", "right", "loudest")
OVERLOADS = ("exclude", "scale")
PARTIALS = ("exclude", "keep")
PLACES = ("aligned", "loudest")
SHORTS = ("pad", "repeat")
PARTIAL, OVERLOADED = "heard in part", "beyond full scale"
OVERLOAD_DB = 1.0
MOST_GAIN = 32.0
_OVER = 10 ** (OVERLOAD_DB / 20)


@dataclass(frozen=True)
class Hearing:
    """The rules of one task; see the top of this file.

    Raises
    ------
    ValueError
        If a rule is unknown or out of range; the message completes "must ...".
    """

    channel: str = "mean"
    overload: str = "exclude"
    partial: str = "exclude"
    silence_dbfs: float = -60.0
    remove_dc: bool = False
    place: str = "aligned"
    short: str = "pad"
    segment_s: float = 0.0
    hop_s: float = 0.0

    def __post_init__(self) -> None:
        """Check the rules."""
        for name, known in (
            ("channel", CHANNELS),
            ("overload", OVERLOADS),
            ("partial", PARTIALS),
            ("place", PLACES),
            ("short", SHORTS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be {' or '.join(known)}; got {getattr(self, name)!r}")
        if not -120 <= self.silence_dbfs < 0:
            raise ValueError(f"silence_dbfs must be in [-120, 0) dB; got {self.silence_dbfs!r}")
        if not 0 <= self.segment_s < float("inf") or (self.segment_s > 0) != (0 < self.hop_s <= self.segment_s):
            raise ValueError(f"hop_s must be above 0 and at most segment_s; got {self.hop_s!r} of {self.segment_s!r}")

    def changed(self) -> dict[str, object]:
        """Return the rules that are not the defaults, as JSON has them.

        Examples
        --------
        >>> Hearing(channel="left").changed()
        {'channel': 'left'}
        """
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if value != getattr(DEFAULT, name)}


DEFAULT = Hearing()


def parse(values: Any) -> Hearing:
    """Return the rules of plain values, as JSON gives them; what is left out takes its default.

    Raises
    ------
    ValueError
        If a rule is unknown, of another type or out of range.

    Examples
    --------
    >>> parse({"channel": "right"}).channel
    'right'
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"hearing must be an object; got {values!r}")
    known = dataclasses.asdict(DEFAULT)
    for name, value in values.items():
        kind = type(known.get(name))
        if name not in known or not (type(value) is kind or (kind is float and type(value) is int)):
            raise ValueError(f"hearing must hold {', '.join(known)}; got {name} {value!r}")
    return Hearing(**values)


class Source(Protocol):
    """A recording that can be read more than once, in blocks: a `stages.runtime.wav.Wav`, or at home any format."""

    @property
    def path(self) -> Path: ...  # noqa: D102

    @property
    def sample_rate(self) -> int: ...  # noqa: D102

    @property
    def n_channels(self) -> int: ...  # noqa: D102

    @property
    def n_frames(self) -> int | None:
        """Frames that can be read (samples per channel); None if only reading tells."""

    @property
    def claimed_frames(self) -> int:
        """Frames that the file claims or holds, readable or not; 0 if it does not say."""

    @property
    def slack(self) -> int:
        """Frames that a claim may differ from what is read, by an encoder's delay and padding."""

    @property
    def broken(self) -> str:
        """Why reading stopped before the end, once all is read; empty if it did not."""

    @property
    def floating(self) -> bool: ...  # noqa: D102

    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Yield frames from `start` to before `stop`: (n, n_channels) float32."""


class Levels:
    """Statistics of a recording, block by block: its length, and of every channel mean, energy and extremes."""

    def __init__(self, n_channels: int) -> None:
        self.n_frames = 0
        self._sum, self._squares = np.zeros(n_channels), np.zeros(n_channels)
        self._low, self._high = np.full(n_channels, np.inf), np.full(n_channels, -np.inf)

    def add(self, frames: np.ndarray) -> None:
        """Take the next frames, (n, n_channels) float32."""
        if len(frames):
            self.n_frames += len(frames)
            self._sum += frames.sum(axis=0, dtype=np.float64)
            self._squares += np.einsum("ij,ij->j", frames, frames, dtype=np.float64)
            self._low = np.minimum(self._low, frames.min(axis=0))
            self._high = np.maximum(self._high, frames.max(axis=0))

    @property
    def mean(self) -> np.ndarray:
        """Mean of each channel."""
        return self._sum / max(self.n_frames, 1)

    @property
    def energy(self) -> np.ndarray:
        """Energy of each channel about its mean."""
        return np.maximum(self._squares - self._sum * self.mean, 0.0)

    @property
    def peak(self) -> float:
        """Largest magnitude of all channels; 1 is full scale."""
        return float(np.maximum(-self._low, self._high).max()) if self.n_frames else 0.0

    @property
    def peak_about_mean(self) -> float:
        """Largest distance from the mean, of all channels."""
        return float(np.maximum(self.mean - self._low, self._high - self.mean).max()) if self.n_frames else 0.0


def is_silent(samples: np.ndarray, silence_dbfs: float) -> bool:
    """Return whether nothing is to be heard: the peak about the mean stays below `silence_dbfs` of full scale.

    Parameters
    ----------
    samples : np.ndarray, shape (n,), float32
    silence_dbfs : float

    Examples
    --------
    >>> is_silent(np.full(100, 0.3, np.float32), -60.0)
    True
    """
    limit = 10 ** (silence_dbfs / 20)
    samples = np.asarray(samples)
    if len(samples) and float(samples.max()) - float(samples.min()) > 2.001 * limit:  # whatever the mean
        return False
    levels = Levels(1)
    levels.add(samples[:, np.newaxis])
    return levels.peak_about_mean < limit


def overload_scale(peak: float) -> float:
    """Return what floating-point samples of a peak beyond full scale are divided by; see `overload` above.

    Examples
    --------
    >>> overload_scale(1.05), overload_scale(2.0), overload_scale(20000.0)
    (1.0, 2.0, 32768.0)
    """
    if peak <= _OVER:
        return 1.0
    if peak <= MOST_GAIN:
        return peak
    return next((scale for scale in (2.0**15, 2.0**23, 2.0**31) if peak <= scale * _OVER), 0.0)


class Listener:
    """One recording as a task hears it: mono, in blocks.

    Parameters
    ----------
    source : Source
    hearing : Hearing

    Attributes
    ----------
    sample_rate : int
        Hz.
    notes : tuple[str, ...]
        What a person should know although the recording is heard; each completes "FILE ...".

    Raises
    ------
    ExcludedError
        If the rules exclude the recording.
    RuntimeInputError
        If a sample is not finite.
    """

    def __init__(self, source: Source, hearing: Hearing) -> None:
        self.source, self.hearing, self.sample_rate, self.notes = source, hearing, source.sample_rate, source.notes
        self._channel, self._scale = _fixed(hearing.channel, source.n_channels), 1.0
        if source.n_frames is not None:
            self.check_whole(source.n_frames)
        if source.floating or (self._channel is None and hearing.channel == "loudest"):
            levels = Levels(source.n_channels)
            for frames in source.blocks():
                levels.add(frames)
            self._choose(levels)

    def check_whole(self, n_frames: int) -> None:
        """Exclude a recording of which no more than `n_frames` can be read, or note it, if that is not all of it."""
        claimed, broken = self.source.claimed_frames, self.source.broken
        if n_frames >= claimed - self.source.slack and not broken:
            return
        heard, of = f"{n_frames / self.sample_rate:.6g} s", ""
        if claimed > n_frames:
            of = f" of the {claimed / self.sample_rate:.6g} s that it claims or holds"
        part = f"{heard}{of}{f' ({broken})' if broken else ''}"
        if self.hearing.partial == "exclude":
            raise ExcludedError(
                f"{self.source.path} can be heard in part only: {part}. Copy it again, or set partial: keep.", PARTIAL
            )
        self.notes += (f"is heard in part only: {part}",)

    def _choose(self, levels: Levels) -> None:
        if self.hearing.channel == "loudest":
            self._channel = int(np.argmax(levels.energy))
        over = levels.peak if self.source.floating else 0.0
        if over <= _OVER:
            return
        self._scale = overload_scale(over) if self.hearing.overload == "scale" else 0.0
        if not self._scale:
            raise ExcludedError(
                f"{self.source.path} exceeds full scale by {20 * np.log10(over):.1f} dB, as a floating-point file of "
                "integers or of a wrong gain does. Scale it to at most 1, or set overload: scale.",
                OVERLOADED,
            )
        self.notes += (f"exceeds full scale by {20 * np.log10(over):.1f} dB: divided by {self._scale:g}",)

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Yield what is heard from frame `start` to before `stop`, by default to the end: (n,) float32."""
        at = start
        for frames in self.source.blocks(start, stop):
            at += len(frames)
            yield self.mono(frames)
        if stop is None and self.source.n_frames is None:
            self.check_whole(at)

    def mono(self, frames: np.ndarray) -> np.ndarray:
        """Return the one channel that is heard of frames: (n, n_channels) to (n,), float32."""
        if self._channel is None:
            samples = frames.mean(axis=1, dtype=np.float32)
        else:
            samples = np.ascontiguousarray(frames[:, self._channel])
        return samples if self._scale == 1 else samples / np.float32(self._scale)


def _fixed(channel: str, n_channels: int) -> int | None:
    """Return the channel that is heard of any recording with so many; None if that depends on the sound."""
    if n_channels == 1 or channel == "left":
        return 0
    return 1 if channel == "right" else None


def stream_mono(channel: str, n_channels: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from a stream's frames, block by block, to the one channel that is heard.

    Parameters
    ----------
    channel : {"mean", "left", "right", "loudest"}
        The loudest until now, since a stream's end is not known.
    n_channels : int

    Examples
    --------
    >>> stream_mono("right", 2)(np.array([[0.1, 0.5]], np.float32)).tolist()
    [0.5]
    """
    fixed, levels = _fixed(channel, n_channels), Levels(n_channels)

    def mono(frames: np.ndarray) -> np.ndarray:
        if fixed is not None:
            return np.ascontiguousarray(frames[:, fixed])
        if channel == "mean":
            return frames.mean(axis=1, dtype=np.float32)
        levels.add(frames)
        return np.ascontiguousarray(frames[:, int(np.argmax(levels.energy))])

    return mono
