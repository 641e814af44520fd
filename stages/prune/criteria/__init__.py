"""One file per answer to *which* weights go.

A criterion holds
    Config : frozen dataclass
    importance(config, weights) -> np.ndarray
        Same shape as `weights`; the least important are masked first.
"""
