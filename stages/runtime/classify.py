"""A waveform to a label, by the release's own front end and model."""

from pathlib import Path

import numpy as np

from stages.runtime import manifest
from stages.runtime.audio import clip, clip_start, resample
from stages.runtime.drift import Watch
from stages.runtime.errors import RuntimeInputError
from stages.runtime.hearing import is_silent
from stages.runtime.lines import Line
from stages.runtime.litert import Model


class Classifier:
    """The classifier of one release.

    Parameters
    ----------
    folder : Path
        The release: `manifest.json`, `frontend.tflite`, `model.tflite`.
    threads : int
        Threads of each interpreter.

    Attributes
    ----------
    watch : Watch or None
        Is told of every clip that is scored; None at first.

    Raises
    ------
    RuntimeInputError
        If the release is incomplete or its parts do not fit each other.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        self.manifest = manifest.load(folder)
        self.frontend = Model(folder / manifest.FRONTEND, threads=threads)
        self.model = Model(folder / manifest.MODEL, threads=threads)
        self.watch: Watch | None = None
        steps, *rest = self.frontend.output_shape
        if self.manifest.crops > 1:
            steps = min(self.model.input_shape[0], steps - self.manifest.crops + 1)
        for what, got, expected in (
            ("the front end's input", self.frontend.input_shape, (self.manifest.clip_samples,)),
            ("the model's input", self.model.input_shape, (steps, *rest)),
            ("the model's output", self.model.output_shape, (self.manifest.n_outputs,)),
        ):
            if got != expected:
                raise RuntimeInputError(f"{folder}: {what} must be {expected}; got {got}. Push the release again.")

    def clip(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """Return a waveform at the front end's rate and length: shape (clip_samples,), float32."""
        manifest = self.manifest
        resampled = resample(samples, sample_rate, manifest.sample_rate)
        return clip(resampled, manifest.clip_samples, manifest.align, manifest.hearing)

    def is_silent(self, samples: np.ndarray, sample_rate: int) -> bool:
        """Return whether nothing is to be heard in what the front end is given of a waveform."""
        manifest = self.manifest
        resampled = resample(samples, sample_rate, manifest.sample_rate)
        start = clip_start(resampled, manifest.clip_samples, manifest.align, manifest.hearing)
        return is_silent(resampled[start : start + manifest.clip_samples], manifest.hearing.silence_dbfs)

    def outputs(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """Return the model's output vector for a waveform, the mean over its crops if it takes crops.

        Parameters
        ----------
        samples : np.ndarray, shape (n_samples,), float32
            Mono, in [-1, 1].
        sample_rate : int
            Rate of `samples` (Hz).

        Returns
        -------
        np.ndarray, shape (1,) for a binary task, else (n_classes,), float32
        """
        return self.scored(samples, sample_rate)[0]

    def scored(self, samples: np.ndarray, sample_rate: int) -> tuple[np.ndarray, float | None]:
        """Return what `outputs` does, and how sure the rejection rule is of the front end's output.

        The second is None unless the rule measures the front end's output (`Rejection.sound`).
        """
        clip = self.clip(samples, sample_rate)
        features = self.frontend.run(clip[np.newaxis])
        outputs = self.model.mean_over_crops(features, self.manifest.crops)[0]
        if self.watch is not None:
            self.watch.hear(clip, features, outputs)
        sound = None if self.manifest.reject is None else self.manifest.reject.sound(features)
        return outputs, None if sound is None else float(sound[0])

    def classify(self, samples: np.ndarray, sample_rate: int) -> Line:
        """Classify a waveform.

        Parameters
        ----------
        samples : np.ndarray, shape (n_samples,), float32
            Mono, in [-1, 1].
        sample_rate : int
            Rate of `samples` (Hz).

        Returns
        -------
        dict
            ``label``; ``score``, the probability it was decided by: with two labels the positive one's, which decides
            at `threshold` and above, with more the winner's; ``scores``, label to probability; ``threshold``;
            ``silent``, whether nothing is to be heard, so that the label means nothing; of a release that rejects,
            ``unknown``, whether scores or sound are too unsure for the label to be meant. Of a multi-label task,
            ``labels``, all whose scores reach their thresholds, in place of the first two. ``decision`` is what to act
            on: ``"silent"``, else ``"unknown"``, else the label, or the list of labels.
        """
        outputs, sound = self.scored(samples, sample_rate)
        answer = self.answer(outputs, self.manifest.threshold)
        silent = self.is_silent(samples, sample_rate)
        return self.decided(answer, silent=silent, unknown=self.is_unknown(outputs, sound))

    def is_unknown(self, outputs: np.ndarray, sound: float | None = None) -> bool:
        """Return whether the release's rejection rule calls what `scored` returned unknown."""
        rule, threshold = self.manifest.reject, self.manifest.threshold
        if rule is None:
            return False
        single = threshold if isinstance(threshold, float) else None
        return bool(rule.excess(outputs, None if sound is None else np.array(sound), single) < 0)

    def decided(self, answer: Line, *, silent: bool, unknown: bool) -> Line:
        """Add ``silent``, ``unknown`` and ``decision`` to an answer; see `classify`."""
        label = answer["labels"] if "labels" in answer else answer["label"]
        decision = "silent" if silent else "unknown" if unknown else label
        rejects = {} if self.manifest.reject is None else {"unknown": unknown}
        return answer | {"silent": silent} | rejects | {"decision": decision}

    def answer(self, outputs: np.ndarray, threshold: float | tuple[float, ...] | None) -> Line:
        """Decide by an output vector, as `classify` does, with thresholds such as the manifest has."""
        values, labels = outputs.tolist(), self.manifest.labels
        if isinstance(threshold, tuple):
            held = [label for label, value, limit in zip(labels, values, threshold, strict=True) if value >= limit]
            return {"labels": held, "scores": dict(zip(labels, values, strict=True)), "threshold": list(threshold)}
        if threshold is None:
            score = max(values)
            label = labels[values.index(score)]
        else:
            score = values[0]
            label = labels[1] if score >= threshold else labels[0]
            values = [1 - score, score]
        scores = dict(zip(labels, values, strict=True))
        return {"label": label, "score": score, "scores": scores, "threshold": threshold}
