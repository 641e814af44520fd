"""The optimizer's step in one pass over memory.

Of a step of the EDAC CNN most time goes into its one large kernel, which the penalty, its gradient, the optimizer and
the mask of a pruning would each read and write several times over. Keras' own formulas for all of them, traced into one
function that XLA compiles, touch every weight once. A penalty on weights alone leaves the gradient tape for that: its
gradient needs no batch.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stages.core.nn.keras import keras, tf

Around = Callable[["tf.Variable", "tf.Tensor", Callable[[], None]], None]
LARGE = 2**16  # elements; compiling takes about 0.2 s per variable, and a smaller one's passes stay within the cache


class Update:
    """One step of an optimizer on all trainable variables of a model, its penalties on weights included.

    Parameters
    ----------
    optimizer : tf_keras.optimizers.Optimizer
        Of its settings, `clipnorm` and the like are not looked at.
    model : tf_keras.Model
    around : callable or None
        What else is to happen to a variable: called with it, with the gradient of the loss on the batch (no penalties
        on weights), and with the function that updates the variable, which it must call once. It is traced, into the
        compiled function if the variable is large.

    Attributes
    ----------
    variables : list of tf.Variable
        The optimizer's state.
    """

    def __init__(self, optimizer: "keras.optimizers.Optimizer", model: "keras.Model", around: Around | None) -> None:
        from stages.core.nn.keras import tf

        optimizer.build(model.trainable_variables)
        self.variables = list(optimizer.variables)
        self._optimizer, self._around = optimizer, around
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
        self._update_large = tf.function(partial(self._update_all, self._large), jit_compile=True)

    def start_afresh(self) -> None:
        """Forget all steps done, those of the learning rate's decay among them."""
        from stages.core.nn.keras import tf

        for variable in self.variables:
            variable.assign(tf.zeros_like(variable))

    def batch_penalty(self) -> "tf.Tensor":
        """Return the penalties on activities of the batch seen last; to be called, and learned from, on the tape."""
        from stages.core.nn.keras import tf

        on_activities = [loss for layer in self._layers for loss in layer._eager_losses or layer._losses]
        return tf.add_n([tf.constant(0.0), *on_activities, *(penalty() for penalty in self._of_several)])

    def weight_penalty(self) -> float:
        """Return the penalties on the weights as they are."""
        return sum(float(penalty()) for penalties in self._of_weight.values() for penalty in penalties)

    def step(self, tape: "tf.GradientTape", loss: "tf.Tensor") -> None:
        """Update all variables in place; to be traced after the tape has recorded the loss."""
        from stages.core.nn.keras import tf

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
            update = partial(self._update, variable, gradient)
            if self._around:
                self._around(variable, gradient, update)
            else:
                update()

    def _update(self, variable: "tf.Variable", gradient: "tf.Tensor") -> None:
        from stages.core.nn.keras import tf

        penalties = self._of_weight.get(variable.ref(), [])
        if penalties:
            with tf.GradientTape() as tape:
                penalty = tf.add_n([penalty() for penalty in penalties])
            gradient += tape.gradient(penalty, variable)
        self._optimizer._apply_weight_decay([variable])
        self._optimizer.update_step(gradient, variable)
