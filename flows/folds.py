"""Cross-validation over the publisher's folds: `edac folds` runs the pipeline once per fold and seed.

Each run is a project of its own in `data/folds/`, with this project's code and parameters but for the test fold and the
seed of training, and with this project's DVC cache: what does not depend on the fold is computed once. `dvc repro` in
such a folder is what runs it, so that a killed command goes on where it stopped, and only what changed is done again.
All runs are logged to this project's MLflow.
"""

import functools
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML

from flows.dvc import dvc
from flows.processes import ProcessError
from stages.core import dataset, files, layout, metrics, params, stats, tracking
from stages.core.errors import ParameterError, require
from stages.core.progress import track
from stages.core.variant import Variant, read_variants
from stages.evaluate.params import EvaluateParams
from stages.select.params import SelectParams
from stages.split.params import SplitParams

FOLDER = Path("data/folds")
_REFERENCE = "baseline-float32"
_CODE = ("stages", "flows")
_COPIED = ("dvc.yaml", ".dvcignore", "pyproject.toml", "constraints.txt")
_DVC_CONFIG = """[core]
    no_scm = True
    analytics = false
[cache]
    dir = {cache}
    type = "reflink,hardlink,copy"
"""

COLUMNS = (
    *("name", "mean", "sd", "low", "high", "drop", "drop_low", "drop_high"),
    *("raw_bytes", "deflated_bytes", "flops", "latency_ms"),
)


@dataclass(frozen=True)
class Run:
    """A fold under test with a seed.

    Attributes
    ----------
    fold : str
    seed : int
    folder : Path
        The run's project.
    """

    fold: str
    seed: int
    folder: Path


@dataclass(frozen=True)
class Row:
    """What the folds say of one variant.

    Attributes
    ----------
    name : str
        The variant's, without its seed.
    values : tuple[float, ...]
        Of the metric on each test fold, the mean over seeds.
    low, high : float
        Interval of their mean, by a bootstrap over groups.
    drop, drop_low, drop_high : float
        How far the mean lies below the float32 baseline's, by the same resamples.
    raw_bytes, deflated_bytes : float
        Means over the runs.
    flops : float
        Of one clip, likewise.
    latency_ms : float or None
        Median of one clip on one thread, likewise; None if it was not measured.
    """

    name: str
    values: tuple[float, ...]
    low: float
    high: float
    drop: float
    drop_low: float
    drop_high: float
    raw_bytes: float
    deflated_bytes: float
    flops: float
    latency_ms: float | None

    @property
    def mean(self) -> float:
        """Over folds and seeds."""
        return float(np.mean(self.values))

    @property
    def sd(self) -> float:
        """Over folds: the sample standard deviation."""
        return float(np.std(self.values, ddof=1))


def plan(seeds: Sequence[int], folder: Path = FOLDER) -> list[Run]:
    """Return the runs that `params.yaml` and the pulled recordings ask for.

    Parameters
    ----------
    seeds : Sequence[int]
        Of training and of the sweep.
    folder : Path

    Raises
    ------
    ParameterError
        If the recordings have no published folds.
    DataError
        If nothing was pulled.
    """
    folds = sorted({row["fold"] for row in files.read_csv(layout.INDEX)} - {""}, key=lambda f: (len(f), f))
    if len(folds) < 2 or set(folds) <= set(dataset.SPLITS):
        raise ParameterError("pull.source must have published folds for cross-validation; this one has none.")
    return [Run(fold, seed, folder / f"fold{fold}-seed{seed}") for seed in seeds for fold in folds]


