"""Sound that does not end, to a decision every hop or to events: windows, scores, smoothing."""

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from stages.runtime import events
from stages.runtime.audio import Resampler
from stages.runtime.classify import Classifier
from stages.runtime.errors import RuntimeInputError
from stages.runtime.events import EventRule
from stages.runtime.lines import Line

PENDING_WINDOWS = 2  # that a live stream may be behind
T = TypeVar("T")


def windows(
    chunks: Iterator[np.ndarray], rate_from: int, rate_to: int, *, n_samples: int, hop: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Cut a stream into windows, `hop` samples from one to the next; the last may be shorter.

    Together they are the windows of the same sound resampled whole: a stream as long as one window gives just that.

    Parameters
    ----------
    chunks : Iterator[np.ndarray]
        Mono float32 at `rate_from`.
    rate_from, rate_to : int
        Hz.
    n_samples, hop : int
        At `rate_to`; `hop` is at most `n_samples`.

    Yields
    ------
    start : int
        Length of the window, in samples at `rate_to`.
    window : np.ndarray, shape (n_samples,) or shorter, float32
    """
    resampler = Resampler(rate_from, rate_to)
    held, start, covered = np.zeros(0, np.float32), 0, 0

    def arriving() -> Iterator[np.ndarray]:
        yield from map(resampler.push, chunks)
        yield resampler.finish()

    for samples in arriving():
        held = np.concatenate([held, samples])
        while len(held) >= n_samples:
            yield start, held[:n_samples]
            covered = start + n_samples
            held, start = held[hop:], start + hop
    if start + len(held) > covered:
        yield start, held


def newest(items: Iterator[T]) -> Iterator[tuple[T, int]]:
    """Take items as they come in another thread, and drop the oldest while the consumer is behind.

    Yields
    ------
    item
    dropped : int
        How many were dropped until now.

    Raises
    ------
    RuntimeInputError
        As `items` does, after what came before.
    """
    waiting: queue.Queue[T | RuntimeInputError | None] = queue.Queue()
    dropped = 0

    def take() -> None:
        nonlocal dropped
        try:
            for item in items:
                waiting.put(item)
                if waiting.qsize() > PENDING_WINDOWS:
                    with contextlib.suppress(queue.Empty):  # the consumer was quicker
                        waiting.get_nowait()
                        dropped += 1
        except RuntimeInputError as error:
            waiting.put(error)
        finally:
            waiting.put(None)

    threading.Thread(target=take, daemon=True).start()
    while (item := waiting.get()) is not None:
        if isinstance(item, RuntimeInputError):
            raise item
        yield item, dropped


def smoother(rule: str | None) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that takes output vectors in turn and returns each one smoothed over those before it.

    Parameters
    ----------
    rule : str or None
        As `stages.runtime.events.smoothing` takes it; None for none.

    Raises
    ------
    RuntimeInputError
        If it is neither ``"mean:N"`` nor ``"exponential:A"``.
    """
    try:
        return events.smoothing(rule or "mean:1")[0]
    except ValueError:
        raise RuntimeInputError(f"smooth must be mean:N or exponential:A with 0 < A <= 1; got {rule}.") from None


@dataclass(frozen=True)
class Scored:
    """One window of a stream and its scores.

    Attributes
    ----------
    start_s, end_s : float
    outputs : np.ndarray, shape (n_outputs,)
    silent : bool
    dropped : int
        Windows that were dropped until now, the device being behind.
    sound : float or None
        See `Classifier.scored`.
    """

    start_s: float
    end_s: float
    outputs: np.ndarray
    silent: bool
    dropped: int
    sound: float | None = None


def score(
    classifier: Classifier, chunks: Iterator[np.ndarray], sample_rate: int, *, hop_s: float, live: bool = False
) -> Iterator[Scored]:
    """Score a stream window by window; parameters and errors as of `listen`."""
    rate, length = classifier.manifest.sample_rate, classifier.manifest.clip_samples
    hop = round(hop_s * rate)
    if not 1 <= hop <= length:
        raise RuntimeInputError(f"hop-s must be above 0 and at most a window's {length / rate:g} s; got {hop_s:g}.")
    framed = windows(chunks, sample_rate, rate, n_samples=length, hop=hop)
    for (start, window), dropped in newest(framed) if live else zip(framed, itertools.repeat(0)):
        outputs, sound = classifier.scored(window, rate)
        silent = classifier.is_silent(window, rate)
        yield Scored(start / rate, (start + length) / rate, outputs, silent, dropped, sound)


def listen_events(
    classifier: Classifier,
    chunks: Iterator[np.ndarray],
    sample_rate: int,
    rule: EventRule,
    *,
    live: bool = False,
    with_windows: bool = False,
) -> Iterator[Line]:
    """Turn a stream into events by `stages.runtime.events`, each as soon as nothing can change it any more.

    Parameters
    ----------
    classifier : Classifier
    chunks : Iterator[np.ndarray]
        Mono float32.
    sample_rate : int
        Rate of the chunks (Hz).
    rule : EventRule
        `hop_s` above 0.
    live : bool
        As of `listen`.
    with_windows : bool
        Yield the answer of every window too.

    Yields
    ------
    dict
        For an event ``event``, its label, ``onset_s``, ``offset_s``, ``peak`` and ``detected_s``, and ``dropped``; for
        a window what `listen` yields.

    Raises
    ------
    RuntimeInputError
        If the hop is out of range, or as the chunks do.
    """
    manifest, dropped = classifier.manifest, 0
    window_s = manifest.clip_samples / manifest.sample_rate
    tracker = events.EventTracker(rule, manifest.labels, window_s=window_s, hop_s=rule.hop_s)

    def line(event: events.Event) -> Line:
        answer = event.answer()
        return {"event": answer.pop("label")} | answer | {"dropped": dropped}

    for each in score(classifier, chunks, sample_rate, hop_s=rule.hop_s, live=live):
        dropped = each.dropped
        answer = classifier.answer(each.outputs, manifest.threshold)
        unknown = classifier.is_unknown(each.outputs, each.sound)
        if with_windows:
            decision = classifier.decided(answer, silent=each.silent, unknown=unknown)
            yield {"start_s": each.start_s, "end_s": each.end_s} | decision | {"dropped": dropped}
        scores = np.fromiter(answer["scores"].values(), np.float64)
        heard = not each.silent and not unknown
        yield from map(line, tracker.push(each.start_s, scores, heard=heard))
    yield from map(line, tracker.finish())


@dataclass(frozen=True)
class WindowRule:
    """How the windows of a stream are decided.

    Attributes
    ----------
    hop_s : float
        Seconds from one window to the next; at most a window's length.
    smooth : str or None
        As `smoother` takes it.
    threshold : float or None
        Threshold of the positive score, or of every label's of a multi-label task; None is the manifest's.
    hysteresis : float
        How far below its threshold a score must fall to end what is positive.
    """

    hop_s: float
    smooth: str | None = None
    threshold: float | None = None
    hysteresis: float = 0.0


def listen(
    classifier: Classifier, chunks: Iterator[np.ndarray], sample_rate: int, rule: WindowRule, *, live: bool = False
) -> Iterator[Line]:
    """Classify a stream window by window; a window is as long as the clips the model was trained on.

    Parameters
    ----------
    classifier : Classifier
    chunks : Iterator[np.ndarray]
        Mono float32.
    sample_rate : int
        Rate of the chunks (Hz).
    rule : WindowRule
    live : bool
        Drop the oldest windows while the device is behind, instead of letting the source wait.

    Yields
    ------
    dict
        ``start_s`` and ``end_s`` of the window; what `Classifier.classify` returns; ``dropped``, windows until now.

    Raises
    ------
    RuntimeInputError
        If a parameter is out of range, or as the chunks do.
    """
    manifest, threshold, hysteresis = classifier.manifest, rule.threshold, rule.hysteresis
    if manifest.threshold is None and (threshold is not None or hysteresis):
        raise RuntimeInputError("threshold and hysteresis are for two labels; this release has more. Leave them out.")
    if hysteresis < 0:
        raise RuntimeInputError(f"hysteresis must be at least 0; got {hysteresis:g}.")
    smoothed, upper, labels = smoother(rule.smooth), manifest.threshold, manifest.labels
    if threshold is not None:
        upper = (threshold,) * len(labels) if isinstance(upper, tuple) else threshold
    held: Sequence[str] = ()

    def applied() -> float | tuple[float, ...] | None:
        if isinstance(upper, tuple):
            return tuple(limit - hysteresis * (label in held) for label, limit in zip(labels, upper, strict=True))
        return upper - hysteresis if upper is not None and labels[-1] in held else upper

    for each in score(classifier, chunks, sample_rate, hop_s=rule.hop_s, live=live):
        outputs = smoothed(each.outputs)
        answer = classifier.answer(outputs, applied())
        held = answer["labels"] if "labels" in answer else [answer["label"]]
        unknown = classifier.is_unknown(outputs, each.sound)
        answer = classifier.decided(answer, silent=each.silent, unknown=unknown) | {"dropped": each.dropped}
        yield {"start_s": each.start_s, "end_s": each.end_s} | answer
