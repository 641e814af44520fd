"""`edac tune`: read the project, search, log, report and, if asked, write what beats the recipe."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ruamel.yaml import YAML

from flows.execution.prefect_server import server
from flows.start import sizes
from flows.sweep.compute import executor_of
from flows.sweep.params import SweepParams
from flows.sweep.store import Store
from flows.tune import outcome
from flows.tune.outcome import Outcome, Tried
from flows.tune.params import TuneParams
from flows.tune.search import Search
from flows.tune.space import space
from flows.tune.training import Spec
from stages.core.artifacts import dataset
from stages.core.artifacts import frontend as frontend_file
from stages.core.project import files, layout, params
from stages.core.project.errors import DataError, notice, require
from stages.core.tracking import connection
from stages.core.tracking.trials import Candidate, log_search
from stages.features.params import FeatureParams
from stages.quantize.params import QuantizeParams
from stages.select.params import SelectParams
from stages.train.params import TrainParams

METRICS = ("accuracy", "balanced_accuracy", "roc_auc", "pr_auc")
"""Metrics of a part that need no threshold of its own."""
_PRELOAD = ("stages.core.nn.loaded", "flows.tune.training")
_ALSO_PRUNE = ("label_smoothing", "mixup", "time_shift", "vary")
"""Parameters of `train` that `prune` has too, so that a fine-tuning goes on as the training did."""


def tune(settings: TuneParams, *, write: bool = False) -> str:
    """Search and return the report.

    Parameters
    ----------
    settings : TuneParams
    write : bool
        Write the best candidate into `params.yaml` if it is shown to beat the recipe.

    Raises
    ------
    EdacError
        If there are no features, a parameter does not fit, or the recipe cannot be trained.
    """
    sweep, select = params.section("sweep", SweepParams), params.section("select", SelectParams)
    search = prepared(settings)
    outcomes: list[Outcome] = []
    with (
        Store(settings.folder).lock() as lock,
        server(),
        executor_of(sweep, _PRELOAD, settings.folder.absolute(), lock) as executor,
    ):
        executor.in_flow(f"tune {select.registered_name}", lambda: outcomes.append(search.run(executor)))
        minutes = search.spent(executor) / 60
    text = outcome.report(outcomes[0], minutes=minutes)
    files.write_text(settings.folder / "report.md", f"```\n{text}\n```\n")
    _log(outcomes[0], search.study.study_name, select.registered_name, text)
    if write and outcomes[0].beats and outcomes[0].best is not None:
        _write(search.candidate(outcomes[0].best.number), params.PARAMS_FILE)
        text += f"\n{params.PARAMS_FILE} has its values now; `dvc repro` runs them."
    return text


def prepared(settings: TuneParams) -> Search:
    """Return the search of the project in this folder, as far as it has come.

    Parameters
    ----------
    settings : TuneParams

    Raises
    ------
    EdacError
        If there are no features, or a parameter does not fit.
    """
    sweep, select = params.section("sweep", SweepParams), params.section("select", SelectParams)
    recipe = params.section("train", TrainParams)
    rule = f"be one of {', '.join(METRICS)} for a search"
    require(select.metric in METRICS, "select.metric", rule, select.metric)
    if not (layout.FEATURES / dataset.FILES[0]).is_file():
        raise DataError(f"{layout.FEATURES} holds no features. Run `dvc repro features` first.")
    shape = sizes.shape(params.section("features", FeatureParams), len(frontend_file.read(layout.FEATURES).labels))
    limit, scheme = select.budget.get("raw_bytes"), _deployed(sweep.schemes)
    found = space(recipe, shape, raw_bytes=limit, scheme=scheme)
    base = Spec(recipe, layout.FEATURES.absolute(), select.metric, 0, settings.parts, settings.seed, sweep.threads)
    data = files.digest([files.sha256(layout.FEATURES / name) for name in dataset.FILES])
    return Search(settings, found, base, data)


def _deployed(schemes: Sequence[str]) -> str:
    """Return the scheme of the fewest bits, which a budget of bytes is meant for."""
    quantize = QuantizeParams()
    return min(schemes, key=lambda name: (quantize.scheme(name)[0].BIT_WIDTH, -len(name), name))


def _log(found: Outcome, key: str, experiment: str, text: str) -> None:
    named = [("recipe", found.recipe_tried), *((f"candidate-{each.number}", each) for each in found.tried)]
    try:
        with connection.reaching():
            log_search(
                connection.connect(layout.MLRUNS, experiment),
                key,
                [_candidate(name, each, found.metric) for name, each in named],
                {"gain": asdict(found.gain)} if found.gain else {},
                text,
            )
    except connection.TrackingUnavailableError as error:
        notice(f"{error} The search is not logged; run the same command again, which repeats no training.")


def _candidate(name: str, tried: Tried, metric: str) -> Candidate:
    figures = {f"part{i + 1}.{metric}": value for i, value in enumerate(tried.values)}
    return Candidate(name, tried.changes, figures | ({metric: tried.mean} if tried.values else {}), tried.state)


def _write(train: TrainParams, path: Path) -> None:
    """Put a candidate into `params.yaml`, whose comments stay."""
    yaml = YAML()
    yaml.width = 4096
    document = yaml.load(path)
    section, values = document["train"], asdict(train)
    for name in ("architecture", "learning_rate", *_ALSO_PRUNE):
        section[name] = values[name]
    section["options"] = {train.architecture: values["options"][train.architecture]}
    for name in _ALSO_PRUNE:
        if name in document.get("prune", {}):
            document["prune"][name] = values[name]
    with files.atomic(path) as temporary:
        yaml.dump(document, temporary)
