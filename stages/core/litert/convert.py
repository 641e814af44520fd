"""TensorFlow functions to LiteRT models of builtin operators."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stages.core.litert import flatbuffer
from stages.core.nn.keras import tf
from stages.core.project import lazy
from stages.core.project.errors import ModelError

if TYPE_CHECKING:
    from tensorflow.lite.python import convert_phase
else:
    convert_phase = lazy.module("tensorflow.lite.python.convert_phase")


def convert(
    function: Callable[["tf.Tensor"], "tf.Tensor"],
    shape: tuple[int, ...],
    *,
    signature: tuple[str, str],
    owner: str,
    variables: Sequence["tf.Variable"] = (),
) -> bytes:
    """Convert a function of one float32 tensor, with a batch size of 1.

    The bytes depend on the function alone, and no constant is a negative zero, whose sign bit would spoil compression.

    Parameters
    ----------
    function : Callable
    shape : tuple[int, ...]
        Shape of its input, without the batch axis.
    signature : (str, str)
        Names of the input and the output.
    owner : str
        Name of the function in messages, e.g. ``"The network 'edac_cnn'"``.
    variables : Sequence of tf.Variable
        That the function reads, if any.

    Returns
    -------
    bytes
        A `.tflite`.

    Raises
    ------
    ModelError
        If an operator has no builtin counterpart.
    """
    input_name, output_name = signature
    spec = tf.TensorSpec((1, *shape), tf.float32, name=input_name)
    traced = tf.function(lambda **inputs: {output_name: function(inputs[input_name])}, autograph=False)
    concrete = traced.get_concrete_function(**{input_name: spec})
    owns = tf.Module()  # in place of a network, of which the converter would first trace and save every layer
    owns.read = list(variables)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], owns)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        content = converter.convert()
    except convert_phase.ConverterError as error:
        found = ", ".join(sorted(set(re.findall(r"'tf\.(\w+)' op", str(error))))) or str(error)[:200]
        raise ModelError(
            f"{owner} must consist of operators that LiteRT builds in; got {found}. Write it with other operators."
        ) from None
    return flatbuffer.without_negative_zeros(content)
