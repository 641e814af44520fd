"""The sweep: every cell of the grid that the store lacks, each in a process of its own, fanned out by Prefect.

`python -m flows.sweep` is the DVC stage. A killed or failed sweep goes on where it was when it is run again; a grid
that grew costs its new cells alone.
"""

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flows.sweep import page
from flows.sweep.cell import Spec, arguments_for, preload_for
from flows.sweep.grid import Cell
from flows.sweep.params import SweepParams
from flows.sweep.plan import plan
from flows.sweep.store import Store
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts import network as network_file
from stages.core.artifacts.variant import Variant, read_variant, write_variants
from stages.core.project import files, layout, params
from stages.core.project.errors import ModelError
from stages.core.tracking import connection, records
from stages.core.tracking.spool import spooled
from stages.core.training.teacher import Distillation, teacher_folder
from stages.evaluate.params import EvaluateParams
from stages.prune.params import PruneParams
from stages.quantize.params import QuantizeParams
from stages.select.params import SelectParams


def compute(
    cells: Sequence[Cell],
    arguments: Callable[[Cell], Sequence[str]],
    *,
    store: Store,
    lock: int,
    sweep: SweepParams,
    preload: Sequence[str] = (),
    done: int = 0,
    finished: Callable[[Cell], None] = lambda _: None,
    failed: Callable[[Cell, str], None] = lambda *_: None,
    artefacts: Callable[[], Mapping[str, str]] = dict,
) -> None:
    """Make every cell, by the runner that the params name; a failing cell does not stop the others.

    Parameters
    ----------
    cells : Sequence[Cell]
    arguments : Callable
        Cell to the arguments with which Python makes it.
    store : Store
    lock : int
        The store's.
    sweep : SweepParams
    preload : Sequence[str]
        Modules that the cells need; see `flows.execution.forkserver`.
    done, finished, failed, artefacts
        As `flows.execution.local.fan_out` takes them.

    Raises
    ------
    EdacError
        At the end, if any cell failed; names each with its reason.
    """
    from flows.execution import local  # a sweep with nothing to do need not wait for Prefect
    from flows.execution.prefect_server import server

    def job(cell: Cell) -> local.Job:
        commits = tuple(store.folder("variants", planned.key).absolute() for planned in cell.variants)
        tags = ("cell", cell.schedule) if cell.schedule else ("cell",)
        return local.Job(cell.title, tuple(arguments(cell)), store.log(cell.name).absolute(), commits, tags)

    setup = local.Setup(tuple(preload), sweep.threads)
    with contextlib.ExitStack() as stack:
        stack.enter_context(server())
        if sweep.runner == "dask":
            from flows.execution import dask

            crew = stack.enter_context(dask.dask(sweep, setup, store=store))
        else:
            crew = stack.enter_context(local.local(sweep, setup, lock=lock))
        local.fan_out(cells, job, crew, sweep=sweep, done=done, finished=finished, failed=failed, artefacts=artefacts)


def assemble(
    cells: Sequence[Cell], store: Store, target: Path, described: Mapping[str, Any] = MappingProxyType({})
) -> list[Variant]:
    """Copy from the store to `target` exactly what the grid asks for.

    Files are copied and not linked: what DVC does to its outputs must not reach the store.

    Parameters
    ----------
    cells : Sequence[Cell]
        All finished.
    store : Store
    target : Path
        Becomes a folder of `variants.json`, `<variant>.tflite`, `scores/<variant>.npz` and `history/<cell>.csv`, of
        a quantisation-aware fine-tuning `history/<variant>.csv`; and `sweep.json`.
    described : Mapping
        Content of `sweep.json`, by which what MLflow lacks can be logged later.

    Returns
    -------
    list[Variant]
        As in `variants.json`: the baseline first, then by name.

    Raises
    ------
    ModelError
        If a stored model file is not what it was when it was made.
    """
    variants = []
    with files.growing_folder(target, files.digest([asdict(cell) for cell in cells], dict(described))) as folder:
        for name in ("scores", "history"):
            (folder / name).mkdir(exist_ok=True)
        for cell in cells:
            history = store.folder("finetuned", cell.key) / "history.csv"
            if history.is_file():
                shutil.copyfile(history, folder / "history" / f"{cell.name}.csv")
            for planned in cell.variants:
                if planned.aware:
                    history = store.folder("finetuned", planned.aware) / "history.csv"
                    shutil.copyfile(history, folder / "history" / f"{planned.name}.csv")
                stored = store.folder("variants", planned.key)
                variant = read_variant(stored / "variant.json")
                if files.sha256(stored / "model.tflite") != variant.sha256:
                    raise ModelError(f"{stored} was changed after it was made. Remove that folder and run again.")
                shutil.copyfile(stored / "model.tflite", folder / f"{variant.name}.tflite")
                shutil.copyfile(stored / "scores.npz", folder / "scores" / f"{variant.name}.npz")
                variants.append(variant)
        variants.sort(key=lambda v: (v.schedule != "", v.name))
        write_variants(folder / "variants.json", variants)
        files.write_json(folder / records.SWEEP_FILE, dict(described))
    return variants


