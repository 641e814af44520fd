"""What a student learns from a teacher beside its targets, and where in a network it is found.

The loss is Hinton's, of logits z and a temperature T: alpha times the cross-entropy with the targets, plus 1 - alpha
times T² KL(softmax(z_teacher / T) || softmax(z_student / T)); of a binary or multi-label task with a sigmoid for each
output. T² keeps the gradient's size, which falls with its square.

References
----------
Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531 (2015), section 2.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.special

from stages.core.artifacts import teacher as teacher_file
from stages.core.artifacts.dataset import Split
from stages.core.artifacts.teacher import Teacher
from stages.core.project import files
from stages.core.project.errors import DataError, ModelError, require

if TYPE_CHECKING:
    from stages.core.nn.keras import keras, tf

ENCODER = "encoder"


@dataclass(frozen=True)
class Distillation:
    """The `distill` section of `params.yaml`: who teaches, and how students learn from it.

    Attributes
    ----------
    teacher : str or None
        A file of `stages/distill/teachers/`; None for none.
    seed : int
        Of the teacher.
    threads : int
        Of one operator, while the teacher learns; part of the result.
    options : dict
        Teacher's name to its parameters.
    train : bool
        Whether the baseline learns from the teacher, if there is one; of fine-tunings `sweep.distilled` says so.
    temperature : float
        T.
    alpha : float
        Weight of the cross-entropy with the targets, the rest being the teacher's. What is weighted with 0 is not
        computed: 1, with the two below at 0, is training without a teacher.
    feature_penalty : float
        Weight of the mean square of the encoder's output (`encoded`), as of wav2vec 2.0's feature encoder (Baevski et
        al., arXiv:2006.11477, 2020, in the code published with it).
    hidden_cosine : float
        Weight of 1 less the cosine between what enters the student's last layer, projected by a matrix that learns
        along and is dropped afterwards if the widths differ, and the teacher's embedding less its mean over the
        training split: what all clips have in common would be most of a cosine and teach nothing.
    """

    teacher: str | None = None
    seed: int = 1234
    threads: int = 2
    options: dict[str, Any] = field(default_factory=dict)
    train: bool = True
    temperature: float = 2.0
    alpha: float = 0.5
    feature_penalty: float = 0.0
    hidden_cosine: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.seed >= 0, "distill.seed", "be 0 or more", self.seed)
        require(self.threads >= 1, "distill.threads", "be at least 1", self.threads)
        temperature = self.temperature
        require(0 < temperature <= 100, "distill.temperature", "be above 0 and at most 100", temperature, "Try 2.0.")
        advice = "1 learns from the targets alone."
        require(0 <= self.alpha <= 1, "distill.alpha", "be a fraction in [0, 1]", self.alpha, advice)
        for name in ("feature_penalty", "hidden_cosine"):
            require(getattr(self, name) >= 0, f"distill.{name}", "be 0 (off) or more", getattr(self, name))

    @property
    def wanted(self) -> bool:
        """Whether there is a teacher, and anything but the targets is weighted."""
        return self.teacher is not None and (self.alpha < 1 or self.feature_penalty > 0 or self.hidden_cosine > 0)


@dataclass(frozen=True)
class Taught:
    """What a teacher says of the clips of a split, and how to learn from it.

    Attributes
    ----------
    rule : Distillation
    logits : np.ndarray, shape (n, n_outputs), float32
        As of `stages.distill.material.Lesson`.
    embeddings : np.ndarray, shape (n, d), float32
        Their mean is 0; d is 0 if none are wanted.
    """

    rule: Distillation
    logits: np.ndarray
    embeddings: np.ndarray

    def columns(self, *, multi_label: bool) -> np.ndarray:
        """Return what is blended as the targets are, (n, n_outputs + d) float32: probabilities at T, embeddings."""
        return np.concatenate([softened(self.logits, self.rule.temperature, multi_label), self.embeddings], axis=1)


def softened(logits: np.ndarray, temperature: float, multi_label: bool) -> np.ndarray:
    """Return the probabilities of logits (n, n_outputs) at a temperature: of a softmax, or of a sigmoid for each."""
    z = logits / np.float64(temperature)
    exclusive = logits.shape[1] > 1 and not multi_label
    return (scipy.special.softmax(z, axis=1) if exclusive else scipy.special.expit(z)).astype(np.float32)


@dataclass(frozen=True)
class Teaching:
    """A teacher's folder, as the stage `distill` writes it, and how students learn from it."""

    folder: Path
    rule: Distillation

    def identity(self) -> list[Any]:
        """Return all of it that can change what a student becomes, for the student's key.

        Raises
        ------
        DataError
            If the teacher has not answered yet.
        """
        rule = self.rule
        said = [self._file("logits_train"), *([self._file("embeddings_train")] if rule.hidden_cosine else [])]
        numbers = (rule.temperature, rule.alpha, rule.feature_penalty, rule.hidden_cosine)
        return [*numbers, *map(files.sha256, said), asdict(self.teacher())]

    def of(self, split: Split) -> Taught:
        """Return what the teacher says of the training split.

        Raises
        ------
        DataError
            If the folder is incomplete or is not of these clips, or if embeddings are wanted and there are none.
        """
        logits, embeddings = np.load(self._file("logits_train")), np.zeros((len(split), 0), np.float32)
        if self.rule.hidden_cosine:
            embeddings = np.load(self._file("embeddings_train"))
            embeddings = embeddings - embeddings.mean(axis=0)
        labels = teacher_file.read(self.folder).labels
        if len(logits) != len(split) or labels != split.labels:
            raise DataError(
                f"{self.folder} must answer for the {len(split)} training clips of {', '.join(split.labels)}; it "
                f"answers for {len(logits)} of {', '.join(labels)}. Run `dvc repro distill` again."
            )
        return Taught(self.rule, logits, embeddings)

    def teacher(self) -> Teacher:
        """Return the teacher's kind and licence, for the description of the student's network."""
        return teacher_file.read(self.folder).named

    def _file(self, name: str) -> Path:
        path = self.folder / f"{name}.npy"
        if not path.is_file():
            cosine = " Of a teacher without embeddings, set distill.hidden_cosine to 0." if "embeddings" in name else ""
            raise DataError(f"{self.folder} holds no {path.name}. Run `dvc repro distill` first.{cosine}")
        return path


