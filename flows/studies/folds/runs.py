"""Cross-validation over the publisher's folds: `edac folds` runs the pipeline once per fold and seed.

Without published folds (`split.method`), it runs the one split once per seed.

Each run is a project of its own in `data/folds/`. It has this project's code, parameters (except for the test fold and
the training seed) and DVC cache, so whatever does not depend on the fold is computed once. `dvc repro` in that folder
runs it, so a killed command resumes where it stopped and repeats only what has changed. All runs are logged to this
project's MLflow.

`edac folds --against KEY=VALUE` runs every fold and seed a second time with other parameters, and compares the two pair
by pair.
"""

import functools
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from tqdm import tqdm

from flows.execution.dvc_command import dvc
from flows.execution.failures import ProcessError
from flows.studies.folds.figures import Figures
from flows.studies.folds.run_folder import Run, change, prepare
from flows.studies.folds.summary import collect, compare
from flows.studies.folds.table import COLUMNS, GAIN_COLUMNS, gains_table, records, table
from stages.core.artifacts.recordings import read_index
from stages.core.artifacts.split import SPLITS
from stages.core.project import files, layout, params
from stages.core.project.errors import ParameterError, require
from stages.core.project.progress import track
from stages.core.tracking import connection
from stages.evaluate.params import EvaluateParams
from stages.select.params import SelectParams
from stages.split.params import SplitParams

FOLDER = Path("data/folds")
_STAGE_BEGINS = re.compile(r"Running stage '([^']+)'")  # as DVC prints it


def plan(
    seeds: Sequence[int],
    folder: Path = FOLDER,
    changes: Mapping[str, Any] | None = None,
    parts: int = 0,
    sites: Sequence[str] = (),
) -> list[Run]:
    """Return the runs of every fold and seed.

    Parameters
    ----------
    seeds : Sequence[int]
        Seeds of training and of the sweep.
    folder : Path
        Takes the runs' projects.
    changes : Mapping or None
        Changed parameters of every run.
    parts : int
        Parts of groups, each tested in turn; 0 tests the published folds, if any.
    sites : Sequence[str]
        Sites, each tested in turn by a network that heard none of it; empty tests no sites.

    Raises
    ------
    ParameterError
        If the split is by published folds, and the recordings have none.
    """
    if sites:
        numbered = [(seed, str(n), site) for seed in seeds for n, site in enumerate(sites, start=1)]
        return [Run(n, seed, folder / f"fold{n}-seed{seed}", changes or {}, site=site) for seed, n, site in numbered]
    if parts:
        folds = [str(number) for number in range(1, parts + 1)]
        return [Run(f, seed, folder / f"fold{f}-seed{seed}", changes or {}, parts) for seed in seeds for f in folds]
    if params.section("split", SplitParams).method != "official":
        return [Run("", seed, folder / f"seed{seed}", changes or {}) for seed in seeds]
    folds = sorted({recording.fold for recording in read_index(layout.INDEX)} - {""}, key=lambda f: (len(f), f))
    if len(folds) < 2 or set(folds) <= set(SPLITS):
        raise ParameterError("pull.source must have published folds for split.method: official; this source has none.")
    return [Run(fold, seed, folder / f"fold{fold}-seed{seed}", changes or {}) for seed in seeds for fold in folds]


def reproduce(run: Run, stage: str, *, on_stage: Callable[[str], object] = lambda _: None) -> None:
    """Run the pipeline in a run's project, up to a stage.

    Parameters
    ----------
    run : Run
    stage : str
        Last stage to run.
    on_stage : Callable
        Called with the name of each stage as it begins.

    Raises
    ------
    ProcessError
        If a stage fails; names the log.
    """
    experiment = params.section("select", SelectParams).registered_name
    connection.connect(layout.MLRUNS, experiment)  # creates it with its artifacts in this project
    uri = os.environ.get("MLFLOW_TRACKING_URI") or connection.local_uri(layout.MLRUNS)
    _dvc(run.folder, "repro", stage, environment={"MLFLOW_TRACKING_URI": uri}, on_stage=on_stage)


