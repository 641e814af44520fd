"""Measure the latency of every variant of the sweep and write the evaluation with its tables and figures.

Validation chooses, test only reports: every column name says which split it belongs to.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from stages.core.artifacts import dataset
from stages.core.artifacts import evaluation as evaluation_file
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts.estimates import Estimate
from stages.core.artifacts.evaluation import Calibration, EvaluatedVariant, Row, StreamResult
from stages.core.artifacts.split import SplitName
from stages.core.artifacts.variant import Variant, read_variants
from stages.core.project import compression, files
from stages.core.project.errors import DataError
from stages.core.project.progress import track
from stages.core.scoring.baseline import baseline
from stages.core.scoring.curves import roc_points
from stages.core.scoring.metrics import METRICS
from stages.evaluate import annotated, calibrated, elsewhere, figure, micro, robustness, soundscape, stream, unknown
from stages.evaluate.disturbances import conditions
from stages.evaluate.latency import measure, percentile_ms
from stages.evaluate.params import EvaluateParams
from stages.evaluate.subjects import Subjects

SPLITS: tuple[SplitName, ...] = ("validation", "test")
ENDS = ("", "_low", "_high")
SITE_COLUMNS = ("name", "split", "site", "n", "groups", "metric", "value", "low", "high", "reason", "observed", "null")
ROC_COLUMNS = ("variant", "false_positive_rate", "true_positive_rate")


def evaluate(
    sweep: Path, features: Path, target: Path, params: EvaluateParams, *, float_network: Path | None = None
) -> list[EvaluatedVariant]:
    """Measure latency and write the evaluation with its tables and figures; a killed run resumes.

    Parameters
    ----------
    sweep : Path
        ``variants.json``, ``<variant>.tflite`` and ``scores/<variant>.npz``.
    features : Path
    target : Path
        Folder to write: ``evaluation.json`` (`stages.core.artifacts.evaluation`), the raw measurements in ``latency/``,
        and exports for people and for `dvc plots`: ``variants.csv`` (one row per variant), ``sites.csv``,
        ``calibration.csv``,
        ``roc.csv``, ``against_sparsity.csv`` and ``accuracy_versus_size.csv`` with its picture;
        ``rejection.csv`` if any variant says "unknown"; ``streams.csv`` and ``stream/`` if `params.stream` asks for
        minutes;
        ``elsewhere.csv`` and ``elsewhere/`` if `params.elsewhere` names a place;
        ``robustness.csv`` and ``robustness/`` if `params.robustness` names a condition.
    params : EvaluateParams
    float_network : Path or None
        Folder of the float network, which attacks of `params.robustness` need.

    Returns
    -------
    list[EvaluatedVariant]

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
    reference = baseline(variants)
    metric = headline(reference)
    sample = dataset.read_split(features, "validation").crops[0, 0]

    with files.growing_folder(target, _key(variants, params)) as folder:
        seconds = measure(
            paths, sample, warmup=params.latency_warmup, runs=params.latency_runs, folder=folder / "latency"
        )
        p50, p95 = percentile_ms(seconds, 50), percentile_ms(seconds, 95)
        subjects = Subjects(tuple(variants), reference, sweep, features)
        places = elsewhere.measure(subjects, folder=folder / "elsewhere", params=params, metric=metric)
        if places:
            lines = [row for name, found in places.items() for row in elsewhere.rows(name, found)]
            files.write_csv(folder / "elsewhere.csv", elsewhere.COLUMNS, lines)
        disturbed: list[Row] = []
        if conditions(params.robustness):
            disturbed = robustness.measure(
                subjects, folder=folder / "robustness", params=params, float_network=float_network
            )
            files.write_csv(folder / "robustness.csv", robustness.COLUMNS, disturbed)
        frontend = (features / "frontend.tflite").read_bytes()
        ahead = _Bytes(len(frontend), compression.xz_bytes(frontend))
        micro_runs = _micro(variants, paths, features)
        quality = _calibration(variants, sweep, features, params)
        lines = [row for name, found in quality.items() for row in calibrated.rows(name, found)]
        files.write_csv(folder / "calibration.csv", calibrated.COLUMNS, lines)
        rejected = unknown.measure(variants, sweep, features=features, params=params)
        if rejected:
            lines = [row for name, figures in rejected.items() for row in unknown.rows(name, figures)]
            files.write_csv(folder / "rejection.csv", unknown.COLUMNS, lines)
        heard: dict[str, tuple[StreamResult, ...]] = {}
        if params.stream.asked:
            heard = stream.measure(variants, sweep, features=features, folder=folder / "stream", params=params)
            lines = [row for name, results in heard.items() for row in stream.rows(name, results)]
            files.write_csv(folder / "streams.csv", stream.COLUMNS, lines)
        evaluated = [
            EvaluatedVariant(
                variant=variant,
                latency_p50_ms=median,
                latency_p95_ms=slow,
                raw_ratio=round(reference.raw_bytes / variant.raw_bytes, 4),
                deflated_ratio=round(reference.deflated_bytes / variant.deflated_bytes, 4),
                **_release(variant, reference, ahead),
                **micro_runs.get(variant.name, {}),
                robustness=_robustness(variant.name, disturbed),
                calibration=quality[variant.name],
                rejection=rejected.get(variant.name, {}),
                streams=heard.get(variant.name, ()),
                elsewhere=places.get(variant.name, {}),
            )
            for variant, median, slow in zip(variants, p50, p95, strict=True)
        ]
        evaluation_file.write(folder, evaluated)
        rows = [each.row() for each in evaluated]
        files.write_csv(folder / "variants.csv", _columns(max(rows, key=len)), rows)
        files.write_csv(folder / "sites.csv", SITE_COLUMNS, _site_rows(variants))

        chosen = _baselines(variants) | _best(variants, metric)
        test = dataset.read_split(features, "test")
        curves = [row for v in chosen.values() for row in _roc_rows(v.name, sweep / "scores" / f"{v.name}.npz", test)]
        files.write_csv(folder / "roc.csv", ROC_COLUMNS, curves)
        pruned = _against_sparsity(rows, metric)
        files.write_csv(folder / "against_sparsity.csv", list(pruned[0]), pruned)
        points = [figure.Point.of(variant, metric) for variant in variants]
        columns = [field.name for field in fields(figure.Point)]
        files.write_csv(folder / "accuracy_versus_size.csv", columns, map(asdict, points))
        figure.save(points, folder / "accuracy_versus_size.png", metric=metric, confidence=params.confidence)
    return evaluated


