"""The `features` section of `params.yaml`."""

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from stages.core import plugins

FRONTENDS = "stages.features.frontends"


@dataclass(frozen=True)
class FeatureParams:
    """What the classifier sees of a clip.

    Attributes
    ----------
    frontend : str
        A file of `stages/features/frontends/`.
    options : dict
        Front end name to that front end's `Config`.
    """

    frontend: str = "mfcc"
    options: dict[str, Any] = field(default_factory=dict)

    def configure(self) -> tuple[ModuleType, Any]:
        """Return the front end's module and its filled `Config`.

        Raises
        ------
        ParameterError
            If there is no such front end, or its options do not fit.
        """
        return plugins.configure(FRONTENDS, self.frontend, self.options, "features")
