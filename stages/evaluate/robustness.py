"""Score every variant on disturbed test recordings, and on features that an attack on the float network has changed.

The test recordings' waveforms are disturbed (`stages.evaluate.disturbances`) and go through `frontend.tflite` and the
model file, as on a device. The disturbed features are made once for all variants.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import dataset
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.evaluation import Row
from stages.core.artifacts.variant import Variant
from stages.core.audio import decode
from stages.core.nn import network
from stages.core.project import files
from stages.core.project.errors import ParameterError
from stages.core.project.progress import track
from stages.core.scoring import uncertainty
from stages.core.scoring.arrays import rounded
from stages.core.scoring.metrics import METRICS
from stages.core.scoring.resampling import Draws
from stages.core.scoring.summary import summarise
from stages.core.scoring.thresholds import predict
from stages.evaluate import attack
from stages.evaluate.disturbances import Disturbance, conditions
from stages.evaluate.params import EvaluateParams
from stages.evaluate.subjects import Subjects
from stages.runtime.audio import clip as fit
from stages.runtime.litert import Model

COLUMNS = ("name", "condition", "n", "groups", "figure", "value", "low", "high", "reason", "observed", "null")
FIGURES = (*METRICS, "agreement")


def measure(
    subjects: Subjects, *, folder: Path, params: EvaluateParams, float_network: Path | None = None
) -> list[Row]:
    """Score every variant under every condition.

    A condition that an earlier, interrupted call finished is read back and not repeated.

    Parameters
    ----------
    subjects : Subjects
    folder : Path
        Takes the scores under each condition, ``<condition>.npz``.
    params : EvaluateParams
    float_network : Path
        Folder of the network that attacks are made for; read if `params.robustness` names an attack.

    Returns
    -------
    list[Row]
        One row per variant, condition and figure, with interval. ``agreement`` is the fraction of the recordings that
        a variant and the reference decide alike under the same condition, each with its own threshold; of a multi-label
        task, alike in every class.

    Raises
    ------
    DataError
        If a recording is missing or cannot be decoded.
    """
    test = dataset.read_split(subjects.features, "test")
    rows = []
    folder.mkdir(exist_ok=True)
    disturbed, attacks = conditions(params.robustness), params.robustness.attacks
    for name in (*disturbed, *attacks):
        path = folder / f"{name}.npz"
        if not path.exists():
            if name in disturbed:
                x = _disturbed_features(subjects.features, name, disturbed[name], params.seed)
                clips = dataclasses.replace(test, x=x).crops
            elif float_network is None:
                raise ParameterError(f"evaluate.robustness asks for {name}, which needs the float network. Give it.")
            else:
                snr, several = attacks[name]
                steps = attack.PGD_STEPS if several else 1
                clips = attack.perturbed(network.load(float_network), test, snr_db=snr, steps=steps)
            scores = dict(subjects.score(clips, f"robustness, {name}"))
            with files.atomic(path) as temporary, temporary.open("wb") as stream:
                np.savez(stream, **scores)  # type: ignore[arg-type]
        with np.load(path) as stored:
            rows += _rows(name, subjects, dict(stored), test=test, params=params)
    return rows


def _disturbed_features(features: Path, name: str, disturb: Disturbance, seed: int) -> np.ndarray:
    frontend, model = frontend_file.read(features), Model(features / "frontend.tflite")
    rate, clips = frontend.sample_rate, clips_file.read(features, "test")
    x = np.empty((len(clips), *model.output_shape), np.float32)
    for i, clip in enumerate(track(clips, f"features, {name}")):
        rng = np.random.default_rng([seed, int(files.digest(clip.clip_id)[:16], 16)])  # the same in every condition
        samples = disturb(decode.load(clip.path, rate, frontend.hearing, clip.span), rate, rng)
        x[i] = model.run(fit(samples, frontend.clip_samples, frontend.align, frontend.hearing)[np.newaxis])[0]
    return x


def _rows(
    condition: str,
    subjects: Subjects,
    scores: Mapping[str, np.ndarray],
    *,
    test: dataset.Split,
    params: EvaluateParams,
) -> list[Row]:
    def decisions(variant: Variant) -> np.ndarray:
        return predict(scores[variant.name].astype(np.float64), variant.threshold)

    rows = []
    for variant in subjects.variants:
        summary = summarise(
            test, scores[variant.name], labels=test.labels, params=params.metrics, threshold=variant.threshold
        )
        alike = (decisions(variant) == decisions(subjects.reference)).reshape(len(test), -1).all(axis=1)
        figures = summary["pooled"] | {"agreement": _fraction(alike, test, params)}
        rows += [
            {"name": variant.name, "condition": condition, "n": summary["n"], "groups": summary["groups"]}
            | {"figure": figure, "reason": ""}
            | figures[figure]
            for figure in FIGURES
        ]
    return rows


def _fraction(alike: np.ndarray, test: dataset.Split, params: EvaluateParams) -> Row:
    """Return the fraction of the clips that are decided alike, with its interval."""
    draws = Draws.of(test.y, test.groups, len(test.labels), resamples=params.bootstrap_resamples, seed=params.seed)
    found = {"value": rounded(alike.mean()), "low": None, "high": None}
    reason = draws.refusal(by_class=False)
    if reason:
        return found | {"reason": reason}
    measured = draws.measure(lambda weights: weights @ alike / weights.sum(axis=1))
    low, high = uncertainty.fraction_interval(measured, draws, confidence=params.confidence, by_class=False)
    return found | {"low": rounded(low), "high": rounded(high)}
