"""`make ui` and `flows.serve` on cells that take no time, in a project of three stages.

`fake_serve.py ui` stands in for `flows.ui`, `fake_serve.py` for `flows.serve`, `fake_serve.py sweep` for `flows.sweep`.
"""

import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from fake_cell import fake_arguments, make_cell  # type: ignore[import-not-found]

from flows import serve, ui
from flows.sweep import project
from flows.sweep.params import SweepParams
from flows.sweep.run import run
from flows.sweep.work import Tracking, Work
from stages.core.artifacts.variant import Variant
from stages.core.project import errors, params

PARAMS = """
sweep:
  schemes: [float32]
  schedules: [constant]
  sparsities: [0.5]
  workers: 2
  nightly: "0 2 * * *"
"""
STAGE = "  {name}:\n    cmd: {cmd}\n    deps: [{dep}]\n    outs: [{out}]\n"


def make_project(folder: Path) -> None:
    """Write what `dvc init` and the flows need."""
    (folder / "params.yaml").write_text(PARAMS)
    stages = (
        {"name": "train", "cmd": "cp params.yaml baseline", "dep": "params.yaml", "out": "baseline"},
        {"name": "sweep", "cmd": f"{sys.executable} {__file__} sweep", "dep": "baseline", "out": "models/sweep"},
        {"name": "select", "cmd": "touch selected", "dep": "models/sweep", "out": "selected"},
    )
    (folder / "dvc.yaml").write_text("stages:\n" + "".join(STAGE.format(**stage) for stage in stages))


def sweep_project(section: SweepParams, target: Path | None = None) -> list[Variant]:
    fine_tunings = itertools.product(section.schedules, section.sparsities, section.seeds)
    cells = [make_cell("-".join(map(str, each)), section.schemes) for each in fine_tunings]
    return run(Work(cells, fake_arguments(section.store.absolute())), section, Tracking(Path("mlruns")), target)


vars(project)["sweep_project"] = sweep_project
grid, pipeline = serve.grid, serve.pipeline
grid.__module__ = pipeline.__module__ = __name__  # flow runs load this file and so the fakes
vars(ui)["DEPLOYMENTS"] = (__file__,)

if __name__ == "__main__":
    if sys.argv[1:] == ["ui"]:
        errors.run(ui.main)
    elif sys.argv[1:] == ["sweep"]:
        sweep_project(params.section("sweep", SweepParams), Path("models/sweep"))
    else:
        serve.main()
