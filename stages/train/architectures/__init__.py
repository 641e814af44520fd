"""One file per architecture.

An architecture holds
    Config : frozen dataclass
    build(config, input_shape, n_classes) -> tf_keras.Model
        Features of `input_shape` (no batch axis) in; probabilities out: (n, 1) of a sigmoid when `n_classes` is 2,
        (n, n_classes) of a softmax otherwise. Uncompiled. TensorFlow is imported inside.
"""
