"""The `pull` section of params.yaml."""

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

from stages.core.project import plugins
from stages.core.project.errors import require
from stages.core.project.params import Options
from stages.runtime.hearing import Hearing

SOURCES = "stages.pull.sources"
KINDS = ("labels", "groups", "sites", "splits")


@dataclass(frozen=True)
class NearDuplicateParams:
    """What happens to recordings that hold the same sound although their samples differ.

    Attributes
    ----------
    action : {"group", "report", "off"}
        Put them into one group, and exclude those with contradictory labels; only list them, for published folds that
        are to stay as they are; or do not look for them.
    threshold : float
        Least similarity of a pair (`stages.pull.near_duplicates.similarity`). Different sounds stay below 17, and most
        words of a synthesiser, whose voices have sounds in common, below 30. Most copies reach 60 and more.
    """

    action: Literal["group", "report", "off"] = "group"
    threshold: float = 30.0

    def __post_init__(self) -> None:
        """Check the range."""
        advice = "Different sounds reach about 15."
        require(self.threshold >= 10, "pull.near_duplicates.threshold", "be 10 or more", self.threshold, advice)


@dataclass(frozen=True)
class PullParams:
    """Which recordings to work on.

    Attributes
    ----------
    source : str
        A file of `stages/pull/sources/`.
    mirror : str or None
        Folder that holds the publisher's files, read instead of the network; the environment variable
        EDAC_MIRROR does the same. What comes from it is checked like what comes from the network.
    silence_dbfs : float
        Level relative to full scale. A recording whose peak about its mean stays below it is silent and excluded; a
        clip too, and a device says of such a window that it is silent.
    channel : {"mean", "left", "right", "loudest"}
        Channel of a recording that is heard: the mean of all, the first, the second, or the one with the most energy.
    overload : {"exclude", "scale"}
        What becomes of a floating-point file whose peak exceeds full scale by more than 1 dB.
    partial : {"exclude", "keep"}
        What becomes of a recording that is heard in part only: cut short, damaged, or with another one joined to it.
    similar_names : {"stop", "merge", "allow"}
        What happens to labels, groups, sites and splits whose names probably mean the same (`dog00` and `Dog00`, `1`
        and `1.0`; see `stages.core.project.names.similar`): stop with their list, give them one spelling, or keep them
        apart.
    rename : dict of str to dict of str to str
        Kind of name (`labels`, `groups`, `sites`, `splits`) to names as the source gives them and as they are to be,
        such as ``{groups: {Dog00: dog00}}``. Applied before similar names are looked for.
    link : {"auto", "copy", "hardlink", "symlink"}
        How files of your own folder or of a mirror come into `data/recordings`. `auto` makes a reflink (a copy that
        takes no space until one side changes) where the file system can, and otherwise a copy. The others need DVC's
        `cache.type` not to begin with `hardlink`, so that DVC never shares your files with its cache.
    near_duplicates : NearDuplicateParams
        What happens to recordings that hold the same sound although their samples differ.
    options : dict
        Source name to that source's `Config`.
    """

    source: str = "demo"
    mirror: str | None = None
    silence_dbfs: float = -60.0
    channel: Literal["mean", "left", "right", "loudest"] = "mean"
    overload: Literal["exclude", "scale"] = "exclude"
    partial: Literal["exclude", "keep"] = "exclude"
    similar_names: Literal["stop", "merge", "allow"] = "stop"
    rename: dict[str, dict[str, str]] = field(default_factory=dict)
    link: Literal["auto", "copy", "hardlink", "symlink"] = "auto"
    near_duplicates: NearDuplicateParams = field(default_factory=NearDuplicateParams)
    options: Options = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the ranges."""
        advice = "0 is full scale; 16-bit recordings reach down to -90."
        require(-120 <= self.silence_dbfs < 0, "pull.silence_dbfs", "be in [-120, 0) dB", self.silence_dbfs, advice)
        kinds = sorted(map(str, self.rename))
        require(set(kinds) <= set(KINDS), "pull.rename", f"have no keys but {', '.join(KINDS)}", kinds)

    @property
    def hearing(self) -> Hearing:
        """The rules by which recordings are heard."""
        return Hearing(
            channel=self.channel, overload=self.overload, partial=self.partial, silence_dbfs=self.silence_dbfs
        )

    def configure(self) -> tuple[ModuleType, Any]:
        """Return the source's module and its filled `Config`."""
        return plugins.configure(SOURCES, self.source, self.options, "pull")
