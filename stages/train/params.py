"""The `train` section of `params.yaml`."""

from dataclasses import dataclass, field
from typing import ClassVar

from stages.core.project.errors import require
from stages.core.project.params import Options
from stages.core.training.params import FitParams


@dataclass(frozen=True)
class TrainParams(FitParams):
    """Parameters of the baseline's training; see `FitParams` for the rest.

    Attributes
    ----------
    architecture : str
        A file of `stages/train/architectures/`.
    patience : int or None
        Epochs without a lower validation loss after which training stops; the weights of the epoch with the lowest are
        kept. None: all epochs, and the last one's weights, the better choice where the learning rate decays and the
        validation split is so small that its loss tells little.
    seed : int
        Seed of the initial weights and of every draw during training.
    threads : int
        Threads of one operator; part of the result.
    options : dict
        Architecture name to its parameters.
    """

    SECTION: ClassVar[str] = "train"

    architecture: str = "edac_cnn"
    patience: int | None = 10
    seed: int = 1234
    threads: int = 2
    options: Options = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        patience, advice = self.patience, "Write null to keep the last epoch."
        require(patience is None or patience >= 1, "train.patience", "be at least 1 epoch", patience, advice)
        require(self.seed >= 0, "train.seed", "be 0 or more", self.seed)
        require(self.threads >= 1, "train.threads", "be at least 1", self.threads)
