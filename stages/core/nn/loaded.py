"""Import this module to load TensorFlow and Keras at once: what a process preloads before it forks."""

from stages.core.nn import keras

keras.load()
