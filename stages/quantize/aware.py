"""Quantisation-aware fine-tuning: a network learns on with its integers in place, and leaves the ranges they need.

What learns is the graph of the quantised file itself (`stages.quantize.simulation`). Batch normalisation is already
folded into it, dropout and weight penalties are not part of it, and what was pruned stays zero.
"""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core.artifacts.dataset import Split
from stages.core.litert import flatbuffer
from stages.core.training import loop
from stages.core.training.distillation import Taught
from stages.quantize.params import AwareParams
from stages.quantize.ranges import Ranges

if TYPE_CHECKING:
    from stages.core.nn.keras import keras


@dataclass(frozen=True)
class Tuned:
    """A network that was fine-tuned for a scheme.

    Attributes
    ----------
    float32 : bytes
        The float32 file with the learned constants.
    ranges : Ranges
        To quantise it with, in place of calibration clips; empty if the scheme's activations are no integers.
    history : list of dict
        As `stages.core.training.loop.fit` returns it.
    simulation : tf_keras.Model
        The function that the quantised file computes, to a rounding.
    """

    float32: bytes
    ranges: Ranges
    history: list[dict[str, float]]
    simulation: "keras.Model"


def finetune(
    float32: bytes,
    split: Split,
    params: AwareParams,
    *,
    scheme: ModuleType,
    config: Any,
    calibration: np.ndarray | None,
    seed: int,
    taught: Taught | None = None,
    checkpoint: Path | None = None,
) -> Tuned:
    """Fine-tune a float32 file for a scheme.

    Call `stages.core.nn.keras.make_deterministic` first, once per process. The file to deploy is
    ``scheme.quantize(config, tuned.float32, tuned.ranges or None)``.

    Parameters
    ----------
    float32 : bytes
        As `stages.quantize.convert.to_float32` makes it.
    split : Split
        Training split.
    params : AwareParams
    scheme : module
        Of ``stages/quantize/schemes/``, of 8 bits or fewer.
    config : Config
        The scheme's.
    calibration : np.ndarray, shape (n, ...), float32, or None
        Clips for the ranges to start from, if the scheme needs them.
    seed : int
    taught : Taught or None
        Its embeddings, and a penalty on the encoder, find no layer in the file's graph and are left out.
    checkpoint : Path or None
        As in `stages.core.training.loop.fit`.

    Raises
    ------
    ModelError
        If the network holds an operator that has no counterpart.
    """
    from stages.quantize.simulation import simulate

    simulation = simulate(float32, scheme.quantize(config, float32, calibration))
    history = loop.fit(
        simulation,
        split,
        params,
        seed=seed,
        taught=taught,
        checkpoint=checkpoint,
        description=f"aware {scheme.__name__.rpartition('.')[2]}",
    )
    graph = simulation.layers[-1]
    return Tuned(
        float32=flatbuffer.with_float_constants(float32, graph.constants()),
        ranges=graph.activation_ranges(),
        history=history,
        simulation=simulation,
    )
