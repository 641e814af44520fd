"""A Keras network to the one float32 flatbuffer that every bit-width is made from."""

from typing import TYPE_CHECKING

from stages.core.convert import convert

if TYPE_CHECKING:
    import tf_keras


def to_float32(model: "tf_keras.Model") -> bytes:
    """Convert a network to a LiteRT model of builtin operators, with a batch size of 1.

    Batch normalisation that follows a convolution directly is folded into its weights; where an activation
    stands between them, it stays as a product and a sum.

    Parameters
    ----------
    model : tf_keras.Model
        One input, one output. Not changed.

    Returns
    -------
    bytes
        A `.tflite` with signature ``features -> scores``; see `stages.core.convert.convert`.

    Raises
    ------
    ModelError
        If an operator has no builtin counterpart.
    """
    return convert(
        lambda features: model(features, training=False),
        model.input_shape[1:],
        signature=("features", "scores"),
        owner=f"The network {model.name!r}",
        variables=model,
    )
