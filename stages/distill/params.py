"""The `distill` section of `params.yaml`."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

from stages.core.project import plugins
from stages.core.training.teacher import Distillation

TEACHERS = "stages.distill.teachers"


@dataclass(frozen=True)
class DistillParams(Distillation):
    """Parameters of the teacher; see `Distillation`, which the stages that train students read."""

    def configure(self) -> tuple[ModuleType, Any] | None:
        """Return the teacher's module and its filled `Config`, or None if there is none.

        Raises
        ------
        ParameterError
            If there is no such teacher, or its options do not fit.
        """
        if self.teacher is None:
            return None
        return plugins.configure(TEACHERS, self.teacher, self.options, "distill")
