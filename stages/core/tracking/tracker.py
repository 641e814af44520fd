"""MLflow: every variant a run, every sweep their parent, and the registry a deployable variant is picked from.

The only import of mlflow, `registered_model.py` excepted. One experiment per task, named as its registered model.
Everything here may be repeated: what is logged or registered already is recognised by its key or sha256 and left
alone, so that a killed run needs no repair. MLflow that does not answer is an `AwayError`;
`stages.core.tracking.spool` waits.
"""

import contextlib
import fcntl
import gc
import importlib.metadata
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # MLflow's own seven go on for minutes
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")

import mlflow
import numpy as np
import pandas as pd
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import DatasetInput, InputTag, Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import (
    MLFLOW_DATASET_CONTEXT,
    MLFLOW_GIT_COMMIT,
    MLFLOW_GIT_DIRTY,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NOTE,
)
from sqlalchemy.exc import SQLAlchemyError

from stages.core.artifacts.variant import Variant, read_variants
from stages.core.project import files, params, provenance
from stages.core.project.errors import DataError, EdacError

DATABASE = "mlflow.db"
EXPERIMENT = "edac"
CHAMPION = "champion"
CANDIDATE = "candidate"
SWEEP_FILE = "sweep.json"
_HERE = "edac.host"
_IMPLIED = ("pooled", "metrics", "value")
_SWEEP = "edac.sweep"  # tag of a sweep's own run: the digest of its grid
_MEMBER = "edac.in."  # and the id of a sweep: tag of the variants that it shares with the sweep that made them
_RELEASE = "release"  # tag of a version: where among its run's artefacts what a release is made of lies
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND")
_AWAY = ("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR")  # the latter also of a server that cannot be reached
_REFUSED = "BAD_REQUEST"  # by the database: another process added the same data first, and now it is there
_FEW = 20  # variants for which an answer about all of an experiment takes longer than one about each
_CONNECT_S = 5.0
_NEEDED = ("mlflow", "numpy", "ai-edge-litert")  # by a registered model


class AwayError(EdacError):
    """MLflow does not answer now, and may later."""


@dataclass(frozen=True)
class Sweep:
    """A sweep as MLflow knows it.

    Attributes
    ----------
    run_id, name : str
        Such as ``"sweep-0123abcd"``.
    status : str
    parameters : dict[str, str]
    """

    run_id: str
    name: str
    status: str
    parameters: dict[str, str]


