"""One training on all parts of the groups but one, scored on that part: `python -m flows.tune.training SPEC.json`.

Only the training side of the split is read. Augmented copies are learned from and never scored.
"""

import math
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from flows.execution import processes
from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import dataset
from stages.core.artifacts.dataset import Split
from stages.core.nn import network
from stages.core.nn.keras import keras, make_deterministic
from stages.core.project import errors, files, params, provenance
from stages.core.project.errors import DataError
from stages.core.scoring.metrics import measure
from stages.core.training import loop
from stages.core.training.inference import predict
from stages.train.params import TrainParams

RESULT = "result.json"


@dataclass(frozen=True)
class Spec:
    """A training.

    Attributes
    ----------
    train : TrainParams
    features : Path
        Folder of the features stage.
    metric : str
    part, parts : int
        Part that is held out, from 0, and how many there are.
    seed : int
        Seed of the parts.
    threads : int
        Threads of one operator.
    """

    train: TrainParams
    features: Path
    metric: str
    part: int
    parts: int
    seed: int
    threads: int

    def key(self, data: str) -> str:
        """Return the digest of everything that determines the result, given that of the features."""
        module = f"{network.ARCHITECTURES}.{self.train.architecture}"
        code = provenance.code_hash([__name__, module], ["tensorflow", "tf_keras", "scikit-learn"])
        return files.digest(asdict(self) | {"features": data}, code)


@dataclass(frozen=True)
class Result:
    """What came of a training.

    Attributes
    ----------
    value : float
        The metric on the part.
    n, groups : int
        Clips and groups of the part.
    n_train : int
        Clips that were learned from, without augmented copies.
    seconds : float
        Wall time.
    start_s : float
        Wall time until the first step was done, which longer trainings need no more of (seconds).
    """

    value: float
    n: int
    groups: int
    n_train: int
    seconds: float
    start_s: float = 0.0

    def lasting(self, share: float) -> float:
        """Return how long a training takes of which this one did only a share of the epochs (seconds)."""
        return self.start_s + (self.seconds - self.start_s) / share


def held_out(groups: np.ndarray, y: np.ndarray, *, part: int, parts: int, seed: int) -> set[str]:
    """Return the groups of one part; parts have about the same number of clips and, but for several labels, classes.

    Parameters
    ----------
    groups : np.ndarray, shape (n,), str
    y : np.ndarray, shape (n,) or (n, n_classes)
    part, parts, seed : int
        See `Spec`.

    Raises
    ------
    DataError
        If there are fewer groups than parts.
    """
    known = len(np.unique(groups))
    if known < parts:
        raise DataError(f"the training side must have at least {parts} groups, one per part; it has {known}.")
    kind = GroupKFold if y.ndim == 2 else StratifiedGroupKFold
    folds = kind(n_splits=parts, shuffle=True, random_state=seed).split(np.zeros(len(groups)), y, groups)
    _, rows = list(folds)[part]
    return {str(group) for group in groups[rows]}


def compute(spec: Spec, checkpoint: Path | None = None) -> Result:
    """Train and score.

    Raises
    ------
    EdacError
        If a folder is incomplete, there are too few groups, or the loss is no longer finite.
    """
    begun = time.monotonic()
    whole = dataset.read_split(spec.features, "train")
    own = np.array([not clip.parent for clip in clips_file.read(spec.features) if clip.split == "train"])
    tested = held_out(whole.groups[own], whole.y[own], part=spec.part, parts=spec.parts, seed=spec.seed)
    inside = np.isin(whole.groups, sorted(tested))
    learned, scored = _rows(whole, ~inside), _rows(whole, inside & own)
    keras.utils.set_random_seed(spec.train.seed)
    model, _ = network.build(
        spec.train.architecture,
        spec.train.options,
        whole.input_shape,
        len(whole.labels),
        multi_label=whole.multi_label,
    )
    start_s = 0.0

    def after_step(_step: int) -> None:
        nonlocal start_s
        start_s = start_s or time.monotonic() - begun

    run = loop.Run(spec.train.seed, checkpoint=checkpoint, description="training")
    loop.fit(model, learned, spec.train, run, hooks=loop.Hooks(after_step=after_step))
    scores = predict(model, scored)
    value = float(measure(spec.metric, scored.y, scores[:, 0] if scores.shape[1] == 1 else scores))
    if math.isnan(value):
        raise DataError(f"part {spec.part + 1} has no {spec.metric}, as it lacks a class. Choose fewer --parts.")
    taken_s = time.monotonic() - begun
    return Result(value, len(scored), len(tested), int((~inside & own).sum()), round(taken_s, 1), round(start_s, 1))


def _rows(split: Split, rows: np.ndarray) -> Split:
    names = ("x", "y", "clip_ids", "groups", "sites", "recordings")
    return replace(split, **{name: getattr(split, name)[rows] for name in names if len(getattr(split, name))})


def main() -> None:
    """Run the training whose spec the command line names; write its result beside it."""
    processes.die_with_parent()
    path = Path(sys.argv[1])
    spec = params.load(Spec, files.read_json(path), str(path))
    make_deterministic(spec.train.seed, spec.threads)
    result = compute(spec, path.with_name("checkpoint.npz"))
    with files.growing_folder(path.parent / "done", files.digest(str(path))) as folder:
        files.write_json(folder / RESULT, asdict(result))
    path.with_name("checkpoint.npz").unlink(missing_ok=True)


if __name__ == "__main__":
    errors.run(main)
