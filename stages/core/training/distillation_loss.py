"""The loss of a student: Hinton's distillation loss, a penalty on the encoder and the match of hidden vectors.

With logits z and a temperature T the loss is alpha times the cross-entropy with the targets, plus 1 - alpha times
T² KL(softmax(z_teacher / T) || softmax(z_student / T)); a binary or multi-label task has a sigmoid for each output. T²
keeps the size of the gradient, which falls with its square.

References
----------
Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531 (2015), section 2.
"""

from typing import Any

import numpy as np

from stages.core.nn.keras import keras, tf
from stages.core.project.errors import ModelError
from stages.core.training.teacher import TeacherTargets

ENCODER = "encoder"


class Student:
    """A network in training, with the tensors that the teacher's terms of the loss need.

    The logits of a network that ends in a dense layer are that layer's sums before its activation. Another network,
    such as the simulation of a quantised file, stores them in an attribute `logits` of its last layer when it is
    called; it has neither encoder nor hidden vector, and only the logits are distilled.

    Parameters
    ----------
    model : tf_keras.Model
    teacher : TeacherTargets
    multi_label : bool
    seed : int
        Seed of the projection's initial weights.

    Attributes
    ----------
    network : tf_keras.Model
        Network to train: `model` and the projection, from the clips to `scores` and the tensors of the loss.

    Raises
    ------
    ModelError
        If the network lacks a layer that a term of the loss needs.
    """

    def __init__(self, model: "keras.Model", teacher: TeacherTargets, *, multi_label: bool, seed: int) -> None:
        self._rule, self._multi_label, self._last = teacher.rule, multi_label, model.layers[-1]
        self._width = teacher.embeddings.shape[1]
        outputs = {"scores": model.output}
        if isinstance(self._last, keras.layers.Dense):
            outputs["last"] = self._last.input
            if self._rule.feature_penalty:
                outputs["encoded"] = encoder_output(model)
            if self._width:
                hidden = _without_dropout(model)[-2].output
                if hidden.shape[-1] != self._width:
                    start = keras.initializers.GlorotUniform(seed)
                    hidden = keras.layers.Dense(self._width, use_bias=False, kernel_initializer=start)(hidden)
                outputs["hidden"] = hidden
        elif not hasattr(self._last, "logits"):
            raise ModelError(f"{model.name} must end in a dense layer to be distilled; it ends in {self._last.name}.")
        self.network = keras.Model(model.input, outputs)

    def loss(
        self, hard: "tf.Tensor", penalty: "tf.Tensor", outputs: "dict[str, tf.Tensor]", soft: "tf.Tensor"
    ) -> tuple["tf.Tensor", "tf.Tensor"]:
        """Return the loss and the penalties of a batch, given those without a teacher.

        Parameters
        ----------
        hard, penalty : tf.Tensor, scalar
        outputs : dict
            Outputs of `network` for the batch.
        soft : tf.Tensor, shape (n, n_outputs + d), float32
            Rows of `TeacherTargets.columns` for the batch.
        """
        rule, n_outputs = self._rule, outputs["scores"].shape[-1]
        logits = tf.matmul(outputs["last"], self._last.kernel) if "last" in outputs else self._last.logits
        if "last" in outputs and self._last.use_bias:
            logits += self._last.bias
        loss = rule.alpha * hard
        if rule.alpha < 1:
            divergences = divergence(soft[:, :n_outputs], logits, rule.temperature, self._multi_label)
            loss += (1 - rule.alpha) * rule.temperature**2 * tf.reduce_mean(divergences)
        if "encoded" in outputs:
            penalty += rule.feature_penalty * tf.reduce_mean(tf.square(outputs["encoded"]))
        if "hidden" in outputs:
            pair = [tf.math.l2_normalize(x, axis=1) for x in (outputs["hidden"], soft[:, n_outputs:])]
            penalty += rule.hidden_cosine * (1 - tf.reduce_mean(tf.reduce_sum(pair[0] * pair[1], axis=1)))
        return loss, penalty


def divergence(soft: "tf.Tensor", logits: "tf.Tensor", temperature: float, multi_label: bool) -> "tf.Tensor":
    """Return KL(teacher || student) in nats: shape (n,), or (n, n_outputs) where each output has a sigmoid.

    Parameters
    ----------
    soft : tf.Tensor, shape (n, n_outputs), float32
        Probabilities of the teacher at the temperature.
    logits : tf.Tensor, shape (n, n_outputs), float32
        Logits of the student.
    temperature : float
    multi_label : bool
    """
    z = logits / temperature
    if logits.shape[-1] == 1 or multi_label:
        entropy = -tf.math.xlogy(soft, soft) - tf.math.xlogy(1 - soft, 1 - soft)
        return tf.nn.sigmoid_cross_entropy_with_logits(labels=soft, logits=z) - entropy
    return tf.reduce_sum(tf.math.xlogy(soft, soft) - soft * tf.nn.log_softmax(z), axis=1)


def encoder_output(model: "keras.Model") -> Any:
    """Return the output of a network's encoder, a Keras tensor.

    That is the output of the layer called `encoder` or, without one, of the last layer that has several positions in
    time or frequency: the input of the pooling, flattening or attention.

    Raises
    ------
    ModelError
        If there is no such layer.
    """
    layers = _without_dropout(model)
    for layer in reversed(layers):
        if layer.name == ENCODER:
            return layer.output
    for layer in reversed(layers):
        if len(layer.output.shape) >= 3 and np.prod(layer.output.shape[1:-1]) > 1:
            return layer.output
    raise ModelError(f"{model.name} must have a layer called {ENCODER!r} for distill.feature_penalty. Set that to 0.")


def logits_network(model: "keras.Model") -> "keras.Model":
    """Return the network from the clips to its logits, with a copy of the last layer's weights.

    Raises
    ------
    ModelError
        If it does not end in a dense layer.
    """
    last = model.layers[-1]
    if not isinstance(last, keras.layers.Dense):
        raise ModelError(f"{model.name} must end in a dense layer to teach; it ends in {last.name}.")
    linear = keras.layers.Dense.from_config(last.get_config() | {"activation": "linear", "name": "logits"})
    network = keras.Model(model.input, linear(last.input), name=model.name)
    linear.set_weights(last.get_weights())
    return network


def _without_dropout(model: "keras.Model") -> "list[keras.layers.Layer]":
    return [layer for layer in model.layers if not isinstance(layer, keras.layers.Dropout)]