def run(
    cells: Sequence[Cell],
    arguments: Callable[[Cell], Sequence[str]],
    *,
    sweep: SweepParams,
    mlruns: Path,
    target: Path | None,
    preload: Sequence[str] = (),
    shown: Mapping[str, str] = MappingProxyType({}),
    experiment: str = records.EXPERIMENT,
    features: Path | None = None,
    retry_s: float = 5.0,
) -> list[Variant]:
    """Bring the store up to the grid, log what is in it, and assemble the stage's output.

    Parameters
    ----------
    cells : Sequence[Cell]
    arguments : Callable
        Cell to the arguments with which Python makes what the store lacks of it.
    sweep : SweepParams
    mlruns : Path
        MLflow's folder.
    target : Path or None
        As in `assemble`; None assembles nothing.
    preload : Sequence[str]
        As `compute` takes it.
    shown : Mapping
        Shown in MLflow beside the grid.
    experiment : str
        MLflow's: the task.
    features : Path or None
        Folder of the features stage, whose clips MLflow shows as the data.
    retry_s : float
        Wait before an MLflow that was away is asked again; the sweep goes on meanwhile.

    Returns
    -------
    list[Variant]

    Raises
    ------
    EdacError
        If a cell failed.
    """
    store = Store(sweep.store)

    def connect() -> connection.Tracker:
        tracker = connection.connect(mlruns, experiment)
        return tracker.with_data(features) if features else tracker

    grid = {
        name: getattr(sweep, name) for name in ("schedules", "sparsities", "schemes", "aware", "seeds", "distilled")
    }
    key = files.digest([asdict(cell) for cell in cells])
    parameters = {name: str(value) for name, value in {**grid, **shown}.items()}
    with store.lock() as lock, spooled(connect, key, parameters, retry_s=retry_s) as spool:

        def made(some: Sequence[Cell]) -> list[tuple[Variant, Path]]:
            keys = [planned.key for cell in some for planned in cell.variants if store.has("variants", planned.key)]
            folders = [store.folder("variants", key).absolute() for key in keys]
            return [(read_variant(folder / "variant.json"), folder / "model.tflite") for folder in folders]

        def log(cell: Cell) -> None:
            for variant, model in made([cell]):
                spool.variant(variant, model)

        spool.variants(made(cells))
        missing = [cell for cell in cells if not all(store.has("variants", planned.key) for planned in cell.variants)]
        if missing:
            compute(
                missing,
                arguments,
                store=store,
                lock=lock,
                sweep=sweep,
                preload=preload,
                done=len(cells) - len(missing),
                finished=log,
                failed=lambda cell, reason: spool.failure(cell.title, cell.key, reason),
                artefacts=lambda: page.artefacts([variant for variant, _ in made(cells)]),
            )
        if target is not None:
            return assemble(cells, store, target, {"key": key, "parameters": parameters})
        return [variant for variant, _ in made(cells)]


def _shown() -> dict[str, str]:
    """Return what tells sweeps apart beside their grids, such as those of other folds."""
    frontend, chosen = frontend_file.read(layout.FEATURES), params.read()
    rule = params.section("distill", Distillation)
    learns = rule.train and rule.enabled
    facts = {
        "architecture": network_file.read(layout.BASELINE).name,
        "frontend": frontend.frontend,
        "source": chosen.get("pull", {}).get("source", "demo"),
        "classes": len(frontend.labels),
        "fold": ",".join(str(fold) for fold in chosen.get("split", {}).get("folds", {}).get("test", ())) or "none",
        "teacher": f"{rule.teacher}, T {rule.temperature:g}, alpha {rule.alpha:g}" if learns else "none",
        "train_seed": chosen.get("train", {}).get("seed", 1234),
    }
    return {name: str(fact) for name, fact in facts.items()}


def project(sweep: SweepParams, target: Path | None = None) -> list[Variant]:
    """Sweep a grid; everything else is as this folder and its `params.yaml` have it.

    Parameters
    ----------
    sweep : SweepParams
    target : Path or None
        As `run` takes it.

    Returns
    -------
    list[Variant]

    Raises
    ------
    EdacError
        If a parameter is invalid or a cell failed.
    """
    prune = params.section("prune", PruneParams)
    quantize, evaluate = params.section("quantize", QuantizeParams), params.section("evaluate", EvaluateParams)
    paths = {"baseline": layout.BASELINE.absolute(), "features": layout.FEATURES.absolute()}
    taught = teacher_folder(layout.TEACHER.absolute(), params.section("distill", Distillation))
    cells = plan(sweep, prune, quantize, evaluate, **paths, teaching=taught)
    store = Store(sweep.store.absolute())

    def arguments(cell: Cell) -> tuple[str, ...]:
        spec = Spec(cell, store.root, sweep.threads, prune, quantize, evaluate, **paths, teaching=taught)
        return arguments_for(spec, store.log(cell.name).with_suffix(".json"))

    return run(
        cells,
        arguments,
        sweep=sweep,
        mlruns=layout.MLRUNS,
        target=target,
        preload=preload_for(cells, store),
        shown=_shown(),
        experiment=params.section("select", SelectParams).registered_name,
        features=layout.FEATURES,
    )
