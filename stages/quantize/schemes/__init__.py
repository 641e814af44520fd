"""One file per quantisation scheme, named by what it does (`static_wi8_ai8`: static, int8 weights, int8 activations).

A scheme holds
    Config : frozen dataclass
    BIT_WIDTH : int
        Bits of a weight.
    NEEDS_CALIBRATION : bool
        True if activations need ranges.
    quantize(config, float32, calibration) -> bytes
        Quantise a float32 flatbuffer; `calibration` is (n, ...) float32 features of the training split, or
        `stages.quantize.ranges.Ranges` that quantisation-aware training found, or None.
    verify(config, model) -> None
        Raise ModelError unless the flatbuffer's dtypes are what the name claims.

Most schemes make both functions from data, by `_static`, `_dynamic`, `_sparse`, `_quantizer` and `_dtypes`. A scheme
of more than 8 bits whose scores differ from the float32 network's has ``LOSSY = True``. One whose bytes depend on the
weights, not on their shapes alone, has ``SIZE_DEPENDS_ON_WEIGHTS = True``. One that needs the calibration clips
themselves, and so cannot be trained for by quantisation-aware training, has ``AFTER_TRAINING_ONLY = True``.
"""