def prepare(run: Run) -> None:
    """Bring a run's project up to this one's code and parameters.

    Parameters
    ----------
    run : Run
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    for name in _CODE:
        _mirror(Path(name), run.folder / name)
    for name in _COPIED:
        if Path(name).is_file():
            shutil.copyfile(name, run.folder / name)
    yaml = YAML()
    document = yaml.load(params.PARAMS_FILE)
    document["split"]["folds"] = {"test": [run.fold]}
    document["train"]["seed"] = run.seed
    document["sweep"]["seeds"] = [run.seed]
    if document["pull"].get("mirror"):
        document["pull"]["mirror"] = str(Path(document["pull"]["mirror"]).absolute())
    with files.atomic(run.folder / params.PARAMS_FILE) as temporary:
        yaml.dump(document, temporary)
    files.write_text(run.folder / ".dvc/config", _DVC_CONFIG.format(cache=Path(".dvc/cache").absolute()))


def reproduce(run: Run, stage: str) -> None:
    """Run the pipeline in a run's project, up to a stage.

    Parameters
    ----------
    run : Run
    stage : str

    Raises
    ------
    ProcessError
        If it fails; names the log.
    """
    experiment = params.section("select", SelectParams).registered_name
    tracking.connect(layout.MLRUNS, experiment)  # which places the experiment's artefacts in this project
    uri = os.environ.get("MLFLOW_TRACKING_URI") or tracking.local_uri(layout.MLRUNS)
    _dvc(run.folder, "repro", stage, environment={"MLFLOW_TRACKING_URI": uri})


def collect(runs: Sequence[Run], *, metric: str, evaluate: EvaluateParams) -> list[Row]:
    """Summarise finished runs.

    Parameters
    ----------
    runs : Sequence[Run]
        Of the same seeds on every fold.
    metric : str
        One of `stages.core.metrics.METRICS`, on the test folds.
    evaluate : EvaluateParams
        Its resamples, confidence and seed. Groups are drawn over all folds at once: a clip is tested by every seed's
        network of its fold, and no clip is tested twice by a seed.

    Returns
    -------
    list[Row]
        The float32 baseline first, then by name.
    """
    folds = list(dict.fromkeys(run.fold for run in runs))
    truth = {run: dataset.read_truth(run.folder / layout.FEATURES, "test") for run in runs}
    found = {run: _variants(run) for run in runs}
    latencies = {run: _latencies(run) for run in runs}
    names = [name for name in found[runs[0]] if all(name in found[run] for run in runs)]
    names.sort(key=lambda name: (name != _REFERENCE, name))
    drawn = np.concatenate([groups for _, groups in truth.values()])
    ends = np.cumsum([0, *(len(groups) for _, groups in truth.values())])
    draws = list(
        stats.group_bootstrap(drawn, resamples=evaluate.bootstrap_resamples, rng=np.random.default_rng(evaluate.seed))
    )

    def measured(name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the metric of each run, (n_runs,), and of each resample, the mean over the runs, (n_resamples,)."""
        values, resampled = [], []
        for i, run in enumerate(runs):
            variant, part = found[run][name], slice(ends[i], ends[i + 1])
            scores = np.load(run.folder / layout.SWEEP / "scores" / f"{variant.name}.npz")["test"]
            measure = functools.partial(
                metrics.measure,
                metric,
                truth[run][0],
                scores,
                threshold=variant.metrics["validation"]["threshold"],
                specificity=evaluate.specificity,
                calibration_bins=evaluate.calibration_bins,
            )
            values.append(float(measure()))
            resampled.append(np.concatenate([measure(weights=block[:, part]) for block in draws]))
        return np.array(values), np.nanmean(resampled, axis=0)

    rows = []
    reference: tuple[np.ndarray, np.ndarray] | None = None
    for name in names:
        values, resampled = measured(name)
        reference = reference or (values, resampled)
        low, high = stats.percentile_interval(resampled, confidence=evaluate.confidence)
        drop = stats.percentile_interval(reference[1] - resampled, confidence=evaluate.confidence)
        variants = [found[run][name] for run in runs]
        times = [latencies[run][v.name] for run, v in zip(runs, variants, strict=True) if v.name in latencies[run]]
        by_fold = [float(np.mean([v for run, v in zip(runs, values, strict=True) if run.fold == f])) for f in folds]
        rows.append(
            Row(
                name,
                tuple(by_fold),
                low,
                high,
                float(reference[0].mean() - values.mean()),
                *drop,
                float(np.mean([v.raw_bytes for v in variants])),
                float(np.mean([v.deflated_bytes for v in variants])),
                float(np.mean([v.flops for v in variants])),
                float(np.mean(times)) if len(times) == len(runs) else None,
            )
        )
    return rows