@dataclass(frozen=True)
class _Bytes:
    """Bytes of a file, as it is stored and as a push sends it."""

    stored: int
    sent: int


def _release(variant: Variant, reference: Variant, ahead: _Bytes) -> Row:
    """Return the sizes of the front end `ahead` and a model together, and how many times less than float32."""
    stored, sent = variant.raw_bytes + ahead.stored, variant.xz_bytes + ahead.sent
    return {
        "release_bytes": stored,
        "sent_bytes": sent,
        "release_ratio": round((reference.raw_bytes + ahead.stored) / stored, 4),
        "sent_ratio": round((reference.xz_bytes + ahead.sent) / sent, 4),
    }


def _key(variants: Sequence[Variant], params: EvaluateParams) -> str:
    """Return the digest of everything that a killed run must find unchanged to go on."""
    folder = params.stream.background if params.stream.minutes else None
    sounds = [files.sha256(path) for path in soundscape.background_files(folder)] if folder else []
    if params.stream.recordings is not None:
        sounds += annotated.digests(params.stream.recordings)
    return files.digest([asdict(v) for v in variants], asdict(params), *sounds, *elsewhere.digests(params))


def _micro(variants: Sequence[Variant], paths: Sequence[Path], features: Path) -> dict[str, Row]:
    """Return what TensorFlow Lite Micro makes of each 8-bit file, by name; nothing where it is not installed."""
    files_of = {v.name: path for v, path in zip(variants, paths, strict=True) if v.bit_width == 8}
    if not files_of or not micro.available():
        return {}
    crops = dataset.read_split(features, "validation").crops[: micro.CLIPS]
    clips, found = crops.reshape(-1, *crops.shape[2:]), {}
    for name, path in track(files_of.items(), "TensorFlow Lite Micro"):
        result = micro.run(path, clips)
        found[name] = {"arena_bytes": result.arena_bytes, "micro": result.refused or "equal"}
    return found


