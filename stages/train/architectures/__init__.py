"""One file per architecture.

An architecture holds
    Config : frozen dataclass
    build(config, input_shape, n_classes) -> tf_keras.Model
        Maps features of `input_shape` (no batch axis) to probabilities: (n, 1) of a sigmoid when `n_classes` is 2,
        (n, n_classes) of a softmax otherwise. Uncompiled.

The last layer is dense: its values before the activation are the logits, and its input is the hidden vector that
distillation compares with the teacher's embedding. `distill.feature_penalty` applies to a layer called `encoder`.

An architecture for waveforms of a single rate has `SAMPLE_RATE` (Hz). One that may start from a checkpoint has
  standalone(config): the Config that builds the same network without it, to read the trained weights into
"""
