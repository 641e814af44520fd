"""The `features` section of `params.yaml`."""

import dataclasses
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

from stages.core.project import plugins
from stages.core.project.errors import ParameterError, require
from stages.core.project.params import Options
from stages.runtime.hearing import Hearing

FRONTENDS = "stages.features.frontends"


@dataclass(frozen=True)
class Segment:
    """Segments that a recording is cut into, each of them a clip; the last ends where the recording does.

    Attributes
    ----------
    hop_s : float
        Time from the start of one segment to the next (seconds).
    length_s : float or None
        Length of a segment (seconds); null is that of the front end's clip, the only other value allowed.
    """

    hop_s: float
    length_s: float | None = None


@dataclass(frozen=True)
class FeatureParams:
    """Parameters of the clips and of the front end.

    Attributes
    ----------
    frontend : str
        A file of `stages/features/frontends/`.
    options : dict
        Front end name to that front end's `Config`.
    remove_dc : bool
        Subtract the mean of every clip.
    place : {"aligned", "loudest"}
        Part of a longer recording that is its clip: as the front end says (from the start or from the middle), or where
        it has the most energy.
    short : {"pad", "repeat"}
        What follows a recording that is shorter than a clip: silence, or the recording again until the clip is full.
    segment : Segment or None
        Cut every recording into several clips; null makes one clip of each.
    """

    frontend: str = "mfcc"
    options: Options = field(default_factory=dict)
    remove_dc: bool = False
    place: Literal["aligned", "loudest"] = "aligned"
    short: Literal["pad", "repeat"] = "pad"
    segment: Segment | None = None

    def __post_init__(self) -> None:
        """Check that a clip is placed in one way."""
        advice = "Segments cover all of a recording, the loudest part included."
        alone = self.segment is None or self.place == "aligned"
        require(alone, "features.place", "be aligned where features.segment is set", self.place, advice)

    def hearing(self, heard: Hearing, sample_rate: int, clip_samples: int) -> Hearing:
        """Return the complete rules of hearing: `heard` with those of this section.

        Raises
        ------
        ParameterError
            If segments do not fit the front end's clips.
        """
        clip_s, segment = clip_samples / sample_rate, self.segment
        rules = dataclasses.replace(heard, remove_dc=self.remove_dc, place=self.place, short=self.short)
        if segment is None:
            return rules
        name, rule = "features.segment", f"be a clip's length, {clip_s:g} s, or null"
        fits = segment.length_s is None or abs(segment.length_s * sample_rate - clip_samples) <= 1
        require(fits, f"{name}.length_s", rule, segment.length_s, "Or change clip_samples of the front end.")
        rule = f"be above 0 and at most a segment's length, {clip_s:g} s"
        require(1 <= round(segment.hop_s * sample_rate) <= clip_samples, f"{name}.hop_s", rule, segment.hop_s)
        return dataclasses.replace(rules, segment_s=clip_s, hop_s=segment.hop_s)

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
        """Check that clips can be mixed as sounds are.

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
