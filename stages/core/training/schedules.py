"""Schedules of the learning rate."""

from stages.core.nn.keras import keras, tf
from stages.core.training.params import FitParams


def learning_rate(params: FitParams, n_steps: int) -> "float | keras.optimizers.schedules.LearningRateSchedule":
    """Return the learning rate of an optimizer: a number, or a function of the step.

    Parameters
    ----------
    params : FitParams
    n_steps : int
        Steps of all epochs.
    """
    rate, schedules = params.learning_rate, keras.optimizers.schedules
    n_warmup = params.warmup_epochs * n_steps // params.epochs
    if params.decay == "cosine":
        return schedules.CosineDecay(rate, n_steps)
    if params.decay == "steps":
        tenths = [(n_warmup, 0.1)] if params.warmup_epochs else []
        tenths += [(round(milestone * n_steps), 0.1**i) for i, milestone in enumerate((*params.milestones, 1.0))]
        boundaries, factors = [steps - 1 for steps, _ in tenths[:-1]], [factor for _, factor in tenths]
        return schedules.PiecewiseConstantDecay(boundaries, [rate * factor for factor in factors])
    if params.decay == "linear":
        return _linear(rate, n_warmup, n_steps)
    return rate


def per_round(
    rate: "keras.optimizers.schedules.LearningRateSchedule", n_steps: int, stretch: "tf.Variable"
) -> "keras.optimizers.schedules.LearningRateSchedule":
    """Return a schedule that runs through all of `rate` in every round of training.

    Parameters
    ----------
    rate : LearningRateSchedule
        Schedule of a training of `n_steps`.
    n_steps : int
    stretch : tf.Variable, float32
        `n_steps` over the number of steps of the round; the optimizer counts steps from the round's start.
    """

    class PerRound(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: "tf.Tensor") -> "tf.Tensor":
            return rate(tf.minimum(tf.cast(step, tf.float32) * stretch, float(n_steps)))

    return PerRound()


def _linear(peak: float, n_warmup: int, n_steps: int) -> "keras.optimizers.schedules.LearningRateSchedule":
    """Return the rate that rises linearly from 0 to the peak and falls linearly to 0, as in transformers."""

    class Linear(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: "tf.Tensor") -> "tf.Tensor":
            step = tf.cast(step, tf.float32)
            rising = step / n_warmup if n_warmup else 1.0
            return peak * tf.minimum(rising, (n_steps - step) / (n_steps - n_warmup))

    return Linear()
