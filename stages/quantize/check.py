"""Check that a model file is what it claims to be."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from stages.core.litert import flatbuffer
from stages.core.litert.flatbuffer import Contents
from stages.core.project.errors import ModelError
from stages.runtime.errors import RuntimeInputError
from stages.runtime.litert import Model


@dataclass(frozen=True)
class Checked:
    """Contents of a model file, and the origin of its zeros.

    Attributes
    ----------
    contents : Contents
    pruned : float
        Fraction of the unpruned network's prunable weights that were zero before rounding, or removed with their unit.
    rounded : float
        Fraction of them that rounding to few bits made zero.
    """

    contents: Contents
    pruned: float
    rounded: float


def check(
    model: bytes,
    *,
    scheme: ModuleType,
    config: Any,
    float32: bytes,
    expected_sparsity: float = 0.0,
    n_prunable: int = 0,
) -> Checked:
    """Load a model with LiteRT and check its contents against the claims of its scheme.

    Parameters
    ----------
    model : bytes
        Content of a `.tflite`.
    scheme : module
        Module of ``stages/quantize/schemes/``; its `verify` knows the dtypes.
    config : Config
        Parameters of the scheme.
    float32 : bytes
        The float32 model that it was made from, whose zeros are the masked positions.
    expected_sparsity : float
        Fraction of zeros in [0, 1) that the float32 model's prunable weights have at least, all together. Each tensor
        may lack one zero, because a fraction of its size need not be a whole number.
    n_prunable : int
        Weights of the network before units were removed, which count as zeros; 0 if it lost none.

    Raises
    ------
    ModelError
        If LiteRT cannot run it, or it holds a custom operator, another dtype, a negative zero, or a weight that is not
        zero where the float32 model's is; or if that has too few zeros.
    """
    try:
        Model(model)
    except RuntimeInputError as error:
        raise ModelError(str(error)) from None
    contents = flatbuffer.read(model)
    custom = [name for name in contents.operators if name.startswith("CUSTOM")]
    if custom:
        raise ModelError(f"A model must hold builtin operators only; got {', '.join(custom)}. Write them otherwise.")
    scheme.verify(config, model)
    masks, zeros = ([w.values == 0 for w in each.prunable] for each in (flatbuffer.read(float32), contents))
    if [mask.size for mask in masks] != [zero.size for zero in zeros]:
        raise ModelError("A model must hold the weights of the float32 model that it was made from; it holds others.")
    n_masked = sum(map(np.count_nonzero, masks))
    total = max(n_prunable, sum(mask.size for mask in masks), 1)
    removed = total - sum(mask.size for mask in masks) if masks else 0
    pruned = (removed + n_masked) / total
    if pruned < expected_sparsity - len(masks) / total:
        raise ModelError(
            f"The model must have {expected_sparsity:.2%} zeros among its prunable weights; "
            f"got {pruned:.2%}, zeros that rounding made aside. Its pruning masks were not applied."
        )
    lost = sum(int(np.count_nonzero(mask.ravel() & ~zero.ravel())) for mask, zero in zip(masks, zeros, strict=True))
    if lost:
        raise ModelError(f"A masked weight must be zero in the model; {lost} are not. Use another scheme.")
    if contents.negative_zeros:
        raise ModelError(
            f"A model must hold no negative zeros, which spoil compression; got {contents.negative_zeros}. "
            "Convert it with stages.quantize.convert."
        )
    return Checked(contents, pruned, (sum(map(np.count_nonzero, zeros)) - n_masked) / total)