def teaching(folder: Path, rule: Distillation) -> Teaching | None:
    """Return how students are taught, or None: without a teacher, or where all of it is weighted with 0."""
    return Teaching(folder, rule) if rule.wanted else None


class Student:
    """A network in training, with what the teacher's part of the loss looks at.

    Of a network that ends in a dense layer, logits are that layer's before its activation. Another one, such as the
    simulation of a quantised file, leaves them in an attribute `logits` of its last layer when it is called; it has
    neither encoder nor hidden vector, and learns from the logits alone.

    Parameters
    ----------
    model : tf_keras.Model
    taught : Taught
    multi_label : bool
    seed : int
        Of the projection's start.

    Attributes
    ----------
    network : tf_keras.Model
        All of it is to be trained: `model`, the projection too, from the clips to `scores` and whatever else is needed.

    Raises
    ------
    ModelError
        If something is wanted that the network does not have.
    """

    def __init__(self, model: "keras.Model", taught: Taught, *, multi_label: bool, seed: int) -> None:
        from stages.core.nn.keras import keras

        self._rule, self._multi_label, self._last = taught.rule, multi_label, model.layers[-1]
        self._width = taught.embeddings.shape[1]
        outputs = {"scores": model.output}
        if isinstance(self._last, keras.layers.Dense):
            outputs["last"] = self._last.input
            if self._rule.feature_penalty:
                outputs["encoded"] = encoded(model)
            if self._width:
                hidden = _without_dropout(model)[-2].output
                if hidden.shape[-1] != self._width:
                    start = keras.initializers.GlorotUniform(seed)
                    hidden = keras.layers.Dense(self._width, use_bias=False, kernel_initializer=start)(hidden)
                outputs["hidden"] = hidden
        elif not hasattr(self._last, "logits"):
            raise ModelError(f"{model.name} must end in a dense layer to be distilled; it ends in {self._last.name}.")
        self.network = keras.Model(model.input, outputs)

    def loss(
        self, hard: "tf.Tensor", penalty: "tf.Tensor", outputs: "dict[str, tf.Tensor]", soft: "tf.Tensor"
    ) -> tuple["tf.Tensor", "tf.Tensor"]:
        """Return the loss and the penalties of a batch, given those without a teacher.

        Parameters
        ----------
        hard, penalty : tf.Tensor, scalar
        outputs : dict
            Of `network`, called just now.
        soft : tf.Tensor, shape (n, n_outputs + d), float32
            `Taught.columns` of the batch.
        """
        from stages.core.nn.keras import tf

        rule, n_outputs = self._rule, outputs["scores"].shape[-1]
        logits = tf.matmul(outputs["last"], self._last.kernel) if "last" in outputs else self._last.logits
        if "last" in outputs and self._last.use_bias:
            logits += self._last.bias
        loss = rule.alpha * hard
        if rule.alpha < 1:
            divergences = divergence(soft[:, :n_outputs], logits, rule.temperature, self._multi_label)
            loss += (1 - rule.alpha) * rule.temperature**2 * tf.reduce_mean(divergences)
        if "encoded" in outputs:
            penalty += rule.feature_penalty * tf.reduce_mean(tf.square(outputs["encoded"]))
        if "hidden" in outputs:
            pair = [tf.math.l2_normalize(x, axis=1) for x in (outputs["hidden"], soft[:, n_outputs:])]
            penalty += rule.hidden_cosine * (1 - tf.reduce_mean(tf.reduce_sum(pair[0] * pair[1], axis=1)))
        return loss, penalty


