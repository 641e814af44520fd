"""A recording of any length through the classifier, window by window, in bounded memory.

The answer for the recording follows the task's rule, as at home: it is that of one clip, which is placed as the front
end says or where the recording is loudest; or, of a task that cuts recordings into segments, of the mean over the
segments in which anything is to be heard. A recording that is longer than a clip is answered window by window besides.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stages.runtime.audio import Loudest, Resampler, loudest_hop, read_part, resampled_length
from stages.runtime.classify import Classifier
from stages.runtime.errors import RuntimeInputError
from stages.runtime.events import Event, EventTracker, default_rule
from stages.runtime.hearing import Listener, is_silent
from stages.runtime.lines import Line
from stages.runtime.wav import open_wav


def windows(listener: Listener, rate: int, *, n_samples: int, hop: int) -> Iterator[tuple[int, np.ndarray]]:
    """Cut a recording that is longer than a window into windows; the last one ends where the recording does.

    Parameters
    ----------
    listener : Listener
    rate : int
        To resample to (Hz).
    n_samples, hop : int
        Length of a window, and from one to the next, at `rate`; `hop` is at most `n_samples`.

    Yields
    ------
    start : int
        Length of the window, in samples at `rate`.
    window : np.ndarray, shape (n_samples,), float32
        Shorter if the recording is.
    """
    resampler = Resampler(listener.sample_rate, rate)
    held, first, start = np.zeros(0, np.float32), 0, 0

    def arriving() -> Iterator[np.ndarray]:
        yield from map(resampler.push, listener.blocks())
        yield resampler.finish()

    for samples in arriving():
        held = np.concatenate([held, samples])
        while first + len(held) >= start + n_samples:
            yield start, held[start - first : start - first + n_samples]
            start += hop
        keep = max(0, start - hop - first)  # the window before the next one, of which the last one may need a part
        held, first = held[keep:], first + keep
    end = first + len(held)
    if end > max(start - hop, 0) + n_samples or start == 0:
        last = max(0, end - n_samples)
        yield last, held[last - first :]


class Recording:
    """One WAV file and its classifier.

    Parameters
    ----------
    classifier : Classifier
    path : Path
    hop_s : float or None
        Seconds from one window to the next; None is the task's own, or else that of the release's event rule, or else
        a window's length. Without it, events are of windows as the event rule has them.

    Attributes
    ----------
    is_long : bool
        Whether it is longer than what the classifier takes at once.
    events : list[Event]
        Those of a long recording by the release's event rule, after all of `windows`; as each is over.

    Raises
    ------
    RuntimeInputError
        If the file cannot be heard, or `hop_s` is out of range.
    """

    def __init__(self, classifier: Classifier, path: Path, *, hop_s: float | None = None) -> None:
        self.classifier, self.path, manifest = classifier, path, classifier.manifest
        self.hearing, self._rate, self._length = manifest.hearing, manifest.sample_rate, manifest.clip_samples
        wav = open_wav(path)
        self._listener = Listener(wav, self.hearing)
        self._n_samples = resampled_length(wav.n_frames, wav.sample_rate, self._rate)
        self._duration_s = wav.n_frames / wav.sample_rate
        window_s = self._length / self._rate
        rule = manifest.events or default_rule(manifest.labels, manifest.threshold)
        seconds = hop_s if hop_s is not None else self.hearing.hop_s or rule.hop_s or window_s
        self._hop = round(seconds * self._rate)
        if not 1 <= self._hop <= self._length:
            raise RuntimeInputError(f"hop-s must be above 0 and at most a window's {window_s:g} s; got {seconds:g}.")
        self.is_long = self._n_samples > self._length
        self._sum: np.ndarray | None = None
        self._sum_sound: float | None = None
        self._n_heard = self._n_windows = 0
        event_s = hop_s if hop_s is not None else rule.hop_s or seconds
        self._event_hop = round(event_s * self._rate)
        self._tracker = EventTracker(rule, manifest.labels, window_s=window_s, hop_s=event_s)
        self.events: list[Event] = []

    def windows(self) -> Iterator[Line]:
        """Yield the answer of each window.

        Yields
        ------
        dict
            ``start_s``, ``end_s``, ``label`` and ``score`` (or ``labels``), and ``silent`` or ``unknown`` if it is so.
        """
        found = windows(self._listener, self._rate, n_samples=self._length, hop=self._hop)
        for start, window in found:
            outputs, sound = self.classifier.scored(window, self._rate)
            silent = is_silent(window, self.hearing.silence_dbfs)
            self._n_windows += 1
            self._n_heard += not silent
            if self._sum is None or (not silent and self._n_heard == 1):
                self._sum, self._sum_sound = np.zeros(outputs.shape, np.float64), None if sound is None else 0.0
            if not silent or not self._n_heard:  # the mean of all if there is nothing to hear
                self._sum += outputs
                self._sum_sound = None if sound is None else (self._sum_sound or 0.0) + sound
            answer = self.classifier.answer(outputs, self.classifier.manifest.threshold)
            unknown = self.classifier.is_unknown(outputs, sound)
            if self._event_hop == self._hop:
                self._track(start, answer, heard=not silent and not unknown)
            kept = {name: answer[name] for name in ("label", "score", "labels") if name in answer}
            times = {"start_s": start / self._rate, "end_s": (start + len(window)) / self._rate}
            yield times | kept | ({"silent": True} if silent else {}) | ({"unknown": True} if unknown else {})
        if self._event_hop != self._hop:
            self._find_events()
        self.events += self._tracker.finish()

    def _find_events(self) -> None:
        """Go through the recording again, in windows as the event rule has them."""
        for start, window in windows(self._listener, self._rate, n_samples=self._length, hop=self._event_hop):
            outputs, sound = self.classifier.scored(window, self._rate)
            silent, unknown = is_silent(window, self.hearing.silence_dbfs), self.classifier.is_unknown(outputs, sound)
            answer = self.classifier.answer(outputs, self.classifier.manifest.threshold)
            self._track(start, answer, heard=not silent and not unknown)

    def _track(self, start: int, answer: Line, *, heard: bool) -> None:
        scores = np.fromiter(answer["scores"].values(), np.float64)
        self.events += self._tracker.push(start / self._rate, scores, heard=heard)

    def answer(self) -> Line:
        """Return the answer for the recording; of a long one of a task with segments, after all of `windows`.

        Returns
        -------
        dict
            What `Classifier.classify` returns; ``duration_s`` of the recording and ``heard_s``, how much of it the
            answer is about; of a long recording ``start_s`` and ``end_s`` of that part; ``notes``, if there is anything
            that a person should know of the file.
        """
        answer = self._of_segments() if self.is_long and self.hearing.segment_s else self._of_clip()
        return answer | ({"notes": list(self._listener.notes)} if self._listener.notes else {})

    def _of_segments(self) -> Line:
        assert self._sum is not None  # `windows` was gone through
        n = self._n_heard or self._n_windows
        outputs, sound = (self._sum / n).astype(np.float32), None if self._sum_sound is None else self._sum_sound / n
        answer = self.classifier.answer(outputs, self.classifier.manifest.threshold)
        unknown = self.classifier.is_unknown(outputs, sound)
        return self.classifier.decided(answer, silent=self._n_heard == 0, unknown=unknown) | {
            "duration_s": self._duration_s,
            "heard_s": self._duration_s,
            "start_s": 0.0,
            "end_s": self._duration_s,
        }

    def _of_clip(self) -> Line:
        if not self.is_long:
            samples = np.concatenate(list(self._listener.blocks()))
            lengths = {"duration_s": self._duration_s, "heard_s": self._duration_s}
            return self.classifier.classify(samples, self._listener.sample_rate) | lengths
        start = self._clip_start()
        samples = read_part(self._listener, self._rate, start, start + self._length)
        times = {"start_s": start / self._rate, "end_s": (start + self._length) / self._rate}
        lengths = {"duration_s": self._duration_s, "heard_s": self._length / self._rate}
        return self.classifier.classify(samples, self._rate) | lengths | times

    def _clip_start(self) -> int:
        if self.hearing.place == "aligned":
            return (self._n_samples - self._length) // 2 if self.classifier.manifest.align == "middle" else 0
        loudest = Loudest()
        for start, window in windows(self._listener, self._rate, n_samples=self._length, hop=loudest_hop(self._length)):
            loudest.add(start, window)
        return loudest.start
