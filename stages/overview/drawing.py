"""Histograms as geometry, which the page's template draws as SVG; every text stays text until then."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT, BASE = 320, 120, 96
_NOTHING = 5e-4  # of the units that are drawn
_BINS = 24
_MOST_BARS = 12


@dataclass(frozen=True)
class Bar:
    """One bar, in the units of the picture, and its description."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Tick:
    """A number below the axis."""

    x: float
    text: str
    anchor: str


@dataclass(frozen=True)
class Plot:
    """A histogram.

    Attributes
    ----------
    title, note : str
        What is counted, and its range in a sentence.
    bars : tuple of Bar
    ticks : tuple of Tick
    highest : int
        Recordings in the highest bar.
    """

    title: str
    note: str
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    highest: int


def histogram(title: str, unit: str, values: Sequence[float], *, log: bool = False) -> Plot:
    """Return the histogram of a quantity, in equal steps or in equal ratios.

    Parameters
    ----------
    title, unit : str
    values : sequence of float
        At least one; above 0 if `log`.
    log : bool
    """
    x = np.asarray(values, float)
    scaled = np.log10(x) if log else x
    low, high = float(scaled.min()), float(scaled.max())
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(scaled, _BINS, (low, high))
    shown = 10**edges if log else edges
    titles = [f"{_text(shown[i])} to {_text(shown[i + 1])} {unit}: {n}" for i, n in enumerate(counts.tolist())]
    middle = 10 ** ((low + high) / 2) if log else (low + high) / 2
    ticks = (
        Tick(0, _text(shown[0]), "start"),
        Tick(WIDTH / 2, _text(middle), "middle"),
        Tick(WIDTH, f"{_text(shown[-1])} {unit}", "end"),
    )
    median, least, most = np.median(x), x.min(), x.max()
    note = f"median {_text(median)} {unit}, from {_text(least)} to {_text(most)}"
    return Plot(title, note, _bars(counts.tolist(), titles), ticks, int(counts.max()))


def _text(value: float) -> str:
    """Return a number with three digits; what is next to nothing is 0."""
    return f"{value:.3g}" if abs(value) >= _NOTHING else "0"


def categories(title: str, unit: str, values: Iterable[int]) -> Plot:
    """Return the counts of each distinct number; the rarest beyond twelve are one bar, `others`."""
    counts = Counter(values)
    kept = sorted(name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_BARS])
    shown = [(f"{name:,}", counts[name]) for name in kept]
    if rest := sum(counts.values()) - sum(n for _, n in shown):
        shown.append(("others", rest))
    texts = [f"{' '.join(filter(None, (name, unit)))}: {n}" for name, n in shown]
    bars = _bars([n for _, n in shown], texts)
    step = WIDTH / len(shown)
    every = 1 if len(shown) <= 5 else 3
    ticks = tuple(Tick(step * (i + 0.5), name, "middle") for i, (name, _) in enumerate(shown) if i % every == 0)
    note = ", ".join(texts[:3]) + (" ..." if len(shown) > 3 else "")
    return Plot(title, note, bars, ticks, max(n for _, n in shown))


def _bars(counts: Sequence[int], titles: Sequence[str]) -> tuple[Bar, ...]:
    step, most = WIDTH / len(counts), max(*counts, 1)
    width = min(0.86 * step, 60.0)
    found = []
    for i, (n, title) in enumerate(zip(counts, titles, strict=True)):
        height = max(BASE * 0.9 * n / most, 1.5) if n else 0.0
        found.append(
            Bar(round(step * (i + 0.5) - width / 2, 2), round(BASE - height, 2), width, round(height, 2), title)
        )
    return tuple(found)
