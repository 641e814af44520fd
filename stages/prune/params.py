"""The `prune` section of `params.yaml`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar, Literal

from stages.core.project import plugins
from stages.core.project.errors import ParameterError, require
from stages.core.project.params import Options, known
from stages.core.training.params import FitParams

CRITERIA, SCHEDULES = "stages.prune.criteria", "stages.prune.schedules"


@dataclass(frozen=True)
class PruneParams(FitParams):
    """Parameters of pruning while fine-tuning; see `FitParams` for the rest.

    Attributes
    ----------
    scope : {"layer", "global"}
        Scope of the sparsity: each kernel (or each layer's units) by itself, or all together. The most important weight
        or unit of each is kept in any case. Criteria, schedules and sparsities are the sweep's.
    layers : dict[str, float]
        Layer-name globs to a multiplier on the target sparsity, in [0, 1] (0: do not prune); first match wins, 1 where
        none matches. 0 or 1 with scope "global".
    min_units : int
        Number of units that each layer keeps in any case.
    unit_multiple : int
        Multiple to which the number of units that a layer keeps is rounded up. A device computes several channels at a
        time, whether they are there or not: with XNNPACK, 11 cost what 16 do.
    options : dict
        Criterion's or schedule's name to its parameters.
    """

    SECTION: ClassVar[str] = "prune"

    learning_rate: float = 1e-4
    epochs: int = 3
    scope: Literal["layer", "global"] = "layer"
    layers: dict[str, float] = field(default_factory=dict)
    min_units: int = 1
    unit_multiple: int = 1
    options: Options = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        for name in ("min_units", "unit_multiple"):
            require(getattr(self, name) >= 1, f"prune.{name}", "be at least 1", getattr(self, name))
        for pattern, part in self.layers.items():
            owner, whole = f"prune.layers.{pattern}", self.scope == "layer"
            rule = "be a fraction in [0, 1]" if whole else "be 0 or 1 with prune.scope: global"
            require(
                0 <= part <= 1 and (whole or part in (0, 1)), owner, rule, part, "Write 0 to keep these layers whole."
            )

    def plug_in(self, package: str, name: str) -> tuple[ModuleType, Any]:
        """Return the module of a criterion or a schedule and its filled `Config`; both folders share the options.

        Parameters
        ----------
        package : str
            `CRITERIA` or `SCHEDULES`.
        name : str

        Raises
        ------
        ParameterError
            If there is no such plug-in, or its options do not fit.
        """
        everyone = {*plugins.names(CRITERIA), *plugins.names(SCHEDULES)}
        for other in self.options:
            if other not in everyone:
                raise ParameterError(f"prune.options has no plug-in {other!r}. {known(other, everyone)}")
        own = {other: values for other, values in self.options.items() if other in plugins.names(package)}
        return plugins.configure(package, name, own, "prune")


def sparsity_at(
    params: PruneParams, schedule: str, *, target: float, n_steps: int, n_units: int = 0
) -> Callable[[int], tuple[bool, float]]:
    """Return a schedule's answer for every step, as `stages.prune.schedules` has it.

    Raises
    ------
    ParameterError
        For an unknown schedule, or a parameter it refuses.
    """
    module, config = params.plug_in(SCHEDULES, schedule)
    return module.sparsity_at(config, target, n_steps, n_units)
