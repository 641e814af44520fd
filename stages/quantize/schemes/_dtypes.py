"""The dtypes that a scheme's name claims, and the check that a file has them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stages.core.litert import flatbuffer
from stages.core.litert.flatbuffer import Contents
from stages.core.litert.operators import WEIGHTED
from stages.core.project.errors import ModelError

PLAIN: tuple[str, ...] = ()
"""Weights that their operator reads as they are stored."""
WIDENED: tuple[str, ...] = ("DEQUANTIZE",)
"""Weights that are widened to float32 when the model is loaded."""
UNPACKED: tuple[str, ...] = ("DENSIFY",)
"""Weights that are stored sparse."""


@dataclass(frozen=True)
class NoOptions:
    """Parameters of a scheme that has none."""


@dataclass(frozen=True)
class Claim:
    """Dtypes that every file of a scheme has.

    Attributes
    ----------
    scheme : str
        Name of the scheme, for messages.
    ends : str
        Dtype of inputs and outputs.
    weights : str
        Dtype of the weights of the operators `narrow`.
    narrow : tuple[str, ...]
        Operators that the scheme's bit-width covers; all by default.
    others : str
        Dtype of the weights of all other operators.
    through : tuple[tuple[str, ...], ...]
        Operators that may unpack weights, see `stages.core.litert.flatbuffer.Weight`.
    allowed : frozenset[str]
        Dtypes that any tensor may have; empty for all.
    or_else : str
        Another dtype that the weights of the operators `narrow` may have; empty for none.
    """

    scheme: str
    ends: str
    weights: str
    narrow: tuple[str, ...] = tuple(sorted(WEIGHTED))
    others: str = ""
    through: tuple[tuple[str, ...], ...] = (PLAIN,)
    allowed: frozenset[str] = frozenset()
    or_else: str = ""

    def require(self, contents: Contents) -> None:
        """Raise unless a file's dtypes are the claimed ones.

        Raises
        ------
        ModelError
        """
        narrow = {self.weights, self.or_else} - {""}
        claimed = {operator: narrow if operator in self.narrow else {self.others} for operator in WEIGHTED}
        found = set(contents.dtypes)
        checks = [
            ("inputs and outputs of", {self.ends}, {*contents.inputs, *contents.outputs}),
            ("tensors of", self.allowed or found, found),
            (
                "weights that reach their operators",
                {*map(_way, self.through)},
                {_way(w.through) for w in contents.weights},
            ),
        ]
        checks += [
            (f"{operator} weights of", dtypes, {w.dtype for w in contents.weights if w.operator == operator})
            for operator, dtypes in sorted(claimed.items())
        ]
        for what, right, got in checks:
            if not got <= right:
                claimed_dtypes, found_dtypes = " or ".join(sorted(right)), ", ".join(sorted(got))
                raise ModelError(
                    f"A {self.scheme} model must have {what} {claimed_dtypes}; got {found_dtypes}. "
                    "An operator in the architecture may have no such form."
                )


def verifier(claim: Claim) -> Callable[[Any, bytes], None]:
    """Return the `verify` of a scheme whose claim says everything."""

    def verify(config: Any, model: bytes) -> None:  # noqa: ARG001
        claim.require(flatbuffer.read(model))

    return verify


def _way(through: tuple[str, ...]) -> str:
    return f"through {' and '.join(through)}" if through else "directly"