def divergence(soft: "tf.Tensor", logits: "tf.Tensor", temperature: float, multi_label: bool) -> "tf.Tensor":
    """Return KL(teacher || student) in nats of each clip, (n,), or of each of its outputs that has a sigmoid.

    Parameters
    ----------
    soft : tf.Tensor, shape (n, n_outputs), float32
        The teacher's probabilities at the temperature.
    logits : tf.Tensor, shape (n, n_outputs), float32
        The student's.
    temperature : float
    multi_label : bool
    """
    from stages.core.nn.keras import tf

    z = logits / temperature
    if logits.shape[-1] == 1 or multi_label:
        entropy = -tf.math.xlogy(soft, soft) - tf.math.xlogy(1 - soft, 1 - soft)
        return tf.nn.sigmoid_cross_entropy_with_logits(labels=soft, logits=z) - entropy
    return tf.reduce_sum(tf.math.xlogy(soft, soft) - soft * tf.nn.log_softmax(z), axis=1)


def encoded(model: "keras.Model") -> Any:
    """Return the output of a network's encoder, a Keras tensor.

    It is that of the layer called `encoder`; where there is none, the last that still has several positions, of time or
    of frequency: what is pooled, flattened or attended to.

    Raises
    ------
    ModelError
        If there is neither.
    """
    layers = _without_dropout(model)
    for layer in reversed(layers):
        if layer.name == ENCODER:
            return layer.output
    for layer in reversed(layers):
        if len(layer.output.shape) >= 3 and np.prod(layer.output.shape[1:-1]) > 1:
            return layer.output
    raise ModelError(f"{model.name} must have a layer called {ENCODER!r} for distill.feature_penalty. Set that to 0.")


def before_activation(model: "keras.Model") -> "keras.Model":
    """Return the network from the clips to its logits, with the weights as they are now.

    Raises
    ------
    ModelError
        If it does not end in a dense layer.
    """
    from stages.core.nn.keras import keras

    last = model.layers[-1]
    if not isinstance(last, keras.layers.Dense):
        raise ModelError(f"{model.name} must end in a dense layer to teach; it ends in {last.name}.")
    linear = keras.layers.Dense.from_config(last.get_config() | {"activation": "linear", "name": "logits"})
    network = keras.Model(model.input, linear(last.input), name=model.name)
    linear.set_weights(last.get_weights())
    return network


def _without_dropout(model: "keras.Model") -> "list[keras.layers.Layer]":
    from stages.core.nn.keras import keras

    return [layer for layer in model.layers if not isinstance(layer, keras.layers.Dropout)]
