"""The `features` section of `params.yaml`."""

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from stages.core.project import plugins
from stages.core.project.errors import ParameterError

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

    def require_levels(self) -> None:
        """Check that the front end makes a spectrogram that can be masked.

        Raises
        ------
        ParameterError
            If it does not.
        """
        frontend, _ = self.configure()
        if not hasattr(frontend, "levels"):
            raise ParameterError(
                f"features.frontend must make a spectrogram for augment.masks; got {self.frontend!r}, which has no "
                "`levels`. Choose another front end, or leave out augment.masks.copies."
            )

    def require_bands(self) -> None:
        """Check that clips can be blended as sounds are.

        Raises
        ------
        ParameterError
            If the front end makes neither waveforms nor levels in dB.
        """
        frontend, config = self.configure()
        if not hasattr(frontend, "bands") or frontend.bands(config) is None:
            raise ParameterError(
                "features.frontend must make waveforms or levels in dB for between_class; got "
                f"{self.frontend!r} as it is set. Choose raw or log_mel, or leave between_class out."
            )
