"""Neural networks: Keras, layers, prunable units, network folders, wav2vec 2.0 checkpoints."""
