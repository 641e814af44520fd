"""Whether a model file is what it claims to be."""

from types import ModuleType
from typing import Any

from stages.core.litert import flatbuffer, operators
from stages.core.litert.flatbuffer import Contents
from stages.core.project.errors import ModelError
from stages.runtime.errors import RuntimeInputError
from stages.runtime.litert import Model


def check(
    model: bytes, *, scheme: ModuleType, config: Any, expected_sparsity: float = 0.0, n_prunable: int = 0
) -> Contents:
    """Load a model with LiteRT and compare its contents with what is claimed of it.

    Parameters
    ----------
    model : bytes
        Content of a `.tflite`.
    scheme : module
        Module of ``stages/quantize/schemes/``; its `verify` knows the dtypes.
    config : Config
        The scheme's.
    expected_sparsity : float
        Fraction of zeros in [0, 1) that the prunable weights have at least, all together. Each tensor may lack one
        zero, because a fraction of its size need not be a whole number; rounding to fewer bits may add zeros.
    n_prunable : int
        Weights of the network before units were removed, which count as zeros; 0 if it lost none.

    Returns
    -------
    Contents

    Raises
    ------
    ModelError
        If LiteRT cannot run it, or it holds a custom operator, another dtype, too few zeros or a negative zero.
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
    n_tensors = sum(w.operator in operators.PRUNABLE for w in contents.weights)
    found = sparsity(contents, n_prunable)
    if found < expected_sparsity - n_tensors / max(n_prunable, _n_prunable(contents), 1):
        raise ModelError(
            f"The model must have {expected_sparsity:.2%} zeros among its prunable weights; "
            f"got {found:.2%}. Its pruning masks were not applied."
        )
    if contents.negative_zeros:
        raise ModelError(
            f"A model must hold no negative zeros, which spoil compression; got {contents.negative_zeros}. "
            "Convert it with stages.quantize.convert."
        )
    return contents


def sparsity(contents: Contents, n_prunable: int = 0) -> float:
    """Return the fraction of zeros among `n_prunable` weights, those that the file no longer has among them."""
    missing = max(n_prunable - _n_prunable(contents), 0)
    zeros = contents.sparsity * _n_prunable(contents)
    return (missing + zeros) / max(n_prunable, _n_prunable(contents), 1)


def _n_prunable(contents: Contents) -> int:
    return sum(w.values.size for w in contents.weights if w.operator in operators.PRUNABLE)
