"""The sweep: makes every cell that the store lacks, logs it to MLflow and assembles the stage's output.

`python -m flows.sweep` is the DVC stage. A killed or failed sweep resumes when it is run again; a larger grid costs its
new cells alone.
"""

from dataclasses import asdict
from pathlib import Path

from flows.sweep.assemble import assemble
from flows.sweep.params import SweepParams
from flows.sweep.store import Store
from flows.sweep.work import Tracking, Work
from stages.core.artifacts.sweep import SweepDescription
from stages.core.artifacts.variant import Variant
from stages.core.project import files
from stages.core.tracking.spool import spooled

AXES = ("criteria", "schedules", "sparsities", "schemes", "qat_schemes", "seeds", "distilled")


def run(work: Work, sweep: SweepParams, tracking: Tracking, target: Path | None = None) -> list[Variant]:
    """Bring the store up to the grid, log its results to MLflow, and assemble the stage's output.

    Parameters
    ----------
    work : Work
    sweep : SweepParams
    tracking : Tracking
    target : Path or None
        Folder of the output, see `flows.sweep.assemble`; None assembles nothing.

    Returns
    -------
    list[Variant]
        Variants of the grid, in the output's order if there is one.

    Raises
    ------
    EdacError
        If a cell failed, after all others are finished; names each with its reason.
    """
    cells, store = work.cells, Store(sweep.store)
    key = files.digest([asdict(cell) for cell in cells])
    parameters = {name: str(getattr(sweep, name)) for name in AXES} | dict(tracking.parameters)
    with store.lock() as lock, spooled(tracking.connect, key, parameters, retry_s=tracking.retry_s) as spool:
        store.discard_damaged(cells)
        spool.variants(store.finished(cells))
        if not all(store.has_variants(cell) for cell in cells):
            from flows.sweep.compute import compute  # imports Prefect, which takes seconds

            compute(work, sweep, store, lock, spool)
        if target is not None:
            return assemble(cells, store, target, SweepDescription(key, parameters))
        return [variant for variant, _ in store.finished(cells)]
