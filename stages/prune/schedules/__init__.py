"""One file per schedule: when masks are renewed, and to which sparsity.

A schedule holds
    Config : frozen dataclass
    sparsity_at(config, target, n_steps, n_units) -> Callable[[int], tuple[bool, float]]
        Return a function of the step, from 1 to `n_steps`: whether to renew the masks before it, and the sparsity, a
        fraction in [0, 1), to renew them to. Before the last step, if not earlier, it renews to `target`.
        `n_units` is 0 where single weights are pruned.

A schedule that rewinds has `rewind` in its `Config`: a file of weights that the network is reset to at each renewal.
"""
