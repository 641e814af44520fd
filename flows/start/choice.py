"""One parameter that is chosen, with its reason."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """One parameter: its value, and why.

    Attributes
    ----------
    name : str
        Dotted, as in `params.yaml`.
    value : Any
    reason : str
        Empty where there is nothing to explain.
    proposed : bool
        Written as a comment, for the user to decide.
    """

    name: str
    value: Any
    reason: str = ""
    proposed: bool = False
