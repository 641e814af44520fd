"""The `prune` section of `params.yaml`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np

from stages.core import plugins
from stages.core.errors import ParameterError
from stages.core.fitting import FitParams
from stages.core.params import known

CRITERIA, SCHEDULES = "stages.prune.criteria", "stages.prune.schedules"


@dataclass(frozen=True)
class PruneParams(FitParams):
    """How a pruned copy of the baseline is fine-tuned; see `FitParams` for the rest.

    Attributes
    ----------
    criterion : str
        A file of `stages/prune/criteria/`. The schedules and sparsities are the sweep's.
    options : dict
        Criterion's or schedule's name to its parameters.
    """

    SECTION: ClassVar[str] = "prune"

    learning_rate: float = 1e-4
    epochs: int = 3
    criterion: str = "magnitude"
    options: dict[str, Any] = field(default_factory=dict)


def importance_of(params: PruneParams) -> Callable[[np.ndarray], np.ndarray]:
    """Return the criterion: weights to their importance.

    Raises
    ------
    ParameterError
        For an unknown criterion, or a parameter it refuses.
    """
    plugins.load(CRITERIA, params.criterion, "prune.criterion")
    module, config = plugins.configure(CRITERIA, params.criterion, _options(params, CRITERIA), "prune")
    return partial(module.importance, config)


def sparsity_at(
    params: PruneParams, schedule: str, *, target: float, n_steps: int
) -> Callable[[int], tuple[bool, float]]:
    """Return a schedule's answer for every step, as `stages.prune.schedules` has it.

    Raises
    ------
    ParameterError
        For an unknown schedule, or a parameter it refuses.
    """
    module, config = plugins.configure(SCHEDULES, schedule, _options(params, SCHEDULES), "prune")
    return module.sparsity_at(config, target, n_steps)


def _options(params: PruneParams, package: str) -> dict[str, Any]:
    """Return the options of one folder's plug-ins; both folders share the table."""
    everyone = {*plugins.names(CRITERIA), *plugins.names(SCHEDULES)}
    for name in params.options:
        if name not in everyone:
            raise ParameterError(f"prune.options has no plug-in {name!r}. {known(name, everyone)}")
    return {name: values for name, values in params.options.items() if name in plugins.names(package)}
