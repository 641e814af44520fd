"""Choose length and rate of a clip and the resolution of its levels."""

import math
from dataclasses import dataclass
from typing import Any

from flows.start.choice import Choice
from flows.start.survey import Survey

RATES = (8000, 16000, 22050)
LONGEST_S = 10.0
"""Recordings up to this length are heard whole, longer ones in parts."""
PART_S = 5.0
_TOLERANCE_S = 0.01  # a few samples more need no longer clip
_LONG_S = 3.0  # clips above this length are heard in coarser steps
_MOSTLY = 0.5
_REPEATED = "{:.0%} of the recordings are shorter than half of a clip, which silence would fill (docs/recipes.md)"


@dataclass(frozen=True)
class Clip:
    """Length of a clip (seconds), why, what else follows from the lengths, and the clips of a recording in the mean."""

    seconds: float
    why: str
    choices: tuple[Choice, ...]
    of_recording: float


def frontend(survey: Survey, chosen: Clip, warnings: list[str]) -> tuple[list[Choice], tuple[int, ...]]:
    """Return the choices of the front end and the shape of its features.

    Parameters
    ----------
    survey : Survey
    chosen : Clip
    warnings : list of str
        What the user should know is appended.
    """
    seconds = chosen.seconds
    rate, why_rate = _rate(survey, warnings)
    samples = round(seconds * rate)
    n_fft = 2 ** round(math.log2(rate * (0.03 if seconds <= _LONG_S else 0.045)))
    hop = n_fft if seconds > _LONG_S else n_fft // 2
    n_mels = 40 if rate <= 8000 else 64 if seconds > _LONG_S or rate > 16000 else 48
    options = {
        "sample_rate": rate,
        "clip_samples": samples,
        "n_fft": n_fft,
        "hop_length": hop,
        "n_mels": n_mels,
        "fmin": 50.0,
    }
    shape = (1 + samples // hop, n_mels, 1)
    resolution = (
        f"windows of {1000 * n_fft / rate:.0f} ms every {1000 * hop / rate:.0f} ms and {n_mels} bands: "
        f"{shape[0]} x {n_mels} levels for a clip"
    )
    return [
        Choice("features.frontend", "log_mel", "levels in decibels, which training can vary on the fly"),
        Choice("features.options.log_mel", options, f"{chosen.why}; {why_rate}; {resolution}"),
        *chosen.choices,
    ], shape


def clip(survey: Survey, warnings: list[str]) -> Clip:
    """Choose the length of a clip: that of nearly all recordings, or a part of long ones.

    Parameters
    ----------
    survey : Survey
    warnings : list of str
        What the user should know is appended.
    """
    middle, long = survey.quantile(0.5), survey.quantile(0.95)
    kept = 95
    if long > 2.5 * middle:
        long, kept = survey.quantile(0.9), 90
    if survey.quantile(1) <= 1.25 * long:
        long, kept = survey.quantile(1), 100
    parts = long > LONGEST_S
    seconds = PART_S if parts else math.ceil((long - _TOLERANCE_S) * 10) / 10
    cut, shorter = float((survey.seconds > seconds + 0.01).mean()), survey.much_shorter(seconds)
    if cut > 0.02 and not parts:
        warnings.append(f"{cut:.0%} of the recordings are longer than {seconds:g} s and are cut there")
    if shorter > 0.25:
        becomes = "repeated until it is full" if shorter > _MOSTLY else "padded"
        warnings.append(f"{shorter:.0%} of the recordings are shorter than half of {seconds:g} s and are {becomes}")
    if middle < 0.25:
        warnings.append(f"half of the recordings are shorter than {middle:.2f} s: check that they hold the whole sound")
    choices, of_recording = [], 1.0
    why = f"{seconds:g} s hold {kept} % of the recordings whole (median {middle:.2f} s)"
    if parts:
        of_recording = survey.clips(seconds)
        why = f"parts of {seconds:g} s of recordings of {middle:.3g} s (median)"
        reason = f"a recording becomes {of_recording:.2g} clips in the mean; a file's answer is the mean of theirs"
        choices.append(Choice("features.segment", {"hop_s": seconds}, reason))
    if shorter > _MOSTLY:
        choices.append(Choice("features.short", "repeat", _REPEATED.format(shorter)))
    return Clip(seconds, why, tuple(choices), of_recording)


def _rate(survey: Survey, warnings: list[str]) -> tuple[int, str]:
    lowest = min(rate for rate, n in survey.rates.items() if n >= 0.02 * survey.n)
    needed = 2 * float(_median(survey.bandwidth_hz))
    fitting = [rate for rate in RATES if rate <= lowest * 1.01] or [min(lowest, RATES[0])]
    rate = next((rate for rate in fitting if rate >= 0.9 * needed and rate >= min(16000, fitting[-1])), fitting[-1])
    if len(survey.rates) > 1:
        found = ", ".join(f"{n} at {hz} Hz" for hz, n in sorted(survey.rates.items()))
        warnings.append(
            f"the recordings have several rates ({found} of {survey.n} looked at); all are brought to {rate} Hz, so "
            "that a class cannot be told by its rate"
        )
    return rate, f"{rate} Hz (rates from {lowest} Hz, sound up to about {needed / 2000:.1f} kHz)"


def _median(values: Any) -> float:
    return float(sorted(values)[len(values) // 2])
