"""A variant: one model file of the grid, with what is known of it.

A *cell* of the grid is (criterion, schedule, sparsity, seed, distilled); its fine-tuned network is converted once and
gives one *variant* per quantisation scheme. The file's sha256 is the variant's identity everywhere.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stages.core.project import files
from stages.core.project.params import load


@dataclass(frozen=True)
class Variant:
    """One model file and what was measured of it, latency excepted.

    Attributes
    ----------
    name : str
        For people and file names, e.g. ``"polynomial-s0.90-static_wi8_ai8-seed1234"``; the unpruned
        baseline's are ``"baseline-float32"`` and so on.
    key : str
        Digest of everything that made it.
    criterion, schedule : str
        Empty for the baseline.
    sparsity : float
        Asked for, a fraction in [0, 1).
    measured_sparsity : float
        Fraction of the unpruned network's prunable weights that are zeros in the file or no longer in it.
    scheme : str
    bit_width : int
        That the scheme is named for: of the weights, where LiteRT has such operators.
    seed : int
    sha256 : str
        Of the file.
    raw_bytes : int
    deflated_bytes : int
        After deflate at zlib's level 9.
    operators : dict[str, int]
        Builtin operator to how often the file uses it.
    keras_difference : float
        Largest absolute difference of a score from the Keras function's, over the validation split.
    metrics : dict
        ``{"validation": {...}, "test": {...}}`` as `stages.core.scoring.summary.summarise` returns them.
    weights : dict[str, int]
        Operator and dtype to the number of weights stored so, e.g. ``{"CONV_2D int4": 8768}``.
    mean_bits : float
        Bits of a weight on average, as stored.
    calibration : dict
        Of a scheme that needs it: `clips` of the training split, `seed` of their choice, `method`.
    parameters : int
        Of the network that was converted, without the units removed as they did nothing.
    flops : int
        Of one clip, or one of its crops; see `stages.core.litert.flops`.
    aware : bool
        Whether the network was fine-tuned with the scheme's integers in place.
    distilled : bool
        Whether the last fine-tuning learned from a teacher too; what the baseline learned from is not meant.
    teacher : dict[str, str]
        `kind` and `licence` of the one that it learned from at any step; empty if there was none.
    """

    name: str
    key: str
    criterion: str
    schedule: str
    sparsity: float
    measured_sparsity: float
    scheme: str
    bit_width: int
    seed: int
    sha256: str
    raw_bytes: int
    deflated_bytes: int
    operators: dict[str, int]
    keras_difference: float
    metrics: dict[str, Any]
    weights: dict[str, int] = field(default_factory=dict)
    mean_bits: float = 0.0
    calibration: dict[str, Any] = field(default_factory=dict)
    parameters: int = 0
    flops: int = 0
    aware: bool = False
    distilled: bool = False
    teacher: dict[str, str] = field(default_factory=dict)


def write_variants(path: Path, variants: Sequence[Variant]) -> None:
    """Write variants as one JSON list, in the order given."""
    files.write_json(path, [asdict(v) for v in variants])


def write_variant(path: Path, variant: Variant) -> None:
    """Write one variant as JSON."""
    files.write_json(path, asdict(variant))


def read_variant(path: Path) -> Variant:
    """Read what `write_variant` wrote."""
    return load(Variant, files.read_json(path), str(path))


def read_variants(path: Path) -> list[Variant]:
    """Read what `write_variants` wrote."""
    return [load(Variant, v, f"{path}[{i}]") for i, v in enumerate(files.read_json(path))]


def read_latencies(path: Path) -> dict[str, float]:
    """Return each variant's median latency (ms) from the `variants.csv` of evaluate; none if there is no such file."""
    return {row["name"]: float(row["latency_p50_ms"]) for row in files.read_csv(path)} if path.is_file() else {}
