"""The sweep's variants into tables and figures: what a person chooses from, and what `stages.select` reads.

Validation chooses, test only reports: every figure's name says which of the two it is.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artifacts import dataset
from stages.core.artifacts.variant import Variant, read_variants
from stages.core.project import files
from stages.core.project.errors import DataError
from stages.core.scoring.curves import roc_points
from stages.core.scoring.metrics import METRICS
from stages.evaluate import figure, robustness
from stages.evaluate.latency import measure, percentile_ms
from stages.evaluate.params import EvaluateParams

Row = dict[str, Any]
SIDES = ("validation", "test")
ENDS = {"value": "", "low": "_low", "high": "_high"}
SITE_COLUMNS = ("name", "split", "site", "n", "groups", "metric", "value", "low", "high", "reason", "observed", "null")
ROC_COLUMNS = ("variant", "false_positive_rate", "true_positive_rate")


def evaluate(sweep: Path, features: Path, target: Path, params: EvaluateParams) -> list[dict[str, Any]]:
    """Measure latency and write every table and figure; a killed run goes on where it stopped.

    Parameters
    ----------
    sweep : Path
        ``variants.json``, ``<variant>.tflite`` and ``scores/<variant>.npz``.
    features : Path
    target : Path
        Folder to write: ``variants.csv`` (one row per variant), ``sites.csv``, ``metrics.json``, what `dvc plots`
        shows in ``roc.csv``, ``against_sparsity.csv`` and ``accuracy_versus_size.csv`` with its picture, and the raw
        measurements in ``latency/``; ``robustness.csv`` and ``robustness/`` if `params.robustness` names a condition.
    params : EvaluateParams

    Returns
    -------
    list[dict]
        The rows of ``variants.csv``.

    Raises
    ------
    DataError
        If a model file is not the one that was scored, or there is no float32 baseline to compare with.
    """
    variants = read_variants(sweep / "variants.json")
    paths = [sweep / f"{variant.name}.tflite" for variant in variants]
    for variant, path in zip(variants, paths, strict=True):
        if not path.is_file() or files.sha256(path) != variant.sha256:
            raise DataError(f"{path} must be the file that was scored; it is not. Run `dvc repro sweep` again.")
    reference = _reference(variants)
    sample = dataset.read_split(features, "validation").crops[0, 0]

    with files.growing_folder(target, files.digest([asdict(v) for v in variants], asdict(params))) as folder:
        seconds = measure(
            paths, sample, warmup=params.latency_warmup, runs=params.latency_runs, folder=folder / "latency"
        )
        p50, p95 = percentile_ms(seconds, 50), percentile_ms(seconds, 95)
        rows = [
            _row(variant, reference) | {"latency_p50_ms": median, "latency_p95_ms": slow}
            for variant, median, slow in zip(variants, p50, p95, strict=True)
        ]
        files.write_csv(folder / "variants.csv", list(rows[0]), rows)
        files.write_csv(folder / "sites.csv", SITE_COLUMNS, _site_rows(variants))
        if robustness.conditions(params.robustness):
            disturbed = robustness.measure(
                variants, reference, sweep, features=features, folder=folder / "robustness", params=params
            )
            files.write_csv(folder / "robustness.csv", robustness.COLUMNS, disturbed)

        metric = headline(reference)
        chosen = _baselines(variants) | _best(variants, metric)
        by_name = {row["name"]: row for row in rows}
        files.write_json(folder / "metrics.json", _compact(chosen, by_name, metric))
        test = dataset.read_split(features, "test")
        curves = [row for v in chosen.values() for row in _roc_rows(v.name, sweep / "scores" / f"{v.name}.npz", test)]
        files.write_csv(folder / "roc.csv", ROC_COLUMNS, curves)
        pruned = _against_sparsity(rows, metric)
        files.write_csv(folder / "against_sparsity.csv", list(pruned[0]), pruned)
        points = figure.points(variants, metric)
        files.write_csv(folder / "accuracy_versus_size.csv", list(points[0]), points)
        figure.save(points, folder / "accuracy_versus_size.png", metric=metric, confidence=params.confidence)
    return rows


def headline(variant: Variant) -> str:
    """Return the metric that stands for the whole.

    ROC-AUC of a binary task, accuracy of one with more classes, mean average precision of a multi-label task.
    """
    found = variant.metrics["validation"]
    if isinstance(found["threshold"], list):
        return "pr_auc"
    return "accuracy" if found["positives"] is None else "roc_auc"


def _reference(variants: Sequence[Variant]) -> Variant:
    for variant in variants:
        if not variant.schedule and variant.scheme == "float32":
            return variant
    raise DataError("The sweep must hold the float32 baseline that sizes are compared with. Add it to sweep.schemes.")


def _row(variant: Variant, reference: Variant) -> dict[str, Any]:
    return {
        "name": variant.name,
        "criterion": variant.criterion,
        "schedule": variant.schedule,
        "sparsity": variant.sparsity,
        "measured_sparsity": round(variant.measured_sparsity, 6),
        "scheme": variant.scheme,
        "bit_width": variant.bit_width,
        "aware": variant.aware,
        "distilled": variant.distilled,
        "mean_bits": round(variant.mean_bits, 4),
        "parameters": variant.parameters,
        "flops": variant.flops,
        "seed": variant.seed,
        "sha256": variant.sha256,
        "raw_bytes": variant.raw_bytes,
        "raw_ratio": round(reference.raw_bytes / variant.raw_bytes, 4),
        "deflated_bytes": variant.deflated_bytes,
        "deflated_ratio": round(reference.deflated_bytes / variant.deflated_bytes, 4),
        "keras_difference": float(f"{variant.keras_difference:.3g}"),
        **{
            f"{side}_{metric}{suffix}": variant.metrics[side]["pooled"][metric][end]
            for side in SIDES
            for metric in METRICS
            for end, suffix in ENDS.items()
        },
        **{
            f"{side}_calibration_error_{end}": variant.metrics[side]["pooled"]["calibration_error"].get(end)
            for side in SIDES
            for end in ("observed", "null")
        },
        **{f"{side}_n": variant.metrics[side]["n"] for side in SIDES},
        **{f"{side}_groups": variant.metrics[side]["groups"] for side in SIDES},
        "threshold": _told(variant.metrics["validation"]["threshold"]),
    }


def _told(threshold: float | list[float] | None) -> Any:
    return " ".join(f"{each:.9g}" for each in threshold) if isinstance(threshold, list) else threshold


def _site_rows(variants: Sequence[Variant]) -> list[dict[str, Any]]:
    return [
        {"name": variant.name, "split": side, "site": site, "n": part["n"], "groups": part["groups"], "metric": metric}
        | part["metrics"][metric]
        for variant in variants
        for side in SIDES
        for site, part in sorted(variant.metrics[side]["sites"].items())
        for metric in METRICS
    ]


def _baselines(variants: Sequence[Variant]) -> dict[str, Variant]:
    return {f"baseline {variant.scheme}": variant for variant in variants if not variant.schedule}


def _best(variants: Sequence[Variant], metric: str) -> dict[str, Variant]:
    """Return per scheme the pruned variant of the highest validation metric; among equals, the smallest."""

    def rank(variant: Variant) -> tuple[float, int, str]:
        value = variant.metrics["validation"]["pooled"][metric]["value"]
        return (-np.inf if value is None else -value, variant.deflated_bytes, variant.name)

    best: dict[str, Variant] = {}
    for variant in sorted((v for v in variants if v.schedule), key=rank):
        best.setdefault(f"pruned {variant.scheme}", variant)
    return best


def _compact(chosen: dict[str, Variant], rows: dict[str, dict[str, Any]], metric: str) -> dict[str, Any]:
    columns = ["name", f"validation_{metric}", *(f"test_{metric}{suffix}" for suffix in ENDS.values())]
    columns += ["raw_bytes", "deflated_bytes", "latency_p50_ms"]
    return {title: {column: rows[variant.name][column] for column in columns} for title, variant in chosen.items()}


def _against_sparsity(rows: Sequence[Row], metric: str) -> list[Row]:
    """Return the variants of each criterion with each schedule, the baselines being the sparsity 0 of each."""
    baseline = ("", "")
    ways = sorted({(row["criterion"], row["schedule"]) for row in rows} - {baseline}) or [baseline]
    return [
        {
            "pruning": ", ".join(way),
            "scheme": ", ".join([row["scheme"], *(name for name in ("aware", "distilled") if row[name])]),
            "sparsity": row["sparsity"],
            "seed": row["seed"],
            "validation_metric": row[f"validation_{metric}"],
            "deflated_bytes": row["deflated_bytes"],
            "latency_p50_ms": row["latency_p50_ms"],
        }
        for way in ways
        for row in rows
        if (row["criterion"], row["schedule"]) in (way, baseline)
    ]


def _roc_rows(name: str, path: Path, test: dataset.Split) -> list[dict[str, Any]]:
    """Return the ROC curve on the test split; with more classes, of all one-against-rest decisions together."""
    with np.load(path) as stored:
        scores = stored["test"].astype(np.float64)
    truth = test.y if scores.ndim == 1 else dataset.indicators(test.y, scores.shape[1]).ravel()
    return [
        {"variant": name, "false_positive_rate": round(float(x), 6), "true_positive_rate": round(float(y), 6)}
        for x, y in zip(*roc_points(truth, scores.ravel()), strict=True)
    ]
