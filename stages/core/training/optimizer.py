"""The optimizer's step in one pass over memory.

In a step of the EDAC CNN most time goes into its one large kernel, which the penalty, its gradient, the optimizer and
the pruning mask would each read and write several times. Keras' own formulas for all of them, traced into one function
that XLA compiles, touch every weight once. Penalties on weights therefore leave the gradient tape: their gradient needs
no batch.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from stages.core.nn.keras import keras, tf
from stages.core.training.params import FitParams
from stages.core.training.schedules import learning_rate, per_round

UpdateHook = Callable[["tf.Variable", "tf.Tensor", Callable[[], None]], None]
LARGE = 2**16  # elements; compiling takes about 0.2 s per variable, and a smaller one's passes stay within the cache


def make_optimizer(
    params: FitParams, n_steps: int, stretch: "tf.Variable | None" = None
) -> "keras.optimizers.Optimizer":
    """Make the Keras optimizer of a training of so many steps.

    Parameters
    ----------
    params : FitParams
    n_steps : int
    stretch : tf.Variable or None
        For a training in rounds, see `stages.core.training.schedules.per_round`.
    """
    module, rate = keras.optimizers, learning_rate(params, n_steps)
    if stretch is not None and not isinstance(rate, float):
        rate = per_round(rate, n_steps, stretch)
    decay = {} if params.weight_decay is None else {"weight_decay": params.weight_decay}
    if params.optimizer == "sgd":
        return module.SGD(rate, momentum=0.9, nesterov=True, **decay)
    classes = {"adam": "Adam", "adamax": "Adamax", "adamw": "AdamW", "rmsprop": "RMSprop"}
    return getattr(module, classes[params.optimizer])(rate, **decay)


class Update:
    """Updates all trainable variables of a model, penalties on weights included.

    Parameters
    ----------
    optimizer : tf_keras.optimizers.Optimizer
        `clipnorm` and similar options are ignored.
    model : tf_keras.Model
    hook : callable or None
        Wraps each variable's update; must call `apply_update()` once. Its arguments are the variable, the gradient of
        the loss on the batch (without penalties on weights) and `apply_update`. It is traced, for a large variable into
        the compiled function.

    Attributes
    ----------
    variables : list of tf.Variable
        The optimizer's state.
    """

    def __init__(
        self, optimizer: "keras.optimizers.Optimizer", model: "keras.Model", hook: UpdateHook | None = None
    ) -> None:
        optimizer.build(model.trainable_variables)
        self.variables = list(optimizer.variables)
        self._optimizer, self._hook = optimizer, hook
        self._layers = list(model._flatten_layers())
        self._of_weight: dict[Any, list[Callable[[], tf.Tensor]]] = {}
        self._of_several: list[Callable[[], tf.Tensor]] = []
        for penalty in (penalty for layer in self._layers for penalty in layer._callable_losses):
            with tf.GradientTape() as tape:
                penalty()
            read = tape.watched_variables()
            if len(read) == 1:
                self._of_weight.setdefault(read[0].ref(), []).append(penalty)
            else:
                self._of_several.append(penalty)
        trainable = model.trainable_variables
        self._large = [v for v in trainable if v.shape.num_elements() >= LARGE]
        self._small = [v for v in trainable if v.shape.num_elements() < LARGE]
        self._update_large = tf.function(partial(self._update_all, self._large), jit_compile=True, autograph=False)

    def reset_state(self) -> None:
        """Set the optimizer's state to zero, the number of steps included."""
        for variable in self.variables:
            variable.assign(tf.zeros_like(variable))

    def batch_penalty(self) -> "tf.Tensor":
        """Return the penalties on activities of the last batch; call it under the gradient tape."""
        on_activities = [loss for layer in self._layers for loss in layer._eager_losses or layer._losses]
        return tf.add_n([tf.constant(0.0), *on_activities, *(penalty() for penalty in self._of_several)])

    def weight_penalty(self) -> float:
        """Return the penalties on the current weights."""
        return sum(float(penalty()) for penalties in self._of_weight.values() for penalty in penalties)

    def step(self, tape: "tf.GradientTape", loss: "tf.Tensor") -> None:
        """Update all variables in place; to be traced after the tape has recorded the loss."""
        variables = [*self._large, *self._small]
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        self._optimizer._compute_current_learning_rate()
        if self._large:
            self._update_large(gradients[: len(self._large)])
        self._update_all(self._small, gradients[len(self._large) :])
        self._optimizer.iterations.assign_add(1)

    def _update_all(self, variables: Sequence["tf.Variable"], gradients: Sequence["tf.Tensor"]) -> None:
        for variable, gradient in zip(variables, gradients, strict=True):
            apply_update = partial(self._update, variable, gradient)
            if self._hook:
                self._hook(variable, gradient, apply_update)
            else:
                apply_update()

    def _update(self, variable: "tf.Variable", gradient: "tf.Tensor") -> None:
        penalties = self._of_weight.get(variable.ref(), [])
        if penalties:
            with tf.GradientTape() as tape:
                penalty = tf.add_n([penalty() for penalty in penalties])
            gradient += tape.gradient(penalty, variable)
        self._optimizer._apply_weight_decay([variable])
        self._optimizer.update_step(gradient, variable)
