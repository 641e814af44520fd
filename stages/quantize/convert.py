"""A Keras network to the one float32 flatbuffer that every bit-width is made from."""

import re
from typing import TYPE_CHECKING

from stages.core import flatbuffer
from stages.core.errors import ModelError

if TYPE_CHECKING:
    import tf_keras


def to_float32(model: "tf_keras.Model") -> bytes:
    """Convert a network to a LiteRT model of builtin operators, with a batch size of 1.

    Batch normalisation that follows a convolution directly is folded into its weights; where an activation
    stands between them, it stays as a product and a sum. The bytes depend on the network alone, and no weight
    is a negative zero, whose sign bit would spoil compression.

    Parameters
    ----------
    model : tf_keras.Model
        One input, one output. Not changed.

    Returns
    -------
    bytes
        A `.tflite` with signature ``features -> scores``.

    Raises
    ------
    ModelError
        If an operator has no builtin counterpart.
    """
    from stages.core.keras import tf  # before TensorFlow's own modules, as it chooses Keras

    from tensorflow.lite.python.convert_phase import ConverterError  # isort: skip

    features = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="features")
    function = tf.function(lambda features: {"scores": model(features, training=False)}, input_signature=[features])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        content = converter.convert()
    except ConverterError as error:
        found = ", ".join(sorted(set(re.findall(r"'tf\.(\w+)' op", str(error))))) or str(error)[:200]
        raise ModelError(
            f"The network {model.name!r} must consist of operators that LiteRT builds in; got {found}. "
            "Write that layer with other operators."
        ) from None
    return flatbuffer.without_negative_zeros(content)
