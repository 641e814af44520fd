"""Helpers that several criteria share."""

import numpy as np

from stages.core.project.errors import require


def check_average(criterion: str, momentum: float, warm_up: int) -> None:
    """Check the parameters of a criterion that averages over batches."""
    owner = f"prune.options.{criterion}"
    require(0 <= momentum < 1, f"{owner}.momentum", "be in [0, 1)", momentum)
    require(warm_up >= 1, f"{owner}.warm_up", "be at least 1 step", warm_up, "It chooses by what it has seen.")


def relative(importance: np.ndarray) -> np.ndarray:
    """Return the importance of a layer's units over its L2 norm, which makes layers comparable."""
    return importance / max(np.linalg.norm(importance), np.finfo(np.float32).tiny)
