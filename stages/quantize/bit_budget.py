"""Bits of each layer under a budget of bytes, chosen by what each layer costs when it alone is stored in few bits.

The loss of a layer is the mean squared difference of the float32 network's scores on calibration clips where the
weights of that layer are rounded, and no others. Losses of several layers are added: the errors of different layers are
taken to be independent. Which layers to narrow is then a knapsack problem, solved exactly: every choice that no other
beats in both bytes and loss is kept (a Pareto front).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stages.core.project.errors import ParameterError
from stages.quantize import post_training
from stages.quantize.post_training import PostTraining
from stages.quantize.weight_layers import Layer
from stages.runtime.litert import Model


@dataclass(frozen=True)
class Sensitivity:
    """What it saves and costs to store one layer's weights in few bits.

    Attributes
    ----------
    kernel : str
        Name of the weights' tensor.
    saved : int
        Bytes.
    loss : float
        Mean squared difference of scores on calibration clips.
    """

    kernel: str
    saved: int
    loss: float


@dataclass(frozen=True)
class Choice:
    """Layers that are stored in few bits.

    Attributes
    ----------
    kernels : tuple[str, ...]
    saved : int
        Bytes.
    loss : float
        Sum of the layers' losses.
    """

    kernels: tuple[str, ...]
    saved: int
    loss: float


def sensitivities(
    float32: bytes, clips: np.ndarray, layers: Sequence[Layer], bits: int, params: PostTraining
) -> list[Sensitivity]:
    """Measure what each layer costs alone.

    Parameters
    ----------
    float32 : bytes
    clips : np.ndarray, shape (n, ...), float32
    layers : Sequence of Layer
    bits : int
        Bits of a narrow weight; a wide one has 8.
    params : PostTraining
        How weights are rounded.
    """
    expected = Model(float32).run(clips)
    found = []
    for layer in layers:
        alone = post_training.round_weights(float32, clips, {layer.kernel: bits}, params).float32
        loss = float(((Model(alone).run(clips) - expected).astype(np.float64) ** 2).mean())
        found.append(Sensitivity(layer.kernel, int(np.prod(layer.shape)) * (8 - bits) // 8, loss))
    return found


def front(sensitive: Sequence[Sensitivity]) -> list[Choice]:
    """Return the choices that no other beats in both bytes and loss, from none narrow to all.

    Examples
    --------
    >>> found = front([Sensitivity("a", 10, 1.0), Sensitivity("b", 30, 2.0), Sensitivity("c", 10, 4.0)])
    >>> [("".join(choice.kernels), choice.saved, choice.loss) for choice in found]
    [('', 0, 0.0), ('a', 10, 1.0), ('b', 30, 2.0), ('ab', 40, 3.0), ('abc', 50, 7.0)]
    """
    states = [(0, 0.0, 0)]  # bytes saved, loss, a bit for each layer that is narrow
    for i, each in enumerate(sensitive):
        more = [(saved + each.saved, loss + each.loss, narrow | 1 << i) for saved, loss, narrow in states]
        least, kept = np.inf, []
        for state in sorted(states + more, key=lambda state: (-state[0], state[1])):
            if state[1] < least:
                least = state[1]
                kept.append(state)
        states = kept
    return [
        Choice(tuple(each.kernel for i, each in enumerate(sensitive) if narrow >> i & 1), saved, loss)
        for saved, loss, narrow in reversed(states)
    ]


def choose(
    sensitive: Sequence[Sensitivity], size: Callable[[Sequence[str]], int], budget: int | None, parameter: str
) -> tuple[str, ...]:
    """Return the kernels to store in few bits: of the choices whose file keeps the budget, that of the least loss.

    Parameters
    ----------
    sensitive : Sequence of Sensitivity
    size : callable
        Bytes of the file for the kernels that are narrow in it.
    budget : int or None
        Bytes; None for the middle between all wide and all narrow.
    parameter : str
        Name of the budget's parameter, for the message.

    Raises
    ------
    ParameterError
        If the file exceeds the budget even with all narrow.
    """
    every = tuple(each.kernel for each in sensitive)
    widest, narrowest = size(()), size(every)
    budget = (widest + narrowest) // 2 if budget is None else budget
    if narrowest > budget:
        raise ParameterError(
            f"{parameter} must be at least the {narrowest:,} bytes of this network with all layers narrow; "
            f"got {budget:,}. Raise it, or make the network smaller."
        )
    needed = widest - budget
    for choice in front(sensitive):
        if choice.saved >= needed:
            excess = size(choice.kernels) - budget
            if excess <= 0:
                return choice.kernels
            needed = choice.saved + excess  # scales, names and alignment take bytes too
    return every
