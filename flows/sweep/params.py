"""The `sweep` section of `params.yaml`."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stages.core.project import lazy
from stages.core.project.errors import require
from stages.core.project.params import formerly

if TYPE_CHECKING:
    from prefect.client.schemas import schedules as prefect_schedules
else:
    prefect_schedules = lazy.module("prefect.client.schemas.schedules")  # a second, which most sweeps need not wait


@dataclass(frozen=True)
class DaskParams:
    """Dask cluster that runs the cells.

    Attributes
    ----------
    address : str or None
        Address of a running scheduler, for example ``"tcp://10.0.0.5:8786"``; its workers decide how many cells run at
        a time. None starts a cluster on this machine for the duration of the sweep.
    """

    address: str | None = None

    def __post_init__(self) -> None:
        """Check the address."""
        good = self.address is None or re.fullmatch(r"(tcp|tls|ws|wss|ucx)://.+:\d+", self.address)
        advice = "`dask scheduler` prints it."
        require(bool(good), "sweep.dask.address", "be like tcp://HOST:PORT", self.address, advice)


@dataclass(frozen=True)
class SweepParams:
    """The grid, and how its cells are run.

    Attributes
    ----------
    schemes : tuple[str, ...]
        Quantisation schemes, files of ``stages/quantize/schemes/``. Every cell gives one model file per scheme.
    qat_schemes : tuple[str, ...]
        Schemes trained with quantisation-aware training (`quantize.aware`). Every cell gives one more model file per
        scheme listed here.
    criteria : tuple[str, ...]
        Pruning criteria, files of ``stages/prune/criteria/``.
    schedules : tuple[str, ...]
        Pruning schedules, files of ``stages/prune/schedules/``.
    sparsities : tuple[float, ...]
        Target fractions of zeros, in [0, 1). The unpruned baseline is part of every sweep; 0 adds a fine-tuning without
        pruning.
    seeds : tuple[int, ...]
        Seeds of the fine-tuning.
    distilled : tuple[bool, ...]
        Whether fine-tuning, for pruning and for quantisation-aware training, also learns from the teacher (`distill`).
        `distill.train` decides that for the baseline.
    runner : {"local", "dask"}
        Executor of the cells: threads of this process, or Dask workers. Either way each cell runs in a process of its
        own, and the models are the same byte for byte.
    dask : DaskParams
        Dask cluster; read only if `runner` is ``"dask"``.
    workers : int or None
        Cells that run at a time, each in a process of its own. None: as many as processors and memory allow.
    threads : int
        Threads of each cell. Part of a fine-tuning's key, since it decides the order of summation; never derived from
        the machine, which would give different models on different machines.
    cell_timeout_s : float
        Time limit of a cell in seconds. A cell that exceeds it is killed and counts as failed.
    retries : int
        Retries of a cell that was killed, ran out of memory or lost its worker.
    retry_delay_s : float
        Wait before the first retry in seconds; each further wait is twice as long.
    store : Path
        Folder of the finished cells.
    nightly : str or None
        When `make ui` runs the pipeline from pull to select: a cron expression in UTC, for example ``"0 2 * * *"``.
        None: never.
    """

    schemes: tuple[str, ...]
    qat_schemes: tuple[str, ...] = formerly("aware", default=())
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
        for name in ("schemes", "qat_schemes", "criteria", "schedules", "sparsities", "seeds", "distilled"):
            values = getattr(self, name)
            once = len(set(values)) == len(values)
            require(once, f"sweep.{name}", "name each value once", list(values), "Remove the repetition.")
        rule = "contain float32, the reference for sizes"
        require("float32" in self.schemes, "sweep.schemes", rule, list(self.schemes), "Add it.")
        require(len(self.seeds) > 0, "sweep.seeds", "contain at least one seed", [], "Try [1234].")
        require(len(self.distilled) > 0, "sweep.distilled", "contain false, true or both", [], "Write [false].")
        workers = self.workers is None or self.workers >= 1
        require(workers, "sweep.workers", "be at least 1, or null", self.workers)
        require(self.threads >= 1, "sweep.threads", "be at least 1", self.threads)
        require(self.cell_timeout_s > 0, "sweep.cell_timeout_s", "be positive", self.cell_timeout_s)
        require(0 <= self.retries <= 10, "sweep.retries", "be in [0, 10]", self.retries)
        cron = self.nightly is None or _is_cron(self.nightly)
        require(cron, "sweep.nightly", "be a cron expression or null", self.nightly, 'Try "0 2 * * *".')
        require(self.retry_delay_s >= 0, "sweep.retry_delay_s", "not be negative", self.retry_delay_s)


def _is_cron(text: str) -> bool:
    try:
        prefect_schedules.CronSchedule(cron=text)
    except ValueError:
        return False
    return True
