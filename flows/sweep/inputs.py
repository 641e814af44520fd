"""Everything that determines what the cells of a sweep become, besides the grid itself."""

from dataclasses import dataclass

from flows.sweep.grid import Sources
from stages.evaluate.params import EvaluateParams
from stages.prune.params import PruneParams
from stages.quantize.params import QuantizeParams


@dataclass(frozen=True)
class SweepInputs:
    """Sections of `params.yaml` and folders that every cell of a sweep shares.

    Attributes
    ----------
    sources : Sources
        Outputs of earlier stages.
    prune : PruneParams
        Section `prune`.
    quantize : QuantizeParams
        Section `quantize`.
    evaluate : EvaluateParams
        Section `evaluate`.
    """

    sources: Sources
    prune: PruneParams
    quantize: QuantizeParams
    evaluate: EvaluateParams
