"""One file per pruning criterion, which ranks weights, or whole units (filters, neurons, LSTM cells), by importance.

A criterion holds
    Config : frozen dataclass
    GRANULARITY : Literal["weight", "unit"]
    importance(config, weights, statistic, rng) -> np.ndarray
        The least important are pruned first. For weights, `weights` is one kernel and the result has its shape. For
        units, a row of `weights`, shape (n_units, n), holds all weights into one unit, its bias last, and the result
        has one number per unit. `statistic` has the shape of `weights`.
        `rng` is at the same state at every call for the same kernel or layer.

A criterion that uses gradients also holds
`accumulate(config, statistic, weight, gradient) -> tf.Tensor`. It is traced
into every step, returns the new statistic (0 at first) of the same shape, and sees the gradient of the loss on the
batch without the penalties on weights. Its `Config` has `warm_up`, the steps without pruning before its first choice.

A criterion of units whose weights must first be pruned by magnitude holds `weights_first(config, n_steps)`; it
returns the number of steps for that and a schedule for them, as those of `stages/prune/schedules/` return it. Then
every weight is unmasked and takes its earlier value, and the schedule of the units has the remaining steps.
"""
