"""A front end's graph to `frontend.tflite`, the file that makes the training features and runs on the device."""

from types import ModuleType
from typing import Any

from stages.core import flatbuffer
from stages.core.errors import ModelError
from stages.runtime.litert import Model


def export(frontend: ModuleType, config: Any) -> bytes:
    """Convert a front end to a LiteRT model of builtin operators.

    Parameters
    ----------
    frontend : ModuleType
        A file of `stages/features/frontends/`.
    config : Config
        Of that front end.

    Returns
    -------
    bytes
        A `.tflite` with signature ``waveform -> features``: (1, clip_samples) to (1, *feature_shape), float32. The
        bytes depend on the graph alone.

    Raises
    ------
    ModelError
        If an operator has no builtin counterpart, or the features have not the shape that the front end states.
    """
    from stages.core.keras import tf

    owner = tf.Module(name="frontend")
    graph = frontend.graph(config)
    waveform = tf.TensorSpec((1, config.clip_samples), tf.float32, name="waveform")
    function = tf.function(lambda waveform: {"features": graph(waveform)}, input_signature=[waveform])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], owner)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    content = converter.convert()
    custom = [name for name in flatbuffer.read(content).operators if name.startswith("CUSTOM")]
    if custom:
        raise ModelError(f"{frontend.__name__} must use builtin LiteRT operators; got {custom}. Rewrite its graph.")
    shape = Model(content).output_shape
    if shape != tuple(frontend.feature_shape(config)):
        stated = frontend.feature_shape(config)
        raise ModelError(f"{frontend.__name__} must make features of shape {stated}; got {shape}. Mend feature_shape.")
    return content
