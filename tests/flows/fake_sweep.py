"""A sweep to be killed: `fake_sweep.py FOLDER CELL...`, with the arrangement of the real one."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from fake_cell import fake_command, make_cell  # type: ignore[import-not-found]

from flows import sweep
from flows.params import SweepParams

if __name__ == "__main__":
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    params = SweepParams(schemes=("float32",), workers=2, store=folder / "cells")
    cells = [make_cell(name) for name in names]
    command = fake_command(params.store, "slow")
    sweep.run(cells, command, sweep=params, mlruns=folder / "mlruns", target=folder / "sweep")
