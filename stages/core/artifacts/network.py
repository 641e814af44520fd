"""`architecture.json`: which network a folder of weights holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stages.core.artifacts import json_file
from stages.core.artifacts.json_file import Json
from stages.core.artifacts.teacher import NO_TEACHER, Teacher

FILE = "architecture.json"


@dataclass(frozen=True)
class ScoreCalibration:
    """Scale and shift of the logits that were folded into the last layer, so that scores are probabilities.

    Attributes
    ----------
    scale, shift : tuple[float, ...]
        Calibrated logits are ``scale * logits + shift``, one of each per output; 1 and 0 where it was refused.
    n, groups : int
        Validation clips that it was fitted on, and their groups.
    log_loss_before, log_loss_after : float
        Log loss (nats) on validation, after calibration as measured on groups that a fit had not seen.
    reason : str
        Why it was refused; empty if it was not.
    """

    scale: tuple[float, ...] = ()
    shift: tuple[float, ...] = ()
    n: int = 0
    groups: int = 0
    log_loss_before: float = 0.0
    log_loss_after: float = 0.0
    reason: str = ""

    @property
    def changes_scores(self) -> bool:
        """Whether it has an effect."""
        return any(scale != 1 for scale in self.scale) or any(self.shift)


NOT_CALIBRATED = ScoreCalibration(reason="it was not asked for")


@dataclass(frozen=True)
class NetworkDescription:
    """Parameters that a network is built from, and figures measured when it was converted.

    Attributes
    ----------
    name : str
        Plug-in name, a file of ``stages/train/architectures/``.
    config : dict
        Parameters of the plug-in.
    input_shape : tuple[int, ...]
        Shape of the features that the network takes.
    n_classes : int
    n_parameters : int
    multi_label : bool
        Whether the network has a sigmoid per class.
    kept : dict[str, tuple[int, ...]]
        Layer name to the units that remain of those it was built with; layers without an entry are complete.
    teacher : Teacher
        Teacher that the network learned from at any step; `NO_TEACHER` if there was none.
    n_prunable : int
        Prunable weights of the network before units were removed; 0 until it was converted.
    sparsity : float
        Fraction of those that are zero or removed.
    flops : int
        Floating-point operations per clip; 0 until it was converted.
    score_calibration : ScoreCalibration
        Calibration of the scores that is part of the weights.
    """

    name: str
    config: Json
    input_shape: tuple[int, ...]
    n_classes: int
    n_parameters: int
    multi_label: bool = False
    kept: dict[str, tuple[int, ...]] = field(default_factory=dict)
    teacher: Teacher = NO_TEACHER
    n_prunable: int = 0
    sparsity: float = 0.0
    flops: int = 0
    score_calibration: ScoreCalibration = NOT_CALIBRATED

    def without_units(self, kept: Mapping[str, Sequence[int]], n_parameters: int) -> "NetworkDescription":
        """Return the description after units were removed.

        Parameters
        ----------
        kept : Mapping
            Layer name to its remaining units, numbered as in this network; layers without an entry are complete.
        n_parameters : int
            Parameters of the smaller network.
        """
        now = {
            name: tuple(int(self.kept[name][i] if name in self.kept else i) for i in units)
            for name, units in kept.items()
        }
        return replace(self, n_parameters=n_parameters, kept={**self.kept, **now})


def read(folder: Path) -> NetworkDescription:
    """Read the description of a network folder.

    Raises
    ------
    DataError
        If the folder has no valid `architecture.json`.
    """
    return json_file.read(NetworkDescription, folder / FILE, stage="train")


def write(folder: Path, description: NetworkDescription) -> None:
    """Write the description of a network into its folder; fields that hold their default are left out."""
    json_file.write(folder / FILE, description, omit_defaults=True)
