"""The sentence for a file whose dtypes are not what its scheme's name claims."""

from stages.core.errors import ModelError
from stages.core.flatbuffer import Contents


def require(contents: Contents, *, scheme: str, ends: str, weights: str, allowed: set[str] | None = None) -> None:
    """Raise unless a model's dtypes are the claimed ones.

    Parameters
    ----------
    contents : Contents
    scheme : str
        For the message.
    ends : str
        Dtype of the model's inputs and outputs.
    weights : str
        Dtype of the weights of convolutions and fully connected operators.
    allowed : set[str] or None
        Dtypes that any tensor may have; None allows all.

    Raises
    ------
    ModelError
    """
    found = {
        "inputs and outputs": ({ends}, {*contents.inputs, *contents.outputs}),
        "weights": ({weights}, {weight.values.dtype.name for weight in contents.weights}),
        "tensors": (allowed or set(contents.dtypes), set(contents.dtypes)),
    }
    for what, (claimed, got) in found.items():
        if not got <= claimed:
            raise ModelError(
                f"A {scheme} model must have {what} of {' or '.join(sorted(claimed))}; got {', '.join(sorted(got))}. "
                "An operator in the architecture may have no such form."
            )