def run(
    seeds: Sequence[int],
    *,
    against: Sequence[str] = (),
    by_group: int | None = None,
    by_site: bool = False,
    stage: str = "evaluate",
    folder: Path = FOLDER,
) -> str:
    """Run every fold with every seed; write and return the table.

    Parameters
    ----------
    seeds : Sequence[int]
        Seeds of training and of the sweep.
    against : Sequence[str]
        ``"KEY=VALUE"``, the dotted name of a parameter and YAML. If given, every run is repeated with these parameters.
    by_group : int or None
        Divide the groups into so many parts and test each in turn; 0 leaves out one group at a time. None tests the
        published folds, if any.
    by_site : bool
        Leave out one site at a time, and test it.
    stage : str
        Last stage of the pipeline to run.
    folder : Path
        Takes the runs' projects, ``results.csv`` and ``results.md``. The repeated runs have a subfolder of their
        own, with the gains.

    Returns
    -------
    str
        Tables in Markdown.

    Raises
    ------
    ParameterError
        If a seed is negative or given twice, a parameter to change does not exist, or the recordings have no folds.
    ProcessError
        If a run fails.
    """
    require(min(seeds, default=0) >= 0, "--seeds", "be 0 or more", list(seeds))
    require(len(set(seeds)) == len(seeds) > 0, "--seeds", "name each seed once", list(seeds))
    changes = dict(_parsed(text) for text in against)
    document = YAML().load(params.PARAMS_FILE)
    for name, value in changes.items():
        change(document, name, value)
    _dvc(Path(), "repro", "pull")  # the index names the folds
    parts = 0
    if by_group is not None:
        parts = by_group or len({recording.group for recording in read_index(layout.INDEX)})
        require(parts >= 2, "--k", "be at least 2", parts, "Try 5, or `all` to leave out one group at a time.")
        folder = folder / f"by-group-{parts}"
    sites: list[str] = []
    if by_site:
        sites = sorted({recording.site for recording in read_index(layout.INDEX)} - {""})
        require(len(sites) >= 2, "--by site", "have recordings of at least 2 sites", sites, "Use --by group.")
        folder = folder / "by-site"
    runs, other = plan(seeds, folder, parts=parts, sites=sites), folder / f"against-{files.digest(changes)[:8]}"
    twins = plan(seeds, other, changes, parts, sites) if changes else []
    reproduce_all([*chain(*zip(runs, twins, strict=True))] if twins else runs, stage)
    text, figures = _summarise(runs, folder)
    if not twins:
        return text
    their_text, theirs = _summarise(twins, other)
    gains = compare(figures, theirs)
    files.write_csv(other / "gains.csv", GAIN_COLUMNS, records(gains, GAIN_COLUMNS))
    gained = gains_table(gains, figures, ", ".join(against))
    files.write_text(other / "gains.md", gained + "\n")
    return "\n\n".join([text, f"With {', '.join(against)}:", their_text, "Gains:", gained])


def reproduce_all(runs: Sequence[Run], stage: str) -> None:
    """Run the pipeline in every run's project, up to a stage, with a progress bar.

    The remaining time is estimated from the runs of this command; those that were finished before take a moment each.
    """
    with track(runs, "folds") as progress:
        progress.smoothing = 0  # the mean of all, not of the latest
        for each in runs:
            progress.set_description(each.title)
            begun, begun_s = list[str](), time.time()
            prepare(each)
            reproduce(each, stage, on_stage=functools.partial(_show_stage, progress, each, begun))
            progress.update()
            if not begun:
                progress.initial += 1
                progress.start_t += time.time() - begun_s


def _show_stage(progress: "tqdm[Run]", run: Run, begun: list[str], stage: str) -> None:
    begun.append(stage)
    progress.set_description(f"{run.title}: {stage}")


def _summarise(runs: Sequence[Run], folder: Path) -> tuple[str, Figures]:
    """Write the table of finished runs to a folder and return it as Markdown, with its figures."""
    metric, evaluate = params.section("select", SelectParams).metric, params.section("evaluate", EvaluateParams)
    figures = Figures(runs, metric=metric, evaluate=evaluate)
    rows = collect(figures)
    files.write_csv(folder / "results.csv", COLUMNS, records(rows, COLUMNS))
    text = table(rows, figures)
    files.write_text(folder / "results.md", text + "\n")
    return text, figures


def _parsed(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    require(bool(name and equals), "--against", "be KEY=VALUE", text, "For example, train.mixup=0.")
    return name.strip(), YAML(typ="safe", pure=True).load(value)


def _dvc(
    folder: Path,
    *command: str,
    environment: Mapping[str, str] | None = None,
    on_stage: Callable[[str], object] = lambda _: None,
) -> None:
    def read(line: str) -> None:
        if begun := _STAGE_BEGINS.match(line):
            on_stage(begun[1])

    log = folder / "data/dvc.log"
    environment = {"PYTHONPATH": ".", "DVC_NO_ANALYTICS": "true", **(environment or {})}
    try:
        dvc(*command, log=log, folder=folder, environment=environment, on_line=read)
    except ProcessError as error:
        said = f"{folder.absolute()}: {str(error).rstrip('.')}."
        raise ProcessError(
            f"{said} Read {log}, fix the cause and run the same command again; what is finished is kept."
        ) from None
