"""Several networks of one architecture, whose logits are averaged.

The average of the logits of a softmax is, but for a constant that no softmax sees, that of log-probabilities: the
geometric mean. Of a sigmoid it is the geometric mean of the odds, and symmetric in the two answers, which an average of
log-probabilities is not.

Members differ in their seed (`over: seeds`) or in their training clips (`over: folds`): the groups of the training
split are divided into as many parts as there are members, each member is trained on the other parts, and a training
clip is scored by the one member that was not trained on its group. Such scores are as uncertain as those of new clips,
where a network that has memorised a clip repeats its label. Validation clips are scored by all members.

References
----------
Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531 (2015), section 3.
Breiman, "Stacked Regressions", Machine Learning 24 (1996), on predictions by models not trained on the example.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from stages.core.artifacts import network as network_file
from stages.core.artifacts.dataset import Split
from stages.core.nn import network
from stages.core.nn.keras import keras, make_deterministic
from stages.core.project import files
from stages.core.project.errors import require
from stages.core.project.params import Options
from stages.core.training import loop
from stages.core.training.distillation_loss import logits_network
from stages.core.training.inference import predict
from stages.core.training.params import FitParams
from stages.distill.material import SIDES, TeacherInputs, TeacherOutputs, parts

_MEMBERS = "distill.options.ensemble.members"


@dataclass(frozen=True)
class MemberParams(FitParams):
    """Parameters of a member's training; see `FitParams`. Every epoch is trained: the validation split is not used."""

    SECTION: ClassVar[str] = "distill.options.ensemble.fit"

    decay: Literal["none", "cosine", "linear", "steps"] = "cosine"


@dataclass(frozen=True)
class Config:
    """Parameters of the ensemble.

    Attributes
    ----------
    architecture : str
        A file of `stages/train/architectures/`; it sees the features that the student sees.
    options : dict
        Architecture name to its parameters.
    members : int
    over : {"seeds", "folds"}
    fit : MemberParams
    """

    architecture: str = "edac_cnn"
    options: Options = field(default_factory=dict)
    members: int = 5
    over: Literal["seeds", "folds"] = "seeds"
    fit: MemberParams = field(default_factory=MemberParams)

    def __post_init__(self) -> None:
        """Check the ranges."""
        least = 2 if self.over == "folds" else 1
        require(
            least <= self.members <= 100,
            _MEMBERS,
            f"be from {least} to 100 over {self.over}",
            self.members,
        )


def learn(config: Config, material: TeacherInputs, folder: Path, *, seed: int, threads: int) -> TeacherOutputs:
    """Train the members and average their logits; a killed run resumes."""
    make_deterministic(seed, threads)
    everyone = np.arange(len(material.train))
    unheard = (
        parts(material.train.split, config.members, seed=seed, owner=_MEMBERS)
        if config.over == "folds"
        else [None] * config.members
    )
    answers, digests, parameters = [], [], 0
    for i, part in enumerate(unheard):
        rows = everyone if part is None else np.setdiff1d(everyone, part)
        member = folder / f"member{i}"
        if not (member / "answers.npz").exists():
            _train(config, material, rows, member, seed=seed + i, description=f"teacher {i + 1}")
        parameters = network_file.read(member).n_parameters
        digests.append(files.sha256(member / "weights.npz"))
        with np.load(member / "answers.npz") as stored:
            answers.append({name: stored[name] for name in SIDES})
    logits: dict[str, np.ndarray] = {
        name: np.stack([answer[name] for answer in answers]).mean(axis=0) for name in SIDES
    }
    for part, answer in zip(unheard, answers, strict=True):
        if part is not None:
            logits["train"][part] = answer["train"][part]
    about = {
        "kind": f"{config.members} {config.architecture} over {config.over}",
        "parameters": parameters * config.members,
        "bytes": 4 * parameters * config.members,
        "out_of_fold": config.over == "folds",
    }
    return TeacherOutputs(logits, material.labels, files.digest(digests), about)


def _train(
    config: Config, material: TeacherInputs, rows: np.ndarray, member: Path, *, seed: int, description: str
) -> None:
    """Train one member on some rows of the training split and write it and its answers for both sides."""
    keras.utils.set_random_seed(seed)
    split = _some(material.train.split, rows)
    model, described = network.build(
        config.architecture, config.options, split.input_shape, len(split.labels), multi_label=split.multi_label
    )
    member.mkdir(exist_ok=True)
    checkpoint = member / "checkpoint.npz"
    loop.fit(model, split, config.fit, loop.Run(seed, checkpoint=checkpoint, description=description))
    network.save(model, described, member)
    teacher = logits_network(model)
    answers = {name: predict(teacher, side.split) for name, side in material.sides()}
    with files.atomic(member / "answers.npz") as temporary:
        np.savez(temporary, **answers)  # type: ignore[arg-type]
    checkpoint.unlink(missing_ok=True)


def _some(split: Split, rows: np.ndarray) -> Split:
    return replace(
        split,
        x=split.x[rows],
        y=split.y[rows],
        clip_ids=split.clip_ids[rows],
        groups=split.groups[rows],
        sites=split.sites[rows],
    )
