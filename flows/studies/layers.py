"""Sensitivity of a network to removing units from one layer at a time, without fine-tuning.

References
----------
Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, section 3.2.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.core.artifacts.dataset import Split
from stages.core.litert.flops import flops
from stages.core.nn import units
from stages.core.nn.keras import keras
from stages.core.project import tables
from stages.core.project.errors import require
from stages.core.project.progress import track
from stages.core.training.inference import evaluate
from stages.evaluate import latency
from stages.prune.importance import most_important
from stages.prune.params import CRITERIA, PruneParams
from stages.prune.prunables import prunables_of
from stages.quantize.convert import to_float32

WARMUP, RUNS = 10, 200


@dataclass(frozen=True)
class Row:
    """Cost and loss of a network without some units of one layer.

    Attributes
    ----------
    layer : str
        Name of the layer; empty for the whole network.
    n_units : int
        Units of the layer.
    n_kept : int
        Units that remain.
    flops : int
        Floating-point operations of one clip.
    latency_ms : float
        Median latency of one clip in float32, on one thread of this machine, in milliseconds.
    loss : float
        Mean cross-entropy in nats.
    """

    layer: str
    n_units: int
    n_kept: int
    flops: int
    latency_ms: float
    loss: float


def sensitivity(model: "keras.Model", split: Split, *, removed: float = 0.5, multiple: int = 1) -> list[Row]:
    """Measure a network as it is, then without the least important units of each layer in turn.

    Parameters
    ----------
    model : tf_keras.Model
        Trained network; not changed.
    split : Split
        Clips that the loss is measured on; not the test split, since the result guides choices.
    removed : float
        Fraction of a layer's units to remove, in [0, 1): those of the smallest L1 norm.
    multiple : int
        The number of units kept is rounded up to a multiple of this.

    Raises
    ------
    ParameterError
        For a fraction out of range.
    ModelError
        If the network has no units that can be removed.
    """
    require(0 <= removed < 1, "--removed", "be a fraction in [0, 1)", removed, "Write 0.5 for half.")
    criterion, config = PruneParams().plug_in(CRITERIA, "filter_magnitude")
    cases: list[tuple[str, int, int]] = [("", 0, 0)]
    networks = [model]
    for layer in prunables_of(model, "unit"):
        weights = layer.gather([v.numpy() for v in layer.variables])
        importance = criterion.importance(config, weights, None, np.random.default_rng(0))
        (mask,) = most_important([importance], removed, round_up_to=multiple)
        cases.append((layer.name, layer.size, int(mask.sum())))
        networks.append(units.keep(model, {layer.name: np.flatnonzero(mask).tolist()}))
    contents, losses = [], []
    for network in track(networks, "layers"):
        contents.append(to_float32(network))
        losses.append(evaluate(network, split)[0])
    milliseconds = _latencies(contents, split.crops[0].reshape(-1, *split.input_shape)[0])
    return [
        Row(*case, flops(content), ms, loss)
        for case, content, ms, loss in zip(cases, contents, milliseconds, losses, strict=True)
    ]


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table, each layer compared with the whole network."""
    whole, *layers = rows
    head = ("layer", "units", "kept", "MFLOPs saved", "ms saved", "loss added (nats)")
    lines = [
        (
            row.layer,
            row.n_units,
            row.n_kept,
            f"{(whole.flops - row.flops) / 1e6:.2f}",
            f"{whole.latency_ms - row.latency_ms:.3f}",
            f"{row.loss - whole.loss:+.3f}",
        )
        for row in layers
    ]
    caption = f"The whole network: {whole.flops / 1e6:.2f} MFLOPs, {whole.latency_ms:.3f} ms, loss {whole.loss:.3f}."
    return f"{tables.markdown(head, lines, text_columns=1)}\n\n{caption}"


def _latencies(contents: Sequence[bytes], clip: np.ndarray) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.tflite" for i in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        seconds = latency.measure(paths, clip, warmup=WARMUP, runs=RUNS, folder=Path(folder))
    return latency.percentile_ms(seconds, 50)
