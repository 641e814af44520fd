"""One experiment of MLflow: what runs and the registry have in common."""

import contextlib
import gc
import socket
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from stages.core.artifacts.estimates import ThresholdRule
from stages.core.tracking import environment  # noqa: F401  before MLflow reads it

# isort: split

import mlflow
from mlflow.entities import DatasetInput, Metric, Run
from mlflow.exceptions import MlflowException

from stages.core.project.errors import DataError
from stages.core.tracking.moved import HOST
from stages.core.tracking.records import plain

IMPLIED = ("pooled", "metrics", "value")
FEW = 20  # variants for which an answer about all of an experiment takes longer than one about each
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND")
_REFUSED = "BAD_REQUEST"  # by the database: another process added the same data first, and now it is there


@dataclass(frozen=True)
class Experiment:
    """An MLflow experiment, its runs found by their tags.

    Attributes
    ----------
    client : mlflow.MlflowClient
    experiment_id : str
    data : tuple[mlflow.entities.DatasetInput, ...]
        Data sets that every run is linked to; see `stages.core.tracking.runs.Runs.with_data`.
    tags : dict[str, str]
        Tags of every run: the commit of the project's folder.
    """

    client: mlflow.MlflowClient
    experiment_id: str
    data: tuple[DatasetInput, ...] = field(default=(), repr=False)
    tags: dict[str, str] = field(default_factory=dict)

    def _create(self, name: str, tags: Mapping[str, str]) -> str:
        run = self.client.create_run(self.experiment_id, run_name=name, tags={**tags, **self.tags, HOST: here()})
        return run.info.run_id

    def _log_data(self, run_id: str) -> None:
        if not self.data:
            return
        try:
            self.client.log_inputs(run_id, datasets=list(self.data))
        except MlflowException as error:
            if error.error_code != _REFUSED:
                raise
            self.client.log_inputs(run_id, datasets=list(self.data))

    def _close_open_runs(self) -> None:
        for run in self._runs(f"attributes.status = 'RUNNING' and tags.`{HOST}` = '{here()}'"):
            self.client.set_terminated(run.info.run_id, "KILLED")

    def _variant_run(self, key: str) -> Run | None:
        return next(iter(self._runs(f"tags.`edac.key` = '{key}' and attributes.status = 'FINISHED'")), None)

    def _variant_runs(self, keys: Collection[str]) -> dict[str, Run]:
        if len(keys) < FEW:
            return {key: run for key in keys if (run := self._variant_run(key))}
        runs = self._runs("tags.`edac.key` LIKE '%' and attributes.status = 'FINISHED'")
        return {run.data.tags["edac.key"]: run for run in runs}

    def _runs(self, which: str) -> list[Run]:
        runs: list[Run] = []
        token = None
        while True:
            with _uncollected():
                page = self.client.search_runs([self.experiment_id], which, page_token=token)
            runs.extend(page)
            token = page.token
            if not token:
                return runs


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the numbers of nested mappings and dataclasses under names joined with dots, e.g. ``test.roc_auc.low``.

    Levels that every figure has (`IMPLIED`) are not part of its name; None, which is undefined, is left out.
    """
    result: dict[str, float] = {}
    for name, value in values.items():
        path = prefix if name in IMPLIED else f"{prefix}.{name}".lstrip(".")
        if isinstance(value, ThresholdRule):
            continue  # a rule, and no figure
        if is_dataclass(value):
            result |= flat(vars(value), path)
        elif isinstance(value, Mapping):
            result |= flat(value, path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            result[path] = float(value)
    return result


def metrics_of(values: Mapping[str, Any]) -> list[Metric]:
    """Return nested figures as MLflow's metrics of now."""
    now = int(time.time() * 1000)
    return [Metric(plain(name), value, now, 0) for name, value in flat(values).items()]


@contextlib.contextmanager
def absent_is(sentence: str) -> Iterator[None]:
    """Turn MLflow's error for something that does not exist into a `DataError` with this sentence."""
    try:
        yield
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        raise DataError(sentence) from None


def here() -> str:
    """Return this machine and folder, the tag of the runs that they own."""
    return f"{socket.gethostname()}:{Path.cwd()}"


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keep Python from looking for cycles among the objects that MLflow makes of each row: two thirds of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
