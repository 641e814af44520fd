"""Rounding of weights to 4 and 2 bits after training: every method beside the float network; prints JSON.

    python -m tests.bench.four_bits [--features data/features] [--float32 FILE] [--baseline models/baseline]
                                   [--clips 240] [--schemes static_wi4_ai8] [--roundings nearest gptq]
                                   [--equalisations none activations] [--no-bias-correction]
                                   [--bytes 75000 80000 90000]

The float network is a `float32.tflite` of the cell store, or a baseline that is converted first. `drop` is the float
network's figure less the file's, on the same clips, with an interval over groups; `rms` the root mean square difference
of their scores; `agree` the part of the clips that both decide alike. Seconds are of the processor, one thread. With
`--bytes`, `static_wimixed_ai8` is made for each of these budgets; one that cannot be kept is printed with its refusal.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from stages.core.artifacts import dataset
from stages.core.litert import flatbuffer
from stages.core.project import compression
from stages.core.project.errors import ParameterError
from stages.core.scoring import metrics, uncertainty
from stages.core.scoring.resampling import Draws
from stages.evaluate import scoring
from stages.quantize.calibration import calibration_set
from stages.quantize.params import EQUALISATIONS, ROUNDINGS, QuantizeParams

MIXED = "static_wimixed_ai8"
SCHEMES = ("static_wi4_ai8", "dynamic_wi4_afp32", "dynamic_wi2_afp32")


class Side:
    """A split, and the float network's scores on it."""

    def __init__(self, float32: bytes, split: dataset.Split) -> None:
        self.split, self.binary = split, len(split.labels) == 2
        self.metric = "roc_auc" if self.binary else "accuracy"
        n_classes = 2 if self.binary else int(split.y.max()) + 1
        self.draws = Draws.of(split.y, split.groups, n_classes, resamples=1000, seed=1)
        self.expected = scoring.score(float32, split.crops)
        self.figure = self.measured(self.expected)

    def measured(self, scores: np.ndarray) -> Any:
        """Return the metric on all draws of groups."""
        return self.draws.measure(lambda weights: metrics.measure(self.metric, self.split.y, scores, weights))

    def decided(self, scores: np.ndarray) -> np.ndarray:
        """Return each clip's class."""
        return scores > 0.5 if self.binary else scores.argmax(axis=1)

    def row(self, model: bytes) -> dict[str, Any]:
        """Return a file's figures on this split."""
        scores = scoring.score(model, self.split.crops)
        found = self.measured(scores)
        lost = self.figure - found
        ends = uncertainty.difference_interval(lost, self.draws, confidence=0.95, decisions=not self.binary)
        return {
            self.metric: round(float(found.value), 4),
            "drop": [round(float(value), 4) for value in (lost.value, *ends)],
            "agree": round(float((self.decided(scores) == self.decided(self.expected)).mean()), 4),
            "rms": round(float(np.sqrt(((scores - self.expected) ** 2).mean())), 4),
        }


@dataclass(frozen=True)
class Asked:
    """Methods and budgets that are measured."""

    schemes: Sequence[str] = SCHEMES
    roundings: Sequence[str] = ROUNDINGS
    equalisations: Sequence[str] = EQUALISATIONS
    corrections: Sequence[bool] = (False, True)
    budgets: Sequence[int] = ()

    def rows(self) -> Iterator[tuple[str, str, QuantizeParams]]:
        """Yield the name of each row, its scheme and its parameters."""
        yield "static_wi8_ai8", "static_wi8_ai8", QuantizeParams()
        for rounding, corrected, equalisation in product(self.roundings, self.corrections, self.equalisations):
            params = QuantizeParams(weight_rounding=rounding, bias_correction=corrected, equalisation=equalisation)
            method = f"{rounding}{', bias correction' if corrected else ''}, equalisation {equalisation}"
            for scheme in self.schemes:
                yield f"{scheme}, {method}", scheme, params
            for budget in self.budgets if not corrected else ():
                options: dict[str, Any] = {MIXED: {"raw_bytes": budget}}
                yield f"{MIXED} within {budget}, {method}", MIXED, replace(params, options=options)


def measure(float32: bytes, features: Path, n_clips: int, asked: Asked) -> dict[str, Any]:
    """Return the figures of every row."""
    train = dataset.read_split(features, "train")
    clips = calibration_set(train.crops, n=min(n_clips, len(train)), seed=1234)
    sides = {name: Side(float32, dataset.read_split(features, name)) for name in ("validation", "test")}
    result: dict[str, Any] = {
        name: {"n": len(s.split), "groups": len(set(s.split.groups)), s.metric: round(float(s.figure.value), 4)}
        for name, s in sides.items()
    }
    for name, scheme, params in tqdm(list(asked.rows())):
        module, config = params.scheme(scheme)
        start = time.process_time()
        try:
            model = module.quantize(config, float32, clips)
        except ParameterError as error:
            result[name] = {"refused": str(error)}
            continue
        seconds = round(time.process_time() - start, 1)
        size = {"raw_bytes": len(model), "deflated_bytes": compression.deflated_bytes(model)}
        narrow = [weight.name for weight in flatbuffer.read(model).weights if weight.dtype == "int4"]
        chosen = {"narrow": narrow} if scheme == MIXED else {}
        result[name] = {"seconds": seconds} | size | chosen | {n: side.row(model) for n, side in sides.items()}
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, default=Path("data/features"))
    parser.add_argument("--float32", type=Path)
    parser.add_argument("--baseline", type=Path, default=Path("models/baseline"))
    parser.add_argument("--clips", type=int, default=240)
    parser.add_argument("--schemes", nargs="*", default=SCHEMES)
    parser.add_argument("--roundings", nargs="+", default=ROUNDINGS)
    parser.add_argument("--equalisations", nargs="+", default=EQUALISATIONS)
    parser.add_argument("--no-bias-correction", action="store_true")
    parser.add_argument("--bytes", nargs="*", type=int, default=())
    given = parser.parse_args()
    if given.float32:
        content = given.float32.read_bytes()
    else:
        from stages.core.nn import network
        from stages.quantize.convert import to_float32

        content = to_float32(network.load(given.baseline))
    corrections = (False,) if given.no_bias_correction else (False, True)
    chosen = Asked(given.schemes, given.roundings, given.equalisations, corrections, given.bytes)
    print(json.dumps(measure(content, given.features, given.clips, chosen), indent=2))
