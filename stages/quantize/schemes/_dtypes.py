"""The sentence for a file whose dtypes are not what its scheme's name claims."""

from collections.abc import Iterable

from stages.core.litert import flatbuffer
from stages.core.litert.flatbuffer import Contents
from stages.core.project.errors import ModelError

PLAIN: tuple[str, ...] = ()
"""Weights that their operator reads as they are stored."""


def require(
    contents: Contents,
    *,
    scheme: str,
    ends: str,
    weights: str,
    narrow: Iterable[str] = flatbuffer.WEIGHTED,
    others: str = "",
    through: Iterable[tuple[str, ...]] = (PLAIN,),
    allowed: set[str] | None = None,
) -> None:
    """Raise unless a model's dtypes are the claimed ones.

    Parameters
    ----------
    contents : Contents
    scheme : str
        For the message.
    ends : str
        Dtype of the model's inputs and outputs.
    weights : str
        Dtype of the weights of the operators `narrow`.
    narrow : Iterable[str]
        Operators that the scheme's bit-width covers; all by default.
    others : str
        Dtype of the weights of all other operators.
    through : Iterable[tuple[str, ...]]
        Ways that weights may take to their operator, see `stages.core.litert.flatbuffer.Weight`.
    allowed : set[str] or None
        Dtypes that any tensor may have; None allows all.

    Raises
    ------
    ModelError
    """
    claimed = dict.fromkeys(flatbuffer.WEIGHTED, others) | dict.fromkeys(narrow, weights)
    covered = set(contents.dtypes) if allowed is None else allowed
    checks = [
        ("inputs and outputs of", {ends}, {*contents.inputs, *contents.outputs}),
        ("tensors of", covered, set(contents.dtypes)),
        ("weights that reach their operators", {*map(_way, through)}, {_way(w.through) for w in contents.weights}),
    ]
    checks += [
        (f"{operator} weights of", {dtype}, {w.dtype for w in contents.weights if w.operator == operator})
        for operator, dtype in sorted(claimed.items())
    ]
    for what, right, got in checks:
        if not got <= right:
            raise ModelError(
                f"A {scheme} model must have {what} {' or '.join(sorted(right))}; got {', '.join(sorted(got))}. "
                "An operator in the architecture may have no such form."
            )


def _way(through: tuple[str, ...]) -> str:
    return f"through {' and '.join(through)}" if through else "directly"
