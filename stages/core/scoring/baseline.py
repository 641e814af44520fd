"""The float32 baseline of a sweep: the one definition of the variant that all others are compared with."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from stages.core.project.errors import DataError


class HasScheme(Protocol):
    """A variant, as far as finding the baseline needs it."""

    @property
    def schedule(self) -> str:
        """Pruning schedule; empty for the unpruned."""

    @property
    def scheme(self) -> str:
        """Quantisation scheme."""


V = TypeVar("V", bound=HasScheme)


def is_baseline(variant: HasScheme) -> bool:
    """Return whether a variant is the unpruned float32 network."""
    return not variant.schedule and variant.scheme == "float32"


def baseline(variants: Iterable[V]) -> V:
    """Return the float32 baseline.

    Raises
    ------
    DataError
        If there is none.
    """
    for variant in variants:
        if is_baseline(variant):
            return variant
    raise DataError("The sweep must hold the float32 baseline that others are compared with. Add it to sweep.schemes.")
