"""A sweep to be killed: `fake_sweep.py FOLDER MODE DASK CELL...`, with the arrangement of the real one.

DASK is empty for the local runner, the address of a scheduler, or `null` for a cluster of the sweep's own: one worker.
"""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from fake_cell import fake_arguments, make_cell  # type: ignore[import-not-found]

from flows.sweep.params import DaskParams, SweepParams
from flows.sweep.run import run
from flows.sweep.work import Tracking, Work

if __name__ == "__main__":
    folder, mode, dask, names = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
    params = SweepParams(schemes=("float32",), workers=2, store=folder / "cells")
    if dask:
        params = replace(params, runner="dask", dask=DaskParams(None if dask == "null" else dask))
        params = replace(params, workers=1 if dask == "null" else 2)
    cells = [make_cell(name) for name in names]
    work = Work(cells, fake_arguments(params.store, mode))
    run(work, params, Tracking(folder / "mlruns"), folder / "sweep")
