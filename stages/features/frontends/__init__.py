"""One file per front end.

A front end holds
    Config : frozen dataclass with at least `sample_rate` (Hz) and `clip_samples`
    ALIGN : "start" or "middle"
        Position in the clip of a recording of another length than `clip_samples`: it is cut or padded at its end alone,
        or equally at both ends. The manifest carries it to the device.
    graph(config) -> Callable[[tf.Tensor], tf.Tensor]
        Waveforms (n, clip_samples) float32 in [-1, 1] to features (n, ...) float32, in TensorFlow ops that convert to
        builtin LiteRT ops.
    feature_shape(config) -> tuple[int, ...]
        Shape of one clip's features, time first.

A front end with a spectrogram is the composition of two more functions, between which masks are applied:
  levels(config): waveforms to levels in dB (n, n_frames, n_bands) float32
  finish(config): levels to features

A front end whose network takes a part of a clip at a time has
  crops(config): number of crops along time over which a clip's score is averaged, and number of steps of each

A front end whose features are waveforms, or levels in dB of power density, can be mixed as sounds are
(`train.between_class`) and has
  bands(config): the bands' centre frequencies (Hz), none of waveforms; or None
"""
