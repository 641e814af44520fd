"""The type of one answer of the runtime; the docstring of each function that returns one lists its keys."""

from typing import Any, TypeAlias, TypedDict

Line: TypeAlias = dict[str, Any]
"""A JSON object, which the runtime prints as one line."""


class Check(TypedDict, total=False):
    """One check of a release.

    Attributes
    ----------
    check : str
        Name of the check: a golden recording, ``"files"``, ``"signature"`` and so on.
    ok : bool
    detail : str
        One sentence for a person.
    difference : float
        Largest difference of a golden recording's scores from home's.
    """

    check: str
    ok: bool
    detail: str
    difference: float
