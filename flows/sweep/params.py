"""The `sweep` section of `params.yaml`."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stages.core.project.errors import require


@dataclass(frozen=True)
class DaskParams:
    """The Dask cluster that runs the cells.

    Attributes
    ----------
    address : str or None
        Of a scheduler that runs already, e.g. ``"tcp://10.0.0.5:8786"``; its workers, and their number, are its own.
        None starts a cluster on this machine, for the time of the sweep.
    """

    address: str | None = None

    def __post_init__(self) -> None:
        """Check the address."""
        good = self.address is None or re.fullmatch(r"(tcp|tls|ws|wss|ucx)://.+:\d+", self.address)
        require(bool(good), "sweep.dask.address", "be like tcp://HOST:PORT", self.address, "`dask scheduler` tells it.")


@dataclass(frozen=True)
class SweepParams:
    """The grid, and how its cells are run.

    Attributes
    ----------
    schemes : tuple[str, ...]
        Quantisation schemes, files of ``stages/quantize/schemes/``; every cell gives one model file per scheme.
    aware : tuple[str, ...]
        Schemes that every cell is also fine-tuned for, with the integers in place (`quantize.aware`), which gives
        one more model file each.
    criteria : tuple[str, ...]
        Files of ``stages/prune/criteria/``.
    schedules : tuple[str, ...]
        Files of ``stages/prune/schedules/``.
    sparsities : tuple[float, ...]
        Fractions in [0, 1). The unpruned baseline is part of every sweep; 0 adds a fine-tuning without pruning.
    seeds : tuple[int, ...]
        Of the fine-tuning.
    distilled : tuple[bool, ...]
        Whether fine-tuning, pruning and quantisation-aware, learns from the teacher (`distill`) too. Whether the
        baseline does is `distill.train`.
    runner : {"local", "dask"}
        What cells are handed to: threads of this process, or Dask's workers. Either way each cell is made in a process
        of its own, and the models are the same to the byte.
    dask : DaskParams
    workers : int or None
        Cells run at a time, each in a process of its own. None: as many as processors and memory allow.
    threads : int
        Threads of each cell. Part of a fine-tuning's identity: it decides the order of summation. So it is never chosen
        for the machine, which would give other models on another one.
    cell_timeout_s : float
        A cell that takes longer is killed and counted as failed.
    retries : int
        How often a cell is tried again that was killed, ran out of memory or lost its worker.
    retry_delay_s : float
        Wait before the first of these; each further one waits twice as long.
    store : Path
        Folder of the finished cells.
    nightly : str or None
        When `make ui` runs the pipeline from pull to select, as a cron expression in UTC, e.g. ``"0 2 * * *"``.
    """

    schemes: tuple[str, ...]
    aware: tuple[str, ...] = ()
    criteria: tuple[str, ...] = ("magnitude",)
    schedules: tuple[str, ...] = ()
    sparsities: tuple[float, ...] = ()
    seeds: tuple[int, ...] = (1234,)
    distilled: tuple[bool, ...] = (False,)
    runner: Literal["local", "dask"] = "local"
    dask: DaskParams = field(default_factory=DaskParams)
    workers: int | None = None
    threads: int = 1
    cell_timeout_s: float = 3600.0
    retries: int = 2
    retry_delay_s: float = 10.0
    store: Path = Path("models/cells")
    nightly: str | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        for i, sparsity in enumerate(self.sparsities):
            advice = f"Write {sparsity / 100:g} for {sparsity:g} %." if 1 <= sparsity < 100 else ""
            got = int(sparsity) if sparsity == int(sparsity) else sparsity
            require(0 <= sparsity < 1, f"sweep.sparsities[{i}]", "be a fraction in [0, 1)", got, advice)
        for i, seed in enumerate(self.seeds):
            require(0 <= seed < 2**32, f"sweep.seeds[{i}]", "be in [0, 2**32)", seed)
        for name in ("schemes", "aware", "criteria", "schedules", "sparsities", "seeds", "distilled"):
            values = getattr(self, name)
            once = len(set(values)) == len(values)
            require(once, f"sweep.{name}", "name each value once", list(values), "Remove the repetition.")
        reference = "float32" in self.schemes
        require(
            reference, "sweep.schemes", "hold float32, which sizes are compared with", list(self.schemes), "Add it."
        )
        require(len(self.seeds) > 0, "sweep.seeds", "hold at least one seed", [], "Try [1234].")
        require(len(self.distilled) > 0, "sweep.distilled", "hold false, true or both", [], "Write [false].")
        some = self.workers is None or self.workers >= 1
        require(some, "sweep.workers", "be at least 1, or null", self.workers)
        require(self.threads >= 1, "sweep.threads", "be at least 1", self.threads)
        require(self.cell_timeout_s > 0, "sweep.cell_timeout_s", "be positive", self.cell_timeout_s)
        require(0 <= self.retries <= 10, "sweep.retries", "be in [0, 10]", self.retries)
        cron = self.nightly is None or _is_cron(self.nightly)
        require(cron, "sweep.nightly", "be a cron expression or null", self.nightly, 'Try "0 2 * * *".')
        require(self.retry_delay_s >= 0, "sweep.retry_delay_s", "not be negative", self.retry_delay_s)


def _is_cron(text: str) -> bool:
    from prefect.client.schemas.schedules import CronSchedule  # takes a second, which most sweeps need not wait

    try:
        CronSchedule(cron=text)
    except ValueError:
        return False
    return True
