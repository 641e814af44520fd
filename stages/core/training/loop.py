"""The one training loop, for a baseline and for the fine-tuning of a pruned copy alike.

It exists beside Keras' `fit` for two reasons: every random draw of a step is a function of the seed and the step's
number, so that a run killed at any moment goes on to bit-identical weights; and pruning acts right after each step.
"""

import itertools
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from stages.core.artifacts.dataset import Split, indicators
from stages.core.project import files
from stages.core.project.errors import DataError, ModelError, require
from stages.core.project.progress import track
from stages.core.training import batches as blending
from stages.core.training import distillation
from stages.core.training.batches import BetweenClass, Vary
from stages.core.training.optimizer import Around, Update

if TYPE_CHECKING:
    from stages.core.nn.keras import keras, tf

HISTORY_COLUMNS = ("epoch", "loss", "penalty", "accuracy", "validation_loss", "validation_accuracy")
CHECKPOINT_EVERY_S = 30.0


@dataclass(frozen=True)
class FitParams:
    """What training and fine-tuning have in common.

    Attributes
    ----------
    optimizer : str
        With the defaults of Keras; ``"sgd"`` has Nesterov momentum 0.9.
    learning_rate : float
        At the first step; of ``"linear"``, the greatest.
    decay : {"none", "cosine", "linear", "steps"}
        Of the learning rate: down to 0 at the last step of the last epoch, or to a tenth at each of `milestones`.
    milestones : tuple[float, ...]
        Of the steps of all epochs, rising fractions in (0, 1); of ``"steps"`` only.
    warmup_epochs : int
        First epochs: of ``"steps"`` at a tenth of the learning rate, of ``"linear"`` rising from 0 in proportion.
    weight_decay : float or None
        Decoupled: every step takes the learning rate times this fraction off each weight (Loshchilov, Hutter,
        "Decoupled Weight Decay Regularization", ICLR 2019). None is Keras' default: 0.004 of ``"adamw"``, else 0.
    batch_size : int
        Clips per step; an epoch's last batch may be smaller.
    epochs : int
    class_weights : bool
        Weight each clip inversely to the frequency of its class in the training split; of a multi-label task, the two
        answers for each class inversely to theirs.
    mixup : float
        Blend pairs of clips and their targets with weights drawn from Beta(mixup, mixup); 0 is off
        (Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, section 2).
    time_shift : float
        Rotate each clip's features along time, by at most this fraction of its length either way; 0 is off.
    vary : Vary or None
        Vary each clip's levels in dB before the two.
    between_class : BetweenClass or None
        Learn from blends of two classes instead of these three.
    """

    SECTION: ClassVar[str]

    optimizer: Literal["adam", "adamax", "adamw", "rmsprop", "sgd"] = "adam"
    learning_rate: float = 1e-3
    decay: Literal["none", "cosine", "linear", "steps"] = "none"
    milestones: tuple[float, ...] = (0.3, 0.6, 0.9)
    warmup_epochs: int = 0
    weight_decay: float | None = None
    batch_size: int = 32
    epochs: int = 20
    class_weights: bool = True
    mixup: float = 0.0
    time_shift: float = 0.0
    vary: Vary | None = None
    between_class: BetweenClass | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        rate = self.learning_rate
        require(0 < rate <= 1, f"{self.SECTION}.learning_rate", "be above 0 and at most 1", rate, "Try 1.0e-4.")
        for name in ("batch_size", "epochs"):
            require(getattr(self, name) >= 1, f"{self.SECTION}.{name}", "be at least 1", getattr(self, name))
        require(self.mixup >= 0, f"{self.SECTION}.mixup", "be 0 (off) or more", self.mixup, "Try 0.2.")
        milestones, owner = (0.0, *self.milestones, 1.0), f"{self.SECTION}.milestones"
        rising = all(low < high for low, high in itertools.pairwise(milestones))
        require(rising, owner, "be rising fractions in (0, 1)", list(self.milestones))
        warmup, owner = self.warmup_epochs, f"{self.SECTION}.warmup_epochs"
        if self.decay == "linear":
            require(0 <= warmup < self.epochs, owner, f"be 0 or more and fewer than the {self.epochs} epochs", warmup)
        else:
            rule = "be 0 or more and end before the first milestone"
            require(0 <= warmup <= milestones[1] * self.epochs, owner, rule, warmup)
        loss = self.weight_decay
        require(
            loss is None or 0 <= loss < 1, f"{self.SECTION}.weight_decay", "be a fraction in [0, 1)", loss, "Try 0.01."
        )
        alone = self.between_class is None or not (self.mixup or self.time_shift or self.vary)
        rule = "stand without mixup, time_shift and vary"
        require(alone, f"{self.SECTION}.between_class", rule, "both", "Leave one out.")
        shift = self.time_shift
        require(
            0 <= shift <= 0.5, f"{self.SECTION}.time_shift", "be a fraction in [0, 0.5]", shift, "Write 0.1 for 10 %."
        )


