"""What a search is given."""

from dataclasses import dataclass, field
from pathlib import Path

from stages.core.project.errors import require

FOLDER = Path("data/tune")


@dataclass(frozen=True)
class TuneParams:
    """How long and how a search looks.

    Attributes
    ----------
    budget_s : float
        Wall time of all trainings together (seconds), those of an interrupted search included.
    candidates : int or None
        Most candidates that are tried; None is as many as the budget allows.
    parts : int
        Parts of the training side's groups; each is held out once.
    share : float
        Fraction of `train.epochs` for which candidates are trained while they are compared; the comparison of the best
        with the recipe at the end takes all epochs.
    seed : int
        Seed of the sampler, the parts and the trainings.
    folder : Path
        Keeps the study and the finished trainings.
    """

    budget_s: float = 1800.0
    candidates: int | None = None
    parts: int = 4
    share: float = 1 / 3
    seed: int = 1
    folder: Path = field(default=FOLDER)

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self.budget_s > 0, "--budget", "be positive", self.budget_s, "Try 30m.")
        most = self.candidates is None or self.candidates >= 1
        require(most, "--candidates", "be at least 1", self.candidates)
        require(self.parts >= 2, "--parts", "be at least 2", self.parts, "4 is a good start.")
        require(0 < self.share <= 1, "--share", "be a fraction in (0, 1]", self.share, "Try 0.33.")


def seconds(text: str) -> float:
    """Return the seconds of a duration such as ``"30m"``.

    >>> seconds("90s"), seconds("30m"), seconds("1.5h"), seconds("60")
    (90.0, 1800.0, 5400.0, 60.0)
    """
    number, unit = (text[:-1], text[-1]) if text[-1:] in tuple("smh") else (text, "s")
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    require(value > 0, "--budget", "be a duration such as 90s, 30m or 2h", text)
    return value * {"s": 1, "m": 60, "h": 3600}[unit]
