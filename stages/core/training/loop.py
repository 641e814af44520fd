"""The training loop of baselines and fine-tunings.

It replaces Keras' `fit` for two reasons. Every random draw of a step is a function of the seed and the step's number,
so that a killed run resumes to bit-identical weights. And pruning acts within each step.
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.core.artifacts.dataset import Split, indicators
from stages.core.nn.keras import keras, tf
from stages.core.project import files
from stages.core.project.errors import ModelError
from stages.core.project.progress import track
from stages.core.training import batches, losses
from stages.core.training.batch_norm import BatchNormStatistics
from stages.core.training.distillation_loss import Student
from stages.core.training.inference import evaluate
from stages.core.training.optimizer import Update, UpdateHook, make_optimizer
from stages.core.training.params import FitParams
from stages.core.training.teacher import TeacherTargets

HISTORY_COLUMNS = ("epoch", "loss", "penalty", "accuracy", "validation_loss", "validation_accuracy")
CHECKPOINT_EVERY_S = 30.0


@dataclass(frozen=True)
class Run:
    """Seed, validation and checkpoint of one run of the training loop.

    Attributes
    ----------
    seed : int
        Seed of the order of clips, dropout and augmentation.
    validation : Split or None
        Split to evaluate on after every epoch.
    patience : int or None
        Epochs without a lower validation loss (cross-entropy) after which training stops; the weights of the epoch with
        the lowest are restored. None: all epochs, and the last epoch's weights.
    checkpoint : Path or None
        File to save to every `CHECKPOINT_EVERY_S` seconds, and to resume from if it exists. Its name must change with
        everything that shapes the result. The caller removes it once the result is saved.
    description : str
        Text of the progress bar.
    """

    seed: int
    validation: Split | None = None
    patience: int | None = None
    checkpoint: Path | None = None
    description: str = "training"


@dataclass(frozen=True)
class Hooks:
    """Functions that take part in training, and their state.

    Attributes
    ----------
    update : callable or None
        Wraps each variable's update (`stages.core.training.optimizer.Update`).
    after_step : callable or None
        Called after each step with the number of steps done. It returns the length of a new round of training in steps,
        which resets the optimizer and the schedule of the learning rate; or 0 or None.
    first_round : int
        Length of the first round; 0 if training has no rounds.
    state : Sequence of tf.Variable
        Variables of these functions, saved with the checkpoint.
    """

    update: UpdateHook | None = None
    after_step: Callable[[int], int | None] | None = None
    state: Sequence["tf.Variable"] = ()
    first_round: int = 0


def fit(
    model: "keras.Model",
    split: Split,
    params: FitParams,
    run: Run,
    *,
    teacher: TeacherTargets | None = None,
    hooks: Hooks | None = None,
) -> list[dict[str, float]]:
    """Train a model in place.

    The loss is the mean over the batch of each clip's cross-entropy with its class-weighted target (for a multi-label
    task the mean over clips and classes), plus the model's own penalties on weights and activities. A teacher adds its
    terms (`stages.core.training.distillation_loss`), without class weights. Only Keras' random layers (`Dropout`,
    `GaussianNoise`, ...) may draw random numbers. The network is validated and left with exact batch-norm statistics
    (`stages.core.training.batch_norm`).

    Parameters
    ----------
    model : tf_keras.Model
        Network that returns probabilities: (n, 1) of a sigmoid, (n, n_classes) of a softmax or, for a multi-label task,
        of sigmoids. Changed.
    split : Split
        Training split.
    params : FitParams
    run : Run
    teacher : TeacherTargets or None
        The teacher's outputs for the clips of `split`.
    hooks : Hooks or None

    Returns
    -------
    list of dict
        One per epoch, keys `HISTORY_COLUMNS`; losses are cross-entropies in nats. Training figures are means over the
        epoch's batches, except for the penalties on weights, which are those at its end.

    Raises
    ------
    ModelError
        If the loss is no longer finite.
    """
    hooks, seed = hooks or Hooks(), run.seed
    binary, n_classes = model.output_shape[-1] == 1, len(split.labels)
    targets = indicators(split.y, n_classes).astype(np.float32)
    student = Student(model, teacher, multi_label=split.multi_label, seed=seed) if teacher else None
    network = student.network if student else model
    if teacher:
        targets = np.concatenate([targets, teacher.columns(multi_label=split.multi_label)], axis=1)
    weights = losses.class_weights(split.y, n_classes, balanced=params.class_weights)
    steps_per_epoch = math.ceil(len(split) / params.batch_size)
    n_steps = params.epochs * steps_per_epoch
    stretch = tf.Variable(n_steps / hooks.first_round, trainable=False, dtype=tf.float32) if hooks.first_round else None
    update = Update(make_optimizer(params, n_steps, stretch), network, hooks.update)
    statistics = BatchNormStatistics(model, split, params, seed)
    generators = _random_generators(network)

    def spec(*shape: int) -> "tf.TensorSpec":
        return tf.TensorSpec((None, *shape), tf.float32)

    # One graph for every batch size: graphs of fixed size differ in rounding, and a resumed run would trace others.
    @tf.function(
        input_signature=[
            spec(*split.input_shape),
            spec(model.output_shape[-1]),
            spec(targets.shape[1] - n_classes),
            spec(*weights.shape[1:]),
        ],
        autograph=False,  # rewriting this code and Keras' would take seconds, and changes nothing
    )
    def learn(
        x: "tf.Tensor", t: "tf.Tensor", soft: "tf.Tensor", w: "tf.Tensor"
    ) -> tuple["tf.Tensor", "tf.Tensor", "tf.Tensor"]:
        with tf.GradientTape() as tape:
            outputs = network(x, training=True)
            scores = outputs["scores"] if student else outputs
            loss = tf.reduce_mean(w * losses.cross_entropy(t, scores, split.multi_label))
            penalty = update.batch_penalty()
            if student:
                loss, penalty = student.loss(loss, penalty, outputs, soft)
            total = loss + penalty
        update.step(tape, total)
        return loss, penalty, tf.reduce_mean(losses.correct(t, scores, split.multi_label))

    variables = [*network.weights, *update.variables, *hooks.state, *([] if stretch is None else [stretch])]
    progress = _Progress(model, variables, run)
    order, ordered_epoch = np.zeros(0, int), -1
    bar = track(range(progress.step, n_steps), run.description, total=n_steps, initial=progress.step)
    for step in bar:
        epoch, i = divmod(step, steps_per_epoch)
        if progress.is_exhausted(epoch):
            break
        if epoch != ordered_epoch:
            order, ordered_epoch = np.random.default_rng((seed, 0, epoch)).permutation(len(split)), epoch
        rows = order[i * params.batch_size : (i + 1) * params.batch_size]
        rng = np.random.default_rng((seed, 1, step))
        for generator in generators:
            generator.reset_from_seed(int(rng.integers(2**63)))
        x, t = batches.batch(split, targets, rows, params, rng)
        t, soft = t[:, :n_classes], t[:, n_classes:]
        t, clip_weights = losses.weigh(t, weights)
        t = losses.smoothed(t, params.label_smoothing, multi_label=split.multi_label)  # classes stay balanced
        values = learn(x, t[:, -1:] if binary else t, soft, clip_weights)
        progress.sums += np.array([float(value) for value in values]) * len(rows)
        if not np.isfinite(progress.sums).all():
            raise ModelError(f"{run.description}: the loss is not finite at step {step + 1}. Lower the learning rate.")
        progress.step = step + 1
        n_round = hooks.after_step(progress.step) if hooks.after_step else 0
        if n_round and stretch is not None:
            update.reset_state()
            stretch.assign(n_steps / n_round)
        if i == steps_per_epoch - 1:
            if run.validation is not None:
                statistics.recompute()
            progress.end_epoch(epoch, len(split), update.weight_penalty())
            bar.set_postfix({k: f"{v:.3f}" for k, v in progress.history[-1].items() if k != "epoch"}, refresh=False)
        progress.save_now_and_then()
    bar.close()
    if not progress.restore_best():
        statistics.recompute()
    return progress.history


class _Progress:
    """State of a training run: what a killed run needs to resume."""

    def __init__(self, model: "keras.Model", variables: Sequence["tf.Variable"], run: Run) -> None:
        self.model, self.variables, self.run = model, variables, run
        self.step = 0
        self.sums = np.zeros(3)
        self.history: list[dict[str, float]] = []
        self.best_epoch, self.best_loss = -1, math.inf
        self.best: list[np.ndarray] = []
        self._saved_at = time.monotonic()
        if run.checkpoint is not None and run.checkpoint.is_file():
            self._load(run.checkpoint)

    def is_exhausted(self, epoch: int) -> bool:
        """Return whether the validation loss has not fallen for `patience` epochs."""
        patience = self.run.patience
        return self.run.validation is not None and patience is not None and epoch - self.best_epoch > patience

    def end_epoch(self, epoch: int, n: int, weight_penalty: float) -> None:
        """Append the epoch's row to the history and keep the weights if they are the best so far."""
        loss, penalty, accuracy = (float(value) for value in self.sums / n)
        row = {"epoch": epoch + 1, "loss": loss, "penalty": penalty + weight_penalty, "accuracy": accuracy}
        self.sums = np.zeros(3)
        if self.run.validation is not None:
            row["validation_loss"], row["validation_accuracy"] = evaluate(self.model, self.run.validation)
            if row["validation_loss"] < self.best_loss:
                self.best_epoch, self.best_loss = epoch, row["validation_loss"]
                self.best = self.model.get_weights()
        self.history.append(row)

    def restore_best(self) -> bool:
        """Set the weights of the best epoch, where there is a patience; return whether so."""
        restores = bool(self.best) and self.run.patience is not None
        if restores:
            self.model.set_weights(self.best)
        return restores

    def save_now_and_then(self) -> None:
        """Write the checkpoint if the last one is `CHECKPOINT_EVERY_S` old."""
        path = self.run.checkpoint
        if path is None or time.monotonic() - self._saved_at < CHECKPOINT_EVERY_S:
            return
        arrays = {f"variable_{i}": v.numpy() for i, v in enumerate(self.variables)}
        arrays |= {f"best_{i}": w for i, w in enumerate(self.best)}
        rest = [self.step, self.sums.tolist(), self.history, self.best_epoch, self.best_loss]
        with files.atomic(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, rest=np.array(json.dumps(rest)), **arrays)  # type: ignore[arg-type]
        self._saved_at = time.monotonic()

    def _load(self, path: Path) -> None:
        with np.load(path) as stored:
            self.step, sums, self.history, self.best_epoch, self.best_loss = json.loads(str(stored["rest"]))
            self.sums = np.array(sums)
            self.best = [stored[f"best_{i}"] for i in range(sum(name.startswith("best_") for name in stored.files))]
            for i, variable in enumerate(self.variables):
                variable.assign(stored[f"variable_{i}"])


def _random_generators(model: "keras.Model") -> list["tf.random.Generator"]:
    layers = [m for m in model.submodules if isinstance(m, keras.__internal__.layers.BaseRandomLayer)]
    return [layer._random_generator._generator for layer in layers]
