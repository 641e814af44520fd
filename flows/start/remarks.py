"""What the parameters do to the recordings that are there: padding, cutting, resampling, windows of a poor length."""

from pathlib import Path
from typing import Any

import numpy as np

from flows.start import recordings
from stages.core.project import params
from stages.features.params import FeatureParams
from stages.pull.params import PullParams

LONGEST_WINDOW_S, SHORTEST_WINDOW_S = 0.1, 0.008
SHORT_S = 0.25
"""Half of the recordings below this length may not hold the whole sound."""
_SAME = 1.01  # lengths and rates that differ by less count as equal
_FEW_FRAMES = 8
_RARE = 0.02


def remarks(path: Path = params.PARAMS_FILE) -> list[str]:
    """Return what a person should know of the front end's parameters; one sentence each.

    Parameters
    ----------
    path : Path
        ``params.yaml``, whose recordings are looked at if they are there: the pulled ones, or a sample of a folder of
        the user's own.
    """
    features, pull = params.section("features", FeatureParams, path), params.section("pull", PullParams, path)
    _, config = features.configure()
    owner = f"features.options.{features.frontend}"
    found = _of_windows(config, owner)
    measured = recordings.lengths(pull)
    if measured is None:
        return found
    seconds, rates = measured
    clip_s = config.clip_samples / config.sample_rate
    return [
        *found,
        *of_lengths(seconds, clip_s, owner, repeated=features.short == "repeat", segments=features.segment is not None),
        *_of_rates(rates, config),
    ]


def _of_windows(config: Any, owner: str) -> list[str]:
    if not hasattr(config, "n_fft"):
        return []
    found = []
    window = getattr(config, "win_length", None) or config.n_fft
    name = "win_length" if getattr(config, "win_length", None) else "n_fft"
    window_s, hop_s = window / config.sample_rate, config.hop_length / config.sample_rate
    size = f"{owner}.{name} {window} is a window of {1000 * window_s:.0f} ms at {config.sample_rate} Hz"
    if window_s > LONGEST_WINDOW_S:
        found.append(f"{size}, in which quick sounds blur; 20 to 50 ms are usual")
    if window_s < SHORTEST_WINDOW_S:
        found.append(f"{size}, too short to tell low frequencies apart; 20 to 50 ms are usual")
    frames = config.clip_samples / config.hop_length
    if frames < _FEW_FRAMES:
        every = f"{owner}.hop_length {config.hop_length} is a frame every {1000 * hop_s:.0f} ms"
        found.append(f"{every}, {max(1, int(frames))} of a clip; a network needs more to follow a sound")
    return found


def of_lengths(
    seconds: np.ndarray, clip_s: float, owner: str, *, repeated: bool = False, segments: bool = False
) -> list[str]:
    """Return what is to be said of recordings that are longer or shorter than a clip.

    Parameters
    ----------
    seconds : np.ndarray, shape (n,)
        Lengths of the recordings.
    clip_s : float
        Length of a clip (seconds).
    owner : str
        The front end's dotted name.
    repeated : bool
        Whether short recordings are repeated, so that nothing is silence.
    segments : bool
        Whether recordings are cut into several clips, so that nothing is lost.

    Examples
    --------
    >>> of_lengths(np.array([0.5, 0.5, 0.6]), 7.0, "mfcc")  # doctest: +NORMALIZE_WHITESPACE
    ['100% of the recordings are shorter than half of the clip of 7 s (mfcc.clip_samples); the rest is silence, or with
    features.short: repeat the recording again']
    """
    found, clip = [], f"the clip of {clip_s:g} s ({owner}.clip_samples)"
    padded, cut = float((seconds < 0.5 * clip_s).mean()), float((seconds > _SAME * clip_s).mean())
    if padded > _RARE and not repeated:
        found.append(
            f"{padded:.0%} of the recordings are shorter than half of {clip}; the rest is silence, "
            "or with features.short: repeat the recording again"
        )
    if cut > _RARE and not segments:
        longest = float(seconds.max())
        advice = "features.segment or features.place says which part is heard"
        found.append(
            f"{cut:.0%} of the recordings are longer than {clip}, up to {longest:.3g} s, and are cut; {advice}"
        )
    middle = float(np.median(seconds))
    if middle < SHORT_S:
        found.append(f"half of the recordings are shorter than {middle:.2f} s: check that they hold the whole sound")
    return found


def _of_rates(rates: np.ndarray, config: Any) -> list[str]:
    rate = config.sample_rate
    lower = rates[rates * _SAME < rate]
    if len(lower) <= _RARE * len(rates):
        return []
    share, lowest = len(lower) / len(rates), int(lower.min())
    return [
        f"{share:.0%} of the recordings have a lower rate than {rate} Hz, from {lowest} Hz on, and are brought up to "
        f"it: nothing is heard above {lowest // 2} Hz there"
    ]
