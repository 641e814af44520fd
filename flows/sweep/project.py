"""A sweep of this project: its folders and `params.yaml` determine everything besides the grid."""

from pathlib import Path

from flows.sweep.cell import Spec, arguments_for, preload_for
from flows.sweep.grid import Cell, Sources
from flows.sweep.inputs import SweepInputs
from flows.sweep.memory import job_bytes
from flows.sweep.params import SweepParams
from flows.sweep.plan import plan
from flows.sweep.run import run
from flows.sweep.store import Store
from flows.sweep.work import Tracking, Work
from stages.core.artifacts import frontend as frontend_file
from stages.core.artifacts import network as network_file
from stages.core.artifacts.variant import Variant
from stages.core.project import layout, params
from stages.core.training.teacher import Distillation, teacher_folder
from stages.evaluate.params import EvaluateParams
from stages.prune.params import PruneParams
from stages.quantize.params import QuantizeParams
from stages.select.params import SelectParams


def sweep_project(sweep: SweepParams, target: Path | None = None) -> list[Variant]:
    """Sweep a grid in this folder.

    Parameters
    ----------
    sweep : SweepParams
        The grid.
    target : Path or None
        Folder of the output; None assembles nothing.

    Returns
    -------
    list[Variant]

    Raises
    ------
    EdacError
        If a parameter is invalid or a cell failed.
    """
    inputs = read_inputs()
    cells, store = plan(sweep, inputs), Store(sweep.store.absolute())

    def arguments(cell: Cell) -> tuple[str, ...]:
        spec = Spec(cell, store.root, sweep.threads, inputs)
        return arguments_for(spec, store.log(cell.name).with_suffix(".json"))

    select = params.section("select", SelectParams)
    work = Work(cells, arguments, preload_for(cells, store), select.metric, job_bytes(inputs))
    return run(work, sweep, Tracking(layout.MLRUNS, select.registered_name, described(), layout.FEATURES), target)


def read_inputs() -> SweepInputs:
    """Return this folder's inputs of a sweep.

    Raises
    ------
    ParameterError
        If a section of `params.yaml` is invalid.
    """
    teacher = teacher_folder(layout.TEACHER.absolute(), params.section("distill", Distillation))
    return SweepInputs(
        Sources(layout.BASELINE.absolute(), layout.FEATURES.absolute(), teacher),
        params.section("prune", PruneParams),
        params.section("quantize", QuantizeParams),
        params.section("evaluate", EvaluateParams),
    )


def described() -> dict[str, str]:
    """Return the parameters of the sweep's run that tell it from sweeps of other folds, networks and recordings."""
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
