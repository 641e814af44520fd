"""`frontend.json`: the front end that made a features folder, and how a recording is fitted to it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stages.core.artifacts import json_file
from stages.core.artifacts.json_file import Json
from stages.core.project import files
from stages.runtime.hearing import DEFAULT, Hearing

FILE = "frontend.json"


@dataclass(frozen=True)
class Frontend:
    """The front end of a features folder or of a release.

    Attributes
    ----------
    labels : tuple[str, ...]
        Labels in output order; the positive class of a binary task is last.
    sample_rate : int
        Sample rate of the waveform that the front end takes (Hz).
    clip_samples : int
        Length of that waveform in samples.
    align : {"start", "middle"}
        Part of a longer recording that is taken; see `stages.runtime.audio.fit_length`.
    feature_shape : tuple[int, ...]
        Shape of one clip's features, time first.
    frontend : str
        Plug-in name, a file of ``stages/features/frontends/``.
    parameters : dict
        Parameters of the plug-in.
    crops : int
        Crops per clip along time; a clip's score is their mean.
    crop_length : int or None
        Time steps in one crop; None if the classifier takes the whole clip.
    bands : tuple[float, ...] or None
        Centre frequencies (Hz) of the bands if the features are power densities in dB, empty for waveforms; None for
        any other features.
    hearing : Hearing
        Rules by which recordings are heard and become clips; the file holds those that are not the defaults.
    """

    labels: tuple[str, ...]
    sample_rate: int
    clip_samples: int
    align: Literal["start", "middle"] = "start"
    feature_shape: tuple[int, ...] = ()
    frontend: str = ""
    parameters: Json = field(default_factory=dict)
    crops: int = 1
    crop_length: int | None = None
    bands: tuple[float, ...] | None = None
    hearing: Hearing = DEFAULT

    @property
    def clip_s(self) -> float:
        """Length of a clip in seconds."""
        return self.clip_samples / self.sample_rate


def read(folder: Path) -> Frontend:
    """Read the front end of a features folder or of a release.

    Raises
    ------
    DataError
        If the folder has no valid `frontend.json`.
    """
    return json_file.read(Frontend, folder / FILE, stage="features")


def write(folder: Path, frontend: Frontend) -> None:
    """Write a front end's description into a folder."""
    content = json_file.plain(frontend)
    del content["hearing"]
    if changed := frontend.hearing.changed():
        content["hearing"] = changed
    files.write_json(folder / FILE, content)
