"""Quantisation-aware training (QAT): fine-tune a network with fake quantisation, and keep the ranges it ends with.

The graph of the quantised file itself is trained (`stages.quantize.simulation`). Batch normalisation is folded into its
weights, so that no statistics are left to estimate; it has neither dropout nor weight penalties; pruned weights stay 0.
"""

from dataclasses import dataclass, replace

import numpy as np

from stages.core.artifacts.dataset import Split
from stages.core.artifacts.network import ScoreCalibration
from stages.core.litert import flatbuffer
from stages.core.nn.keras import keras, tf
from stages.core.scoring import logits as scaling
from stages.core.scoring.logits import Logits
from stages.core.training import calibration, loop
from stages.core.training.loop import Run
from stages.core.training.teacher import TeacherTargets
from stages.quantize.params import AwareParams
from stages.quantize.ranges import Ranges


@dataclass(frozen=True)
class Tuned:
    """Result of quantisation-aware training.

    Attributes
    ----------
    float32 : bytes
        The float32 file with the learned constants.
    ranges : Ranges
        Activation ranges to quantise it with, in place of calibration clips; empty if activations are floats.
    history : list of dict
        As `stages.core.training.loop.fit` returns it.
    simulation : tf_keras.Model
        The function that the quantised file computes, to a rounding.
    """

    float32: bytes
    ranges: Ranges
    history: list[dict[str, float]]
    simulation: "keras.Model"


def calibrate(tuned: Tuned, validation: Split, method: str) -> tuple[Tuned, ScoreCalibration]:
    """Calibrate the scores of a network after quantisation-aware training, as the quantised file will give them.

    Parameters
    ----------
    tuned : Tuned
        Its simulation is changed.
    validation : Split
    method : str
        One of `stages.core.scoring.logits.METHODS`.

    Returns
    -------
    Tuned
        With the calibration in the last layer's constants and in the range of the logits.
    ScoreCalibration
    """
    graph, simulation = tuned.simulation.layers[-1], tuned.simulation
    refusal = "evaluate.decisions.calibration is none" if method == "none" else graph.why_no_scaling()
    if refusal:
        return tuned, ScoreCalibration(reason=refusal)

    def logits(crops: np.ndarray) -> "tf.Tensor":
        simulation(crops, training=False)
        return graph.logits

    values = calibration.over_crops(logits, validation)
    found = scaling.fit(Logits(values, validation.y, validation.groups), method)
    if not found.changes_scores:
        return tuned, found
    graph.scale_logits(np.array(found.scale), np.array(found.shift))
    float32 = flatbuffer.with_float_constants(tuned.float32, graph.constants())
    return replace(tuned, float32=float32, ranges=graph.activation_ranges()), found


def finetune(
    float32: bytes,
    quantized: bytes,
    split: Split,
    params: AwareParams,
    run: Run,
    *,
    teacher: TeacherTargets | None = None,
) -> Tuned:
    """Fine-tune a float32 file by quantisation-aware training.

    Call `stages.core.nn.keras.make_deterministic` first, once per process. The file to deploy is
    ``scheme.quantize(config, tuned.float32, tuned.ranges or None)``.

    Parameters
    ----------
    float32 : bytes
        File made by `stages.quantize.convert.to_float32`.
    quantized : bytes
        The same file after post-training quantisation by a scheme of 8 bits or fewer: its integers are simulated, and
        its activation ranges are where training starts.
    split : Split
        Training split.
    params : AwareParams
    run : Run
        Seed and checkpoint.
    teacher : TeacherTargets or None
        The teacher's outputs for the clips of `split`. Embeddings and the encoder's penalty are ignored: the file's
        graph has no such layers.

    Raises
    ------
    ModelError
        If the network holds an operator that has no counterpart.
    """
    from stages.quantize.simulation import simulate  # defines Keras layers: TensorFlow

    simulation = simulate(float32, quantized)
    history = loop.fit(simulation, split, params, run, teacher=teacher)
    graph = simulation.layers[-1]
    return Tuned(
        float32=flatbuffer.with_float_constants(float32, graph.constants()),
        ranges=graph.activation_ranges(),
        history=history,
        simulation=simulation,
    )
