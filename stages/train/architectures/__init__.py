"""One file per architecture.

An architecture holds
    Config : frozen dataclass
    build(config, input_shape, n_classes) -> tf_keras.Model
        Features of `input_shape` (no batch axis) in; probabilities out: (n, 1) of a sigmoid when `n_classes` is 2,
        (n, n_classes) of a softmax otherwise. Uncompiled. TensorFlow is imported inside.

The last layer is dense: before its activation are the logits, and what enters it is the hidden vector, that a student
is taught by. A layer called `encoder`, if there is one, is what `distill.feature_penalty` looks at.

One that hears waveforms of one rate alone has `SAMPLE_RATE` (Hz). One that may start from a checkpoint has
  standalone(config): the Config that builds the same network without it, for whoever reads the trained weights
"""