def table(rows: Sequence[Row], runs: Sequence[Run], *, metric: str, confidence: float) -> str:
    """Return the result as Markdown.

    Parameters
    ----------
    rows : Sequence[Row]
    runs : Sequence[Run]
    metric : str
    confidence : float
        Of the intervals.
    """
    folds, seeds = len({run.fold for run in runs}), len({run.seed for run in runs})
    clips = sum(len(dataset.read_truth(run.folder / layout.FEATURES, "test")[0]) for run in runs) // seeds
    sure = f"{100 * confidence:g} %"
    head = ["variant", f"{metric} on the test folds [{sure} interval]", "sd over folds", f"below the baseline [{sure}]"]
    lines = [[*head, "raw bytes", "deflated bytes", "MFLOPs", "latency in ms"], ["---"] * 8]
    for row in rows:
        is_reference = row.name == _REFERENCE
        lines.append(
            [
                row.name,
                f"{row.mean:.3f} [{row.low:.3f}, {row.high:.3f}]",
                f"{row.sd:.3f}",
                "" if is_reference else f"{row.drop:+.3f} [{row.drop_low:+.3f}, {row.drop_high:+.3f}]",
                f"{row.raw_bytes:,.0f}",
                f"{row.deflated_bytes:,.0f}",
                f"{row.flops / 1e6:.1f}",
                "" if row.latency_ms is None else f"{row.latency_ms:.3f}",
            ]
        )
    caption = f"{clips} clips, each tested once by {seeds} seed{'s' if seeds > 1 else ''}, in {folds} folds."
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", caption])


def run(seeds: Sequence[int], *, stage: str = "evaluate", folder: Path = FOLDER) -> str:
    """Run every fold with every seed; write and return the table.

    Parameters
    ----------
    seeds : Sequence[int]
    stage : str
        Of the pipeline, the last that is run.
    folder : Path
        Takes the projects, ``results.csv`` and ``results.md``.

    Raises
    ------
    ParameterError
        If the split is not by the publisher's folds, or a seed is no seed.
    ProcessError
        If a run fails.
    """
    require(
        (method := params.section("split", SplitParams).method) == "official",
        "split.method",
        "be official for cross-validation",
        method,
        "The source must have published folds; `edac preset esc10` is an example.",
    )
    require(min(seeds, default=0) >= 0, "--seeds", "be 0 or more", list(seeds))
    require(len(set(seeds)) == len(seeds) > 0, "--seeds", "name each seed once", list(seeds))
    _dvc(Path(), "repro", "pull")  # which tells the folds
    runs = plan(seeds, folder)
    for each in track(runs, "folds"):
        prepare(each)
        reproduce(each, stage)
    metric, evaluate = params.section("select", SelectParams).metric, params.section("evaluate", EvaluateParams)
    rows = collect(runs, metric=metric, evaluate=evaluate)
    files.write_csv(folder / "results.csv", COLUMNS, ({name: _cell(row, name) for name in COLUMNS} for row in rows))
    text = table(rows, runs, metric=metric, confidence=evaluate.confidence)
    files.write_text(folder / "results.md", text + "\n")
    return text


def _cell(row: Row, column: str) -> str | float | None:
    value: str | float | None = getattr(row, column)
    return round(value, 6) if isinstance(value, float) else value


def _variants(run: Run) -> dict[str, Variant]:
    """Return a run's variants by their names without the seed."""
    variants = read_variants(run.folder / layout.SWEEP / "variants.json")
    return {variant.name.removesuffix(f"-seed{run.seed}"): variant for variant in variants}


def _latencies(run: Run) -> Mapping[str, float]:
    path = run.folder / layout.EVALUATION / "variants.csv"
    if not path.is_file():
        return {}
    return {row["name"]: float(row["latency_p50_ms"]) for row in files.read_csv(path)}


def _mirror(source: Path, target: Path) -> None:
    """Make one folder of sources like another; what is alike keeps its time, which DVC goes by."""
    wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    for path in [path for path in target.rglob("*") if path.is_file() and path.suffix != ".pyc"]:
        if path.relative_to(target) not in wanted:
            path.unlink()
    for name in wanted:
        if not (target / name).is_file() or (target / name).read_bytes() != (source / name).read_bytes():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)


def _dvc(folder: Path, *command: str, environment: Mapping[str, str] | None = None) -> None:
    log = folder / "data/dvc.log"
    environment = {"PYTHONPATH": ".", "DVC_NO_ANALYTICS": "true", **(environment or {})}
    try:
        dvc(*command, log=log, folder=folder, environment=environment)
    except ProcessError as error:
        raise ProcessError(
            f"{folder.absolute()}: {error} Read {log}, mend the cause and run the same command again; what is finished "
            "is kept."
        ) from None