def fit(
    model: "keras.Model",
    split: Split,
    params: FitParams,
    *,
    seed: int,
    taught: distillation.Taught | None = None,
    validation: Split | None = None,
    patience: int | None = None,
    around_update: Around | None = None,
    after_step: Callable[[int], bool | None] | None = None,
    state: Sequence["tf.Variable"] = (),
    checkpoint: Path | None = None,
    description: str = "training",
) -> list[dict[str, float]]:
    """Train a model in place.

    The loss is the mean over the batch of each clip's cross-entropy times its class weight, plus the model's own weight
    and activity penalties; of a multi-label task, the mean over its classes' binary ones as well. A teacher adds its
    part (`stages.core.training.distillation`), whatever a clip's class weight. Only Keras' random layers (`Dropout`,
    `GaussianNoise`, ...) may draw random numbers.

    Parameters
    ----------
    model : tf_keras.Model
        Probabilities out: (n, 1) of a sigmoid or (n, n_classes) of a softmax; of a multi-label task, of sigmoids.
        Changed.
    split : Split
        To learn from.
    params : FitParams
    seed : int
        Of the order of clips, dropout, mixup and time shift.
    taught : Taught or None
        What a teacher says of the split's clips.
    validation : Split or None
        Judged on after every epoch, if given.
    patience : int or None
        Stop after this many epochs without a lower cross-entropy on the validation split, and put the weights of the
        epoch with the lowest back. None: the last epoch's weights stay.
    around_update : callable or None
        Takes part in the update of every variable (`stages.core.training.optimizer.Update`).
    after_step : callable or None
        Called after each step with the number of steps done. If it returns True, the optimizer starts afresh.
    state : Sequence of tf.Variable
        What these two must find again after a kill.
    checkpoint : Path or None
        File to write now and then, and to go on from if it exists. Its name must change with everything that shapes the
        result; removing it is left to the caller, once the result is safe.
    description : str
        For the progress bar.

    Returns
    -------
    list of dict
        One per epoch, keys `HISTORY_COLUMNS`; the losses are cross-entropies in nats. The training figures are means
        over the epoch's batches as they were learned from, but for the penalties on weights: those of its end.

    Raises
    ------
    ModelError
        If the loss is no longer finite.
    """
    from stages.core.nn.keras import tf

    binary = model.output_shape[-1] == 1
    n_classes = len(split.labels)
    targets = _targets(split.y, n_classes)
    student = distillation.Student(model, taught, multi_label=split.multi_label, seed=seed) if taught else None
    network = student.network if student else model
    if taught:
        targets = np.concatenate([targets, taught.columns(multi_label=split.multi_label)], axis=1)
    weights = class_weights(split.y, n_classes, balanced=params.class_weights)
    steps_per_epoch = math.ceil(len(split) / params.batch_size)
    n_steps = params.epochs * steps_per_epoch
    update = Update(_optimizer(params, n_steps), network, around_update)
    generators = _random_generators(network)

    def batches(*shape: int) -> "tf.TensorSpec":
        return tf.TensorSpec((None, *shape), tf.float32)

    # One graph for every batch size: graphs of fixed size differ in rounding, and a resumed run would trace others.
    @tf.function(
        input_signature=[
            batches(*split.input_shape),
            batches(model.output_shape[-1]),
            batches(targets.shape[1] - n_classes),
            batches(*weights.shape[1:]),
        ]
    )
    def learn(
        x: "tf.Tensor", t: "tf.Tensor", soft: "tf.Tensor", w: "tf.Tensor"
    ) -> tuple["tf.Tensor", "tf.Tensor", "tf.Tensor"]:
        with tf.GradientTape() as tape:
            outputs = network(x, training=True)
            scores = outputs["scores"] if student else outputs
            loss = tf.reduce_mean(w * _cross_entropy(t, scores, split.multi_label))
            penalty = update.batch_penalty()
            if student:
                loss, penalty = student.loss(loss, penalty, outputs, soft)
            total = loss + penalty
        update.step(tape, total)
        return loss, penalty, tf.reduce_mean(_correct(t, scores, split.multi_label))

    variables = [*network.weights, *update.variables, *state]
    run = _Run(model, variables, checkpoint)
    bar = track(range(run.step, n_steps), description, total=n_steps, initial=run.step)
    for step in bar:
        epoch, i = divmod(step, steps_per_epoch)
        if validation is not None and patience is not None and epoch - run.best_epoch > patience:
            break
        order = np.random.default_rng((seed, 0, epoch)).permutation(len(split))
        rows = order[i * params.batch_size : (i + 1) * params.batch_size]
        rng = np.random.default_rng((seed, 1, step))
        for generator in generators:
            generator.reset_from_seed(int(rng.integers(2**63)))
        x, t = blending.batch(split, targets, rows, params, rng)
        t, soft = t[:, :n_classes], t[:, n_classes:]
        values = learn(x, t[:, -1:] if binary else t, soft, clip_weights(t, weights))
        run.sums += np.array([float(value) for value in values]) * len(rows)
        if not np.isfinite(run.sums).all():
            raise ModelError(f"{description}: the loss is not finite at step {step + 1}. Lower the learning rate.")
        run.step = step + 1
        if after_step and after_step(run.step):
            update.start_afresh()
        if i == steps_per_epoch - 1:
            run.end_epoch(epoch, len(split), update.weight_penalty(), validation)
            bar.set_postfix({k: f"{v:.3f}" for k, v in run.history[-1].items() if k != "epoch"}, refresh=False)
        run.save_now_and_then()
    bar.close()
    if patience is not None:
        run.restore_best()
    return run.history


