"""Sweeps, variants and versions that MLflow holds, as values. No MLflow is imported."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artifacts.estimates import Threshold
from stages.core.artifacts.json_file import Json
from stages.core.artifacts.variant import Variant
from stages.runtime.rejection import Rejection

EXPERIMENT = "edac"
CHAMPION = "champion"
CANDIDATE = "candidate"


@dataclass(frozen=True)
class Sweep:
    """A sweep as MLflow knows it.

    Attributes
    ----------
    run_id, name : str
        Such as ``"sweep-0123abcd"``.
    status : str
    parameters : dict[str, str]
    """

    run_id: str
    name: str
    status: str
    parameters: dict[str, str]


@dataclass(frozen=True)
class Logged:
    """A variant as MLflow knows it; see `stages.core.artifacts.variant.Variant` for what the fields mean.

    Attributes
    ----------
    run_id, name, sha256, criterion, schedule, scheme : str
    sparsity : float
    bit_width, seed : int
    figures : dict[str, float]
        Everything measured, e.g. ``deflated_bytes``, ``latency_p50_ms``, ``test.n``, ``test.roc_auc``,
        ``test.roc_auc.low``, ``device.<device>.together_ms.p50``.
    plain : bool
        Fine-tuned neither for its scheme nor by a teacher, as in published tables.
    """

    run_id: str
    name: str
    sha256: str
    criterion: str
    schedule: str
    sparsity: float
    scheme: str
    bit_width: int
    seed: int
    figures: dict[str, float]
    plain: bool = True


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    Attributes
    ----------
    number : int
    aliases : tuple[str, ...]
    tags : dict[str, str]
    description : str
    run_id : str
    """

    number: int
    aliases: tuple[str, ...]
    tags: dict[str, str]
    description: str
    run_id: str

    def device(self, name: str) -> Json:
        """Return what a device measured, as `Registry.add_device_metrics` got it; {} if it measured nothing."""
        figures: Json = json.loads(self.tags.get(plain(f"device.{name}"), "{}"))
        return figures


@dataclass(frozen=True)
class Registration:
    """A variant to register and everything that its release holds.

    Attributes
    ----------
    variant : Variant
    release : Path
        Folder with the files of the release, `model.tflite` and `frontend.tflite` among them.
    example : np.ndarray, shape (n, clip_samples), float32
        Waveforms as the model takes them.
    n_outputs : int
        Scores per waveform.
    tags : Mapping
        Tags of the version, e.g. the test figures.
    description : str
        Description of the version, in Markdown.
    labels : tuple[str, ...]
        Labels in output order; empty if the model only gives scores.
    threshold : float, tuple[float, ...] or None
    reject : Rejection or None
        When its decisions are "unknown".
    """

    variant: Variant
    release: Path
    example: np.ndarray
    n_outputs: int
    tags: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    labels: tuple[str, ...] = ()
    threshold: Threshold = None
    reject: Rejection | None = None


def plain(name: str) -> str:
    """Replace the characters of a name that MLflow refuses by underscores."""
    return re.sub(r"[^/\w.\- :]", "_", name)
