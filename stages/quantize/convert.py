"""Convert a Keras network to the float32 flatbuffer that every bit-width is made from."""

from stages.core.litert.convert import convert
from stages.core.nn.keras import keras
from stages.quantize.fold import fold_normalisation


def to_float32(model: "keras.Model") -> bytes:
    """Convert a network to a LiteRT model of builtin operators, with a batch size of 1.

    In this order: batch normalisation that the converter would leave is folded (`stages.quantize.fold`), recurrent
    layers are written out as they are traced (`stages.core.nn.layers`), the converter folds the normalisation that
    follows a convolution directly, and zeros lose their sign (`stages.core.litert.convert`). Units that do nothing were
    removed right after fine-tuning (`stages.prune.shrink`), which changes the network that is kept.

    Parameters
    ----------
    model : tf_keras.Model
        One input, one output. Not changed.

    Returns
    -------
    bytes
        A `.tflite` with signature ``features -> scores``; see `stages.core.litert.convert.convert`.

    Raises
    ------
    ModelError
        If an operator has no builtin counterpart.
    """
    folded = fold_normalisation(model)
    return convert(
        lambda features: folded(features, training=False),
        model.input_shape[1:],
        signature=("features", "scores"),
        owner=f"The network {model.name!r}",
        variables=folded.variables,
    )