class _Run:
    """What a training run must remember to go on after a kill."""

    def __init__(self, model: "keras.Model", variables: Sequence["tf.Variable"], path: Path | None) -> None:
        self.model, self.variables, self.path = model, variables, path
        self.step = 0
        self.sums = np.zeros(3)
        self.history: list[dict[str, float]] = []
        self.best_epoch, self.best_loss = -1, math.inf
        self.best: list[np.ndarray] = []
        self._saved_at = time.monotonic()
        if path is not None and path.is_file():
            self._load(path)

    def end_epoch(self, epoch: int, n: int, weight_penalty: float, validation: Split | None) -> None:
        loss, penalty, accuracy = (float(value) for value in self.sums / n)
        row = {"epoch": epoch + 1, "loss": loss, "penalty": penalty + weight_penalty, "accuracy": accuracy}
        self.sums = np.zeros(3)
        if validation is not None:
            row["validation_loss"], row["validation_accuracy"] = evaluate(self.model, validation)
            if row["validation_loss"] < self.best_loss:
                self.best_epoch, self.best_loss = epoch, row["validation_loss"]
                self.best = self.model.get_weights()
        self.history.append(row)

    def restore_best(self) -> None:
        if self.best:
            self.model.set_weights(self.best)

    def save_now_and_then(self) -> None:
        if self.path is None or time.monotonic() - self._saved_at < CHECKPOINT_EVERY_S:
            return
        arrays = {f"variable_{i}": v.numpy() for i, v in enumerate(self.variables)}
        arrays |= {f"best_{i}": w for i, w in enumerate(self.best)}
        rest = [self.step, self.sums.tolist(), self.history, self.best_epoch, self.best_loss]
        with files.atomic(self.path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, rest=np.array(json.dumps(rest)), **arrays)  # type: ignore[arg-type]
        self._saved_at = time.monotonic()

    def _load(self, path: Path) -> None:
        with np.load(path) as stored:
            self.step, sums, self.history, self.best_epoch, self.best_loss = json.loads(str(stored["rest"]))
            self.sums = np.array(sums)
            self.best = [stored[f"best_{i}"] for i in range(sum(name.startswith("best_") for name in stored.files))]
            for i, variable in enumerate(self.variables):
                variable.assign(stored[f"variable_{i}"])


def evaluate(model: "keras.Model", split: Split) -> tuple[float, float]:
    """Return a model's mean cross-entropy in nats, without penalties or class weights, and its accuracy at 0.5.

    Of a multi-label task, both are means over clips and classes.
    """
    scores = predict(model, split)
    targets = _targets(split.y, len(split.labels))[:, -scores.shape[1] :]
    losses, correct = (told(targets, scores, split.multi_label) for told in (_cross_entropy, _correct))
    return float(np.mean(losses)), float(np.mean(correct))


