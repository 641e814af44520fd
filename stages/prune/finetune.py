"""Fine-tune a copy of the baseline while pruning it."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

from stages.core.artifacts.dataset import Split
from stages.core.nn.keras import keras, load_weights
from stages.core.project.errors import require
from stages.core.training import loop
from stages.core.training.loop import Run
from stages.core.training.teacher import TeacherTargets
from stages.prune.masks import Criterion, KeepRule, Masks, Pruner, Schedule, WeightsFirst
from stages.prune.params import CRITERIA, SCHEDULES, PruneParams, sparsity_at
from stages.prune.prunables import prunables_of


@dataclass(frozen=True)
class Pruning:
    """Criterion, schedule and target sparsity of a fine-tuning.

    Attributes
    ----------
    schedule : str
        A file of `stages/prune/schedules/`.
    sparsity : float
        Target sparsity in [0, 1): fraction of the prunable weights or units, by the criterion's granularity.
    criterion : str
        A file of `stages/prune/criteria/`.
    """

    schedule: str
    sparsity: float
    criterion: str = "magnitude"

    def __post_init__(self) -> None:
        """Check the range."""
        advice = "Write 0.8 for 80 %."
        require(0 <= self.sparsity < 1, "sweep.sparsities", "be fractions in [0, 1)", self.sparsity, advice)


def finetune(
    model: "keras.Model",
    split: Split,
    params: PruneParams,
    pruning: Pruning,
    run: Run,
    *,
    teacher: TeacherTargets | None = None,
) -> list[dict[str, float]]:
    """Prune a copy of the baseline while it is fine-tuned with a new optimizer, without early stopping.

    Call `stages.core.nn.keras.make_deterministic` first, once per process.

    Parameters
    ----------
    model : tf_keras.Model
        Copy of the baseline (`stages.core.nn.network.load`). Changed.
    split : Split
        Training split.
    params : PruneParams
    pruning : Pruning
    run : Run
        Seed and checkpoint.
    teacher : TeacherTargets or None
        The teacher's outputs for the clips of `split`.

    Returns
    -------
    list of dict
        One per epoch, keys `stages.core.training.loop.HISTORY_COLUMNS`.

    Raises
    ------
    ParameterError
        For an unknown criterion or schedule, or a parameter one of them refuses.
    ModelError
        If units are to be pruned and the network has none that can be removed.
    """
    pruner = _pruner(model, params, pruning, n_steps=params.epochs * math.ceil(len(split) / params.batch_size), run=run)
    pruner.start()
    return loop.fit(model, split, params, run, teacher=teacher, hooks=pruner.hooks())


def _pruner(
    model: "keras.Model", params: PruneParams, pruning: Pruning, *, n_steps: int, run: Run
) -> Pruner | WeightsFirst:
    criterion = Criterion(*params.plug_in(CRITERIA, pruning.criterion))
    granularity = criterion.module.GRANULARITY
    prunables = prunables_of(model, granularity, params.layers)
    n_units = sum(p.size for p in prunables) if granularity == "unit" else 0
    n_first, of_weights = getattr(criterion.module, "weights_first", _no_weights_first)(criterion.config, n_steps)
    schedule = sparsity_at(
        params, pruning.schedule, target=pruning.sparsity, n_steps=n_steps - n_first, n_units=n_units
    )
    keep = KeepRule(params.scope, params.min_units, params.unit_multiple) if n_units else KeepRule(params.scope)
    pruner = Pruner(Masks(prunables), criterion, _after(n_first, schedule), n_steps, keep=keep, seed=run.seed)
    rewind = getattr(params.plug_in(SCHEDULES, pruning.schedule)[1], "rewind", None)
    if rewind is not None:
        pruner.rewind = partial(load_weights, model, rewind)
    if not n_first:
        return pruner
    magnitude = Criterion(*params.plug_in(CRITERIA, "magnitude"))
    weights = Pruner(Masks(prunables_of(model, "weight", params.layers)), magnitude, of_weights, n_first)
    return WeightsFirst(weights, pruner, n_first)


def _no_weights_first(_config: Any, _n_steps: int) -> tuple[int, Schedule]:
    return 0, lambda _: (False, 0.0)


def _after(n: int, schedule: Schedule) -> Schedule:
    """Return a schedule that begins n steps later."""
    return lambda step: schedule(step - n) if step > n else (False, 0.0)