def headline(variant: Variant) -> str:
    """Return the metric that stands for the whole.

    ROC-AUC of a binary task, accuracy of one with more classes, mean average precision of a multi-label task.
    """
    if isinstance(variant.threshold, tuple):
        return "pr_auc"
    return "accuracy" if variant.metrics["validation"].positives is None else "roc_auc"


def _columns(row: Row) -> list[str]:
    """Return the columns of ``variants.csv``: those of a row, with the metrics in the order of `METRICS`."""
    metrics = [f"{split}_{metric}{end}" for split in SPLITS for metric in METRICS for end in ENDS]
    metrics += [f"{split}_calibration_error_{end}" for split in SPLITS for end in ("observed", "null")]
    others = [column for column in row if column not in metrics]
    first = others.index("validation_n")
    return others[:first] + metrics + others[first:]


def _calibration(
    variants: Sequence[Variant], sweep: Path, features: Path, params: EvaluateParams
) -> dict[str, dict[str, Calibration]]:
    """Return every variant's calibration figures by split."""
    truth = {side: dataset.read_labels(features, side) for side in SPLITS}
    n_crops, found = frontend_file.read(features).crops, {}
    for variant in track(variants, "calibration"):
        with np.load(sweep / "scores" / f"{variant.name}.npz") as stored:
            found[variant.name] = {
                str(side): calibrated.measure(variant, truth[side], stored[side], params.metrics, n_crops)
                for side in SPLITS
            }
    return found


def _robustness(name: str, rows: Sequence[Row]) -> dict[str, dict[str, Estimate]]:
    """Return a variant's estimates by condition and metric."""
    found: dict[str, dict[str, Estimate]] = {}
    for row in rows:
        if row["name"] == name:
            ends = (row["value"], row["low"], row["high"], row["reason"] or None, row.get("observed"), row.get("null"))
            found.setdefault(row["condition"], {})[row["figure"]] = Estimate(*ends)
    return found


def _site_rows(variants: Sequence[Variant]) -> list[Row]:
    return [
        {"name": variant.name, "split": side, "site": site, "n": part.n, "groups": part.groups, "metric": metric}
        | {key: value for key, value in asdict(part.metrics[metric]).items() if key in SITE_COLUMNS}
        for variant in variants
        for side in SPLITS
        for site, part in sorted(variant.metrics[side].sites.items())
        for metric in METRICS
    ]


def _baselines(variants: Sequence[Variant]) -> dict[str, Variant]:
    return {f"baseline {variant.scheme}": variant for variant in variants if not variant.schedule}


def _best(variants: Sequence[Variant], metric: str) -> dict[str, Variant]:
    """Return per scheme the pruned variant of the highest validation metric; among equals, the smallest."""

    def rank(variant: Variant) -> tuple[float, int, str]:
        value = variant.metrics["validation"].pooled[metric].value
        return (-np.inf if value is None else -value, variant.deflated_bytes, variant.name)

    best: dict[str, Variant] = {}
    for variant in sorted((v for v in variants if v.schedule), key=rank):
        best.setdefault(f"pruned {variant.scheme}", variant)
    return best


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


def _roc_rows(name: str, path: Path, test: dataset.Split) -> list[Row]:
    """Return the ROC curve on the test split; with more classes, of all one-against-rest decisions together."""
    with np.load(path) as stored:
        scores = stored["test"].astype(np.float64)
    truth = test.y if scores.ndim == 1 else dataset.indicators(test.y, scores.shape[1]).ravel()
    return [
        {"variant": name, "false_positive_rate": round(float(x), 6), "true_positive_rate": round(float(y), 6)}
        for x, y in zip(*roc_points(truth, scores.ravel()), strict=True)
    ]