@dataclass(frozen=True)
class Logged:
    """A variant as MLflow knows it; see `stages.core.artifacts.variant.Variant` for what the fields mean.

    Attributes
    ----------
    run_id, name, sha256, criterion, schedule, scheme : str
    sparsity : float
    bit_width, seed : int
    figures : dict[str, float]
        Everything measured, e.g. ``deflated_bytes``, ``latency_p50_ms``, ``test.n``, ``test.roc_auc``,
        ``test.roc_auc.low``, ``device.<device>.together_ms.p50``.
    plain : bool
        Fine-tuned neither for its scheme nor by a teacher, as in published tables.
    """

    run_id: str
    name: str
    sha256: str
    criterion: str
    schedule: str
    sparsity: float
    scheme: str
    bit_width: int
    seed: int
    figures: dict[str, float]
    plain: bool = True


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    Attributes
    ----------
    number : int
    aliases : tuple[str, ...]
    tags : dict[str, str]
    description : str
    run_id : str
    """

    number: int
    aliases: tuple[str, ...]
    tags: dict[str, str]
    description: str
    run_id: str

    def device(self, name: str) -> dict[str, Any]:
        """Return what a device measured, as `Tracker.add_device_metrics` got it; {} if it measured nothing."""
        figures: dict[str, Any] = json.loads(self.tags.get(_plain(f"device.{name}"), "{}"))
        return figures


@dataclass(frozen=True)
class Tracker:
    """An MLflow experiment to write to.

    Attributes
    ----------
    client : mlflow.MlflowClient
    experiment_id : str
    data : tuple[mlflow.entities.DatasetInput, ...]
        What every sweep and variant is made and judged on; see `with_data`.
    tags : dict[str, str]
        Of every run: the commit of the project's folder.
    """

    client: mlflow.MlflowClient
    experiment_id: str
    data: tuple[DatasetInput, ...] = field(default=(), repr=False)
    tags: dict[str, str] = field(default_factory=dict)

    def with_data(self, features: Path) -> "Tracker":
        """Return a tracker whose runs name the data: a dataset per side of the split, its digest that of its clips.

        Parameters
        ----------
        features : Path
            Folder of the features stage.
        """
        table = pd.read_csv(features / "clips.csv", dtype=str, keep_default_na=False)
        name, inputs = self.client.get_experiment(self.experiment_id).name, []
        for side, clips in table[["clip_id", "split", "label", "group", "site"]].groupby("split", sort=True):
            digest = files.digest(clips.to_csv(index=False))[:32]  # of MLflow's at most 36
            source = str(features / "clips.csv")
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", category=UserWarning)  # MLflow has two names for a local file
                data = from_pandas(clips, source=source, targets="label", name=f"{name} {side}", digest=digest)
            context = InputTag(MLFLOW_DATASET_CONTEXT, str(side))
            inputs.append(DatasetInput(data._to_mlflow_entity(), [context]))
        return replace(self, data=tuple(inputs))

    @contextlib.contextmanager
    def sweep(self, key: str, parameters: Mapping[str, Any]) -> Iterator[str]:
        """Hold the sweep's own run open: `open_sweep`, and at the end `close_sweep` as FINISHED or FAILED.

        Yields
        ------
        str
            The run's id, the `parent` of `log_variant`.
        """
        run_id, status = self.open_sweep(key, parameters), "FAILED"
        try:
            yield run_id
            status = "FINISHED"
        finally:
            self.close_sweep(run_id, status)

    def open_sweep(self, key: str, parameters: Mapping[str, Any]) -> str:
        """Open the sweep's own run, the one of an earlier attempt if there is one.

        Runs that earlier attempts from this folder left open (kill -9) are closed as KILLED first: call this while no
        other sweep of this folder is under way.

        Parameters
        ----------
        key : str
            Digest of the grid.
        parameters : Mapping
            Plain values.

        Returns
        -------
        str
            The run's id.
        """
        self._close_open_runs()
        earlier = self._runs(f"tags.`{_SWEEP}` = '{key}'")
        if earlier:
            run_id = earlier[0].info.run_id
            self.client.update_run(run_id, "RUNNING")
        else:
            run_id = self._create(f"sweep-{key[:8]}", {_SWEEP: key})
        self.client.log_batch(run_id, params=[Param(name, str(value)) for name, value in parameters.items()])
        self._log_data(run_id)
        return run_id

    def close_sweep(self, run_id: str, status: str) -> None:
        """Close the sweep's own run as ``"FINISHED"`` or ``"FAILED"``, and as KILLED what a lost answer left open."""
        self.client.set_terminated(run_id, status)
        self._close_open_runs()

    def keys(self, sweep: str) -> set[str]:
        """Return the keys of the finished variants of a sweep, given the id of its run."""
        return {run.data.tags["edac.key"] for run in self._members(sweep)}

    def log_sweep(self, folder: Path) -> int:
        """Log what MLflow lacks of an assembled sweep, as where it was away while the sweep ran.

        Parameters
        ----------
        folder : Path
            Of `variants.json`, `<variant>.tflite` and `SWEEP_FILE`, which holds the `key` and the `parameters` of
            `open_sweep`.

        Returns
        -------
        int
            How many variants were logged.
        """
        described = files.read_json(folder / SWEEP_FILE)
        variants = read_variants(folder / "variants.json")
        earlier = self._runs(f"tags.`{_SWEEP}` = '{described['key']}' and attributes.status = 'FINISHED'")
        known = self.keys(earlier[0].info.run_id) if earlier else set()
        missing = [variant for variant in variants if variant.key not in known]
        if missing or not earlier:
            with self.sweep(described["key"], described["parameters"]) as parent:
                self.log_variants([(variant, folder / f"{variant.name}.tflite") for variant in missing], parent)
        return len(missing)

    def log_variant(self, variant: Variant, model: Path, parent: str | None = None) -> str:
        """Make a finished run of a variant, with its model file, unless there is one.

        Parameters
        ----------
        variant : Variant
        model : Path
            Its model file; becomes the artefact ``<name>.tflite``.
        parent : str or None
            From `sweep`.

        Returns
        -------
        str
            The run's id.
        """
        return self._log_variant(variant, model, parent, self._variant_run(variant.key))

    def log_variants(self, variants: Sequence[tuple[Variant, Path]], parent: str) -> None:
        """Do for many what `log_variant` does for one, asking MLflow once which of them it has; for few, one by one.

        Parameters
        ----------
        variants : Sequence
            Variants, no two alike, with their model files.
        parent : str
            From `sweep`.
        """
        known = self._variant_runs([variant.key for variant, _ in variants])
        for variant, model in variants:
            self._log_variant(variant, model, parent, known.get(variant.key))

    def _log_variant(self, variant: Variant, model: Path, parent: str | None, known: Run | None) -> str:
        if known:
            tags = known.data.tags
            if parent and tags.get(MLFLOW_PARENT_RUN_ID) != parent and _MEMBER + parent not in tags:
                self.client.set_tag(known.info.run_id, _MEMBER + parent, "yes")
            return known.info.run_id
        tags = {"edac.key": variant.key, "sha256": variant.sha256, "scheme": variant.scheme}
        run_id = self._create(variant.name, tags | ({MLFLOW_PARENT_RUN_ID: parent} if parent else {}))
        with tempfile.TemporaryDirectory() as folder:
            self.client.log_artifact(run_id, str(shutil.copyfile(model, Path(folder) / f"{variant.name}.tflite")))
        shown = ("criterion", "schedule", "sparsity", "scheme", "aware", "distilled", "bit_width", "seed")
        measured = (
            "raw_bytes",
            "deflated_bytes",
            "mean_bits",
            "parameters",
            "flops",
            "measured_sparsity",
            "keras_difference",
        )
        details = {"weights": variant.weights, "calibration": variant.calibration}
        self._log_data(run_id)
        self.client.log_batch(
            run_id,
            metrics=_metrics({name: getattr(variant, name) for name in measured} | variant.metrics),
            params=[Param(name, str(getattr(variant, name))) for name in shown]
            + [Param(f"{group}.{name}", str(value)) for group in details for name, value in details[group].items()],
        )
        self.client.set_terminated(run_id, "FINISHED")
        return run_id

    def log_failure(self, title: str, key: str, reason: str, parent: str) -> None:
        """Make a failed run of a cell: its error is a tag and the run's description.

        Parameters
        ----------
        title : str
            The cell's, for people.
        key : str
        reason : str
            A sentence.
        parent : str
            From `sweep`.
        """
        tags = {"edac.cell": key, "error": reason, MLFLOW_RUN_NOTE: reason, MLFLOW_PARENT_RUN_ID: parent}
        self.client.set_terminated(self._create(title, tags), "FAILED")

    def add_metrics(self, metrics: Mapping[str, Mapping[str, Any]]) -> set[str]:
        """Add figures that were measured later, such as latencies, to variants' runs.

        Parameters
        ----------
        metrics : Mapping
            By the variants' keys. May be nested; the names are joined with dots.

        Returns
        -------
        set[str]
            The keys of variants that have a run here; others have none in a clone whose models came with `dvc pull`.
        """
        known = self._variant_runs(metrics)
        for key, run in known.items():
            if key in metrics:
                self.client.log_batch(run.info.run_id, metrics=_metrics(metrics[key]))
        return known.keys() & metrics.keys()

    def log_report(self, folder: Path, report: Path) -> None:
        """Attach a report to the run of an assembled sweep.

        Parameters
        ----------
        folder : Path
            As `log_sweep` takes it.
        report : Path
            A file.
        """
        self.log_sweep(folder)
        key = files.read_json(folder / SWEEP_FILE)["key"]
        run = self._runs(f"tags.`{_SWEEP}` = '{key}' and attributes.status = 'FINISHED'")[0]
        self.client.log_artifact(run.info.run_id, str(report))

    def register(
        self,
        name: str,
        variant: Variant,
        *,
        release: Path,
        example: np.ndarray,
        n_outputs: int,
        tags: Mapping[str, Any],
        description: str = "",
    ) -> int:
        """Register a variant as a loadable model, waveforms in and scores out.

        Parameters
        ----------
        name : str
            Of the registered model.
        variant : Variant
        release : Path
            Folder of all that a release is made of, `model.tflite` and `frontend.tflite` among it; see `download`.
        example : np.ndarray, shape (n, clip_samples), float32
            Waveforms as the model takes them.
        n_outputs : int
            Scores per waveform.
        tags : Mapping
            Shown with the version, e.g. the test figures.
        description : str
            Markdown.

        Returns
        -------
        int
            The version; the one there is if this file was registered under this name before.
        """
        version = self.version(name, variant.sha256)
        if version is None:
            run_id = self.log_variant(variant, release / "model.tflite")
            with tempfile.TemporaryDirectory() as folder:
                _save_pyfunc(Path(folder), release, example=example, n_outputs=n_outputs)
                self.client.log_artifacts(run_id, str(Path(folder) / "model"), "model")
            if not self.client.search_registered_models(f"name = '{name}'"):
                self.client.create_registered_model(name)
            created = self.client.create_model_version(
                name, source=f"runs:/{run_id}/model", run_id=run_id, tags={"sha256": variant.sha256}
            )
            version = int(created.version)
        run_id = self._run_of(name, version)
        place = f"release/{_digest(release)[:12]}"
        self.client.log_artifacts(run_id, str(release), place)
        for tag, value in {**tags, _RELEASE: place}.items():
            self.client.set_model_version_tag(name, str(version), tag, str(value))
        self.client.update_model_version(name, str(version), description)
        return version

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Make an alias of a registered model point at one of its versions."""
        self.client.set_registered_model_alias(name, alias, str(version))

    def versions(self, name: str) -> list[Version]:
        """Return the versions of a registered model, the newest first; none if there is no such model."""
        aliases: dict[int, list[str]] = {}
        for model in self.client.search_registered_models(f"name = '{name}'"):
            for alias, number in sorted(self.client.get_registered_model(model.name).aliases.items()):
                aliases.setdefault(int(number), []).append(alias)
        found = [
            Version(
                number=int(each.version),
                aliases=tuple(aliases.get(int(each.version), ())),
                tags=dict(each.tags),
                description=each.description or "",
                run_id=str(each.run_id),
            )
            for each in self._versions(name)
        ]
        return sorted(found, key=lambda version: -version.number)

    def find_version(self, name: str, which: str) -> Version:
        """Return the version that a number or an alias names.

        Raises
        ------
        DataError
            If there is none.
        """
        versions = self.versions(name)
        for version in versions:
            if which == str(version.number) or which in version.aliases:
                return version
        if not versions:
            raise DataError(
                f"The registry has no model {name!r}. Run `dvc repro select`, or check select.registered_name and "
                "MLFLOW_TRACKING_URI."
            )
        known = [each for version in versions for each in (*version.aliases, str(version.number))]
        raise DataError(f"{name} has no version or alias {which!r}. {params.known(which, known)}")

    def version(self, name: str, sha256: str) -> int | None:
        """Return the version of a registered model that has this model file, None if there is none."""
        return next((int(v.version) for v in self._versions(name) if v.tags.get("sha256") == sha256), None)

    def download(self, name: str, alias: str, folder: Path) -> int:
        """Fetch what a release is made of, as it was registered.

        Parameters
        ----------
        name : str
            Of the registered model.
        alias : str
            Such as ``"champion"``; or a version, such as ``"3"``.
        folder : Path
            Made; must not exist.

        Returns
        -------
        int
            The version.

        Raises
        ------
        DataError
            If there is no such model or alias, or what was registered is not all there.
        """
        with _absent_is(
            f"The registry has no model {name!r} with the alias {alias!r}. Run `dvc repro select`, or check "
            "select.registered_name and MLFLOW_TRACKING_URI."
        ):
            by_number = self.client.get_model_version if alias.isdecimal() else self.client.get_model_version_by_alias
            found = by_number(name, alias)
        incomplete = (
            f"{name} version {found.version} lies incomplete in the registry. Register it again: "
            "`dvc repro --force --single-item select`."
        )
        place = found.tags.get(_RELEASE, "")
        with tempfile.TemporaryDirectory() as temporary:
            with _absent_is(incomplete):
                fetched = Path(self.client.download_artifacts(str(found.run_id), place, temporary))
            if _digest(fetched)[:12] != place.rpartition("/")[2]:
                raise DataError(incomplete)
            shutil.copytree(fetched, folder)
        return int(found.version)

    def add_device_metrics(self, name: str, version: int, device: str, figures: Mapping[str, Any]) -> None:
        """Attach what a device measured of a registered model: metrics of its run and one tag of its version.

        Parameters
        ----------
        name : str
            Of the registered model.
        version : int
        device : str
            Metrics are called ``device.<device>.<figure>``, the tag ``device.<device>``.
        figures : Mapping
            May be nested; what is no number is in the tag alone.
        """
        prefix = _plain(f"device.{device}")
        self.client.log_batch(self._run_of(name, version), metrics=_metrics({prefix: figures}))
        self.client.set_model_version_tag(name, str(version), prefix, json.dumps(figures, sort_keys=True))

    def device_latencies(self, keys: Collection[str]) -> dict[str, dict[str, float]]:
        """Return what devices measured of variants: key to device to the median of front end and model together, ms."""
        known, prefix, suffix = self._variant_runs(keys), "device.", ".together_ms.p50"
        return {
            key: {
                name[len(prefix) : -len(suffix)]: value
                for name, value in (known[key].data.metrics if key in known else {}).items()
                if name.startswith(prefix) and name.endswith(suffix)
            }
            for key in keys
        }

    def sweeps(self) -> list[Sweep]:
        """Return every sweep, the newest first."""
        runs = sorted(self._runs(f"tags.`{_SWEEP}` LIKE '%'"), key=lambda run: -run.info.start_time)
        return [Sweep(r.info.run_id, str(r.info.run_name), r.info.status, dict(r.data.params)) for r in runs]

    def variants(self, sweep: str) -> list[Logged]:
        """Return the finished variants of a sweep, those among them that an earlier sweep made, sorted by name.

        Parameters
        ----------
        sweep : str
            Id of its run.
        """
        return sorted(map(_logged, self._members(sweep)), key=lambda variant: variant.name)

    def _members(self, sweep: str) -> list[Run]:
        tags = (f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{sweep}'", f"tags.`{_MEMBER}{sweep}` = 'yes'")
        return [run for tag in tags for run in self._runs(f"{tag} and attributes.status = 'FINISHED'")]

    def _create(self, name: str, tags: Mapping[str, str]) -> str:
        run = self.client.create_run(self.experiment_id, run_name=name, tags={**tags, **self.tags, _HERE: _here()})
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
        for run in self._runs(f"attributes.status = 'RUNNING' and tags.`{_HERE}` = '{_here()}'"):
            self.client.set_terminated(run.info.run_id, "KILLED")

    def _run_of(self, name: str, version: int) -> str:
        return str(self.client.get_model_version(name, str(version)).run_id)

    def _versions(self, name: str) -> list[Any]:
        found: list[Any] = []
        token = None
        while True:
            page = self.client.search_model_versions(f"name = '{name}'", page_token=token)
            found.extend(page)
            token = page.token
            if not token:
                return found

    def _variant_run(self, key: str) -> Run | None:
        return next(iter(self._runs(f"tags.`edac.key` = '{key}' and attributes.status = 'FINISHED'")), None)

    def _variant_runs(self, keys: Collection[str]) -> dict[str, Run]:
        if len(keys) < _FEW:
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


def local_uri(folder: Path) -> str:
    """Return the URI of the MLflow in a folder."""
    return f"sqlite:///{(folder / DATABASE).absolute()}"


def _artifacts_uri(folder: Path) -> str:
    return (folder / "artifacts").absolute().as_uri()


def create(folder: Path) -> None:
    """Make a folder's database, unless it is there: whole or not at all, as MLflow can't go on with half of it."""
    database = folder / DATABASE
    folder.mkdir(parents=True, exist_ok=True)
    if database.exists():
        return
    with (folder / f".{DATABASE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if database.exists():  # by another process, meanwhile
            return
        draft = folder / ".draft"
        shutil.rmtree(draft, ignore_errors=True)  # of one that was killed
        draft.mkdir()
        store = SqlAlchemyStore(local_uri(draft), _artifacts_uri(folder))  # type: ignore[no-untyped-call]
        store.engine.dispose()
        (draft / DATABASE).replace(database)
        shutil.rmtree(draft)


def connect(folder: Path, experiment: str = EXPERIMENT) -> Tracker:
    """Return a tracker of the MLflow that MLFLOW_TRACKING_URI names, or else of `folder`, made if absent.

    Parameters
    ----------
    folder : Path
        Holds ``mlflow.db`` and ``artifacts/``. It cannot be moved afterwards: MLflow keeps absolute paths.
    experiment : str
        The task's: the name of its registered model.

    Raises
    ------
    AwayError
        If MLflow does not answer.
    """
    uri, artifacts = os.environ.get("MLFLOW_TRACKING_URI"), None
    if not uri:
        uri, artifacts = local_uri(folder), _artifacts_uri(folder)
    with reaching(uri):
        if artifacts:
            create(folder)
        client = mlflow.MlflowClient(uri)
        found = client.get_experiment_by_name(experiment)
        known = found and found.experiment_id
        return Tracker(
            client, known or client.create_experiment(experiment, artifact_location=artifacts), tags=_commit()
        )


@contextlib.contextmanager
def reaching(uri: str = "") -> Iterator[None]:
    """Turn what MLflow or its client raises while it cannot be reached into `AwayError`.

    Parameters
    ----------
    uri : str
        If given, its server must take connections before it is asked anything: MLflow's own attempts at a database
        go on for minutes.
    """
    where = urllib.parse.urlsplit(uri)
    port = where.port or {"postgresql": 5432, "mysql": 3306}.get(where.scheme.partition("+")[0])
    try:
        if where.hostname and port:
            socket.create_connection((where.hostname, port), _CONNECT_S).close()
        yield
    except MlflowException as error:
        if error.error_code not in _AWAY:
            raise
        raise _away(uri, error) from error
    except (OSError, SQLAlchemyError) as error:
        raise _away(uri, error) from error


def _away(uri: str, error: Exception) -> AwayError:
    reason = str(error).strip().splitlines()[0][:200]
    where = re.sub(r"//[^@/]*@", "//", uri)  # no password into a message
    return AwayError(f"MLflow{f' at {where}' if where else ''} does not answer ({reason}). Start it, then go on.")


def find(folder: Path, *, uri: str | None = None, experiment: str = EXPERIMENT) -> Tracker:
    """Return a tracker of an experiment that there is, to read from.

    Parameters
    ----------
    folder : Path
        As `connect` takes it.
    uri : str or None
        Goes before MLFLOW_TRACKING_URI, and that before `folder`.
    experiment : str

    Raises
    ------
    DataError
        If there is no such experiment; names those that there are.
    """
    client = _existing(folder, uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        names = [each.name for each in client.search_experiments()]
        raise DataError(f"MLflow has no experiment {experiment!r}. {params.known(experiment, names)}")
    return Tracker(client, found.experiment_id)


def find_all(folder: Path, *, uri: str | None = None) -> list[Tracker]:
    """Return a tracker of every experiment that there is; parameters and errors as of `find`."""
    client = _existing(folder, uri)
    return [Tracker(client, each.experiment_id) for each in client.search_experiments()]


def _existing(folder: Path, uri: str | None) -> mlflow.MlflowClient:
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or local_uri(folder)
    database = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not database.is_file():
        raise DataError(f"{database} does not exist. Run `dvc repro`, or set MLFLOW_TRACKING_URI.")
    return mlflow.MlflowClient(uri)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return nested figures under names joined with dots: ``validation.roc_auc``, ``validation.roc_auc.low``.

    What every figure has around it (`_IMPLIED`) is not part of its name; None, which is undefined, is left out.
    """
    result: dict[str, float] = {}
    for name, value in values.items():
        path = prefix if name in _IMPLIED else f"{prefix}.{name}".lstrip(".")
        if isinstance(value, Mapping):
            result |= flat(value, path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            result[path] = float(value)
    return result


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


def _logged(run: Run) -> Logged:
    given = run.data.params
    return Logged(
        run_id=run.info.run_id,
        name=str(run.info.run_name),
        sha256=run.data.tags["sha256"],
        criterion=given["criterion"],
        schedule=given["schedule"],
        sparsity=float(given["sparsity"]),
        scheme=given["scheme"],
        bit_width=int(given["bit_width"]),
        seed=int(given["seed"]),
        figures=dict(run.data.metrics),
        plain="True" not in (given.get("aware"), given.get("distilled")),
    )


def _metrics(values: Mapping[str, Any]) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(_plain(name), value, now, 0) for name, value in flat(values).items()]


