"""One file per answer to *which* go: weights, or whole units (filters, neurons, LSTM cells).

A criterion holds
    Config : frozen dataclass
    GRANULARITY : Literal["weight", "unit"]
    importance(config, weights, statistic, rng) -> np.ndarray
        The least important go first. Of weights: one kernel in, the same shape out. Of units: a row of `weights`, shape
        (n_units, n), holds all weights into one unit, its bias last; out comes one number per unit. `statistic` has the
        shape of `weights`. `rng` is at the same state at every call for the same kernel or layer.

One that learns from gradients also holds `accumulate(config, statistic, weight, gradient) -> tf.Tensor`. It is traced
into every step, returns the new statistic (0 at first) of the same shape, and sees the gradient of the loss on the
batch without the penalties on weights. Its `Config` has `warm_up`, the steps without pruning before its first choice.

One of units that first wants the weights pruned, by magnitude, holds `weights_first(config, n_steps)`, which returns
how many steps that takes and a schedule of them, as those of `stages/prune/schedules/` return it. Then every weight
is free again, at its value before, and the schedule of the units has the steps that are left.
"""
