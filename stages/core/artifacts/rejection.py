"""When a variant says "unknown": its rejection rule, as chosen on validation."""

from dataclasses import dataclass

from stages.runtime.rejection import Rejection


@dataclass(frozen=True)
class FittedRejection:
    """A rejection rule whose limit was chosen on validation, or why there is none.

    Attributes
    ----------
    rule : Rejection or None
    n, groups : int
        Validation clips, and their groups.
    reason : str
        Why there is no rule; empty if there is one.
    """

    rule: Rejection | None
    n: int = 0
    groups: int = 0
    reason: str = ""


NO_REJECTION = FittedRejection(None, reason="evaluate.decisions.known_share is not set")