def predict(model: "keras.Model", split: Split) -> np.ndarray:
    """Return a model's scores of every clip, the means over its crops: shape (n, n_outputs), float32."""
    n = max(1, 64 // split.n_crops)
    batches = (split.crops[i : i + n] for i in range(0, len(split), n))
    scores = [model(crops.reshape(-1, *split.input_shape), training=False).numpy() for crops in batches]
    return np.concatenate(scores).reshape(len(split), split.n_crops, -1).mean(axis=1)


def class_weights(y: np.ndarray, n_classes: int, *, balanced: bool = True) -> np.ndarray:
    """Return weights inversely proportional to the classes' frequencies, 1 on average over the clips.

    Parameters
    ----------
    y : np.ndarray, shape (n,) or (n, n_classes), int
    n_classes : int
    balanced : bool
        If not, all weights are 1, whatever is there.

    Returns
    -------
    np.ndarray, float32
        Shape (n_classes,); of a multi-label task (2, n_classes): where a clip has not the class, and where it has.

    Raises
    ------
    DataError
        If a class has no clip, or if all clips of a multi-label task have it.
    """
    if not balanced:
        return np.ones((2, n_classes) if y.ndim == 2 else n_classes, np.float32)
    held = indicators(y, n_classes).sum(axis=0)
    counts = np.stack([len(y) - held, held]) if y.ndim == 2 else held
    if not counts.all():
        lost = int(np.flatnonzero(counts.reshape(-1, n_classes).min(axis=0) == 0)[0])
        raise DataError(
            f"the training split has no clip {'with or without' if y.ndim == 2 else 'of'} class {lost}. Run `dvc repro "
            "split` again."
        )
    return (len(y) / ((2 if y.ndim == 2 else n_classes) * counts)).astype(np.float32)


def clip_weights(targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weight of each clip, (n,); of a multi-label task that of each of its answers, (n, n_classes)."""
    return targets @ weights if weights.ndim == 1 else (1 - targets) * weights[0] + targets * weights[1]


def _targets(y: np.ndarray, n_classes: int) -> np.ndarray:
    return indicators(y, n_classes).astype(np.float32)


def _cross_entropy(targets: Any, scores: Any, multi_label: bool) -> "tf.Tensor":
    from stages.core.nn.keras import keras

    losses = keras.losses
    if multi_label:
        return losses.binary_crossentropy(targets[..., np.newaxis], scores[..., np.newaxis])
    return (losses.binary_crossentropy if scores.shape[-1] == 1 else losses.categorical_crossentropy)(targets, scores)


def _correct(targets: Any, scores: Any, multi_label: bool) -> "tf.Tensor":
    from stages.core.nn.keras import tf

    if multi_label:
        agree = tf.equal(targets > 0.5, scores > 0.5)
    elif scores.shape[-1] == 1:
        agree = tf.equal(targets > 0.5, scores > 0.5)[:, 0]
    else:
        agree = tf.equal(tf.argmax(targets, axis=1), tf.argmax(scores, axis=1))
    return tf.cast(agree, tf.float32)


def _optimizer(params: FitParams, n_steps: int) -> "keras.optimizers.Optimizer":
    from stages.core.nn.keras import keras

    module = keras.optimizers
    rate = params.learning_rate
    if params.decay == "cosine":
        rate = module.schedules.CosineDecay(rate, n_steps)
    elif params.decay == "steps":
        tenths = [(params.warmup_epochs * n_steps // params.epochs, 0.1)] if params.warmup_epochs else []
        tenths += [(round(milestone * n_steps), 0.1**i) for i, milestone in enumerate((*params.milestones, 1.0))]
        rate = module.schedules.PiecewiseConstantDecay(
            [steps - 1 for steps, _ in tenths[:-1]], [rate * factor for _, factor in tenths]
        )
    elif params.decay == "linear":
        rate = _linear(rate, params.warmup_epochs * n_steps // params.epochs, n_steps)
    given = {} if params.weight_decay is None else {"weight_decay": params.weight_decay}
    if params.optimizer == "sgd":
        return module.SGD(rate, momentum=0.9, nesterov=True, **given)
    classes = {"adam": "Adam", "adamax": "Adamax", "adamw": "AdamW", "rmsprop": "RMSprop"}
    return getattr(module, classes[params.optimizer])(rate, **given)


def _linear(peak: float, n_warmup: int, n_steps: int) -> "keras.optimizers.schedules.LearningRateSchedule":
    """Return the rate that rises from 0 in proportion to the step, and falls so to 0, as transformers has it."""
    from stages.core.nn.keras import keras, tf

    class Linear(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: "tf.Tensor") -> "tf.Tensor":
            step = tf.cast(step, tf.float32)
            rising = step / n_warmup if n_warmup else 1.0
            return peak * tf.minimum(rising, (n_steps - step) / (n_steps - n_warmup))

    return Linear()


def _random_generators(model: "keras.Model") -> list["tf.random.Generator"]:
    from stages.core.nn.keras import keras

    layers = [m for m in model.submodules if isinstance(m, keras.__internal__.layers.BaseRandomLayer)]
    return [layer._random_generator._generator for layer in layers]