def _plain(name: str) -> str:
    """Return a name of letters that MLflow takes."""
    return re.sub(r"[^/\w.\- :]", "_", name)


@contextlib.contextmanager
def _absent_is(sentence: str) -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        raise DataError(sentence) from None


def _digest(folder: Path) -> str:
    held = sorted(path for path in folder.rglob("*") if path.is_file())
    return files.digest({path.relative_to(folder).as_posix(): files.sha256(path) for path in held})


def _commit() -> dict[str, str]:
    """Return tags of the commit of the project's folder, none outside a repository or without git."""
    git = shutil.which("git")
    if git is None:
        return {}
    told = subprocess.run([git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if told.returncode:
        return {}
    changed = subprocess.run([git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, check=False)
    return {MLFLOW_GIT_COMMIT: told.stdout.strip(), MLFLOW_GIT_DIRTY: str(bool(changed.stdout)).lower()}


def _here() -> str:
    return f"{socket.gethostname()}:{Path.cwd()}"


def _save_pyfunc(folder: Path, release: Path, *, example: np.ndarray, n_outputs: int) -> None:
    """Write ``folder/model``: MLflow's form of a model, with all of our code that it imports."""
    package = folder / "stages"
    source = provenance.source_file("stages").parent
    shutil.copytree(source / "runtime", package / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(source / "__init__.py", package / "__init__.py")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)  # MLflow's advice to say more than the signature says
        mlflow.pyfunc.save_model(
            path=folder / "model",
            python_model=str(provenance.source_file("stages.core.tracking.pyfunc")),
            artifacts={path.stem: str(path) for path in (release / "model.tflite", release / "frontend.tflite")}
            | {"description": str(release / "frontend.json")},
            code_paths=[str(package)],
            signature=ModelSignature(
                inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, example.shape[1]))]),
                outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, n_outputs))]),
            ),
            input_example=example,
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in _NEEDED],
        )
