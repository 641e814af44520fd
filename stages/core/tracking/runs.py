"""Runs of MLflow: a run per variant, a parent run per sweep.

Everything here may be repeated: a variant or sweep that is logged already is recognised by its key and left alone, so
that a killed process needs no repair.
"""

import contextlib
import shutil
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from stages.core.tracking import environment  # noqa: F401  before MLflow reads it

# isort: split

import pandas as pd
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import DatasetInput, InputTag, Param, Run
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from stages.core.artifacts import clips as clips_file
from stages.core.artifacts import sweep as sweep_file
from stages.core.artifacts.variant import Variant, read_variants
from stages.core.project import files
from stages.core.tracking.experiment import Experiment, metrics_of
from stages.core.tracking.records import Logged, Sweep

_SWEEP = "edac.sweep"  # tag of a sweep's own run: the digest of its grid
_MEMBER = "edac.in."  # and the id of a sweep: tag of the variants that it shares with the sweep that made them


class Runs(Experiment):
    """The runs of sweeps and variants in an experiment."""

    def with_data(self, features: Path) -> Self:
        """Return a tracker whose runs are linked to the data: one data set per side of the split.

        Parameters
        ----------
        features : Path
            Folder of the features stage.
        """
        columns = ("clip_id", "split", "label", "group", "site")
        rows = [[getattr(clip, name) for name in columns] for clip in clips_file.read(features)]
        table = pd.DataFrame(rows, columns=columns, dtype=str)
        name, inputs = self.client.get_experiment(self.experiment_id).name, []
        for side, clips in table.groupby("split", sort=True):
            digest = files.digest(clips.to_csv(index=False))[:32]  # of MLflow's at most 36
            source = str(features / clips_file.FILE)
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
            Folder of `variants.json`, `<variant>.tflite` and `sweep.json`
            (`stages.core.artifacts.sweep`).

        Returns
        -------
        int
            How many variants were logged.
        """
        described = sweep_file.read(folder)
        variants = read_variants(folder / "variants.json")
        earlier = self._runs(f"tags.`{_SWEEP}` = '{described.key}' and attributes.status = 'FINISHED'")
        known = self.keys(earlier[0].info.run_id) if earlier else set()
        missing = [variant for variant in variants if variant.key not in known]
        if missing or not earlier:
            with self.sweep(described.key, described.parameters) as parent:
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
        """Add figures that were measured later, such as latencies, to variants' runs; those that a run has stay.

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
        for key in known.keys() & metrics.keys():
            logged = known[key].data.metrics
            if new := [each for each in metrics_of(metrics[key]) if logged.get(each.key) != each.value]:
                self.client.log_batch(known[key].info.run_id, metrics=new)
        return known.keys() & metrics.keys()

    def log_report(self, folder: Path, report: Path, place: str | None = None) -> None:
        """Attach a report to the run of an assembled sweep.

        Parameters
        ----------
        folder : Path
            As `log_sweep` takes it.
        report : Path
            A file.
        place : str or None
            Folder among the run's artifacts.
        """
        self.log_sweep(folder)
        key = sweep_file.read(folder).key
        run = self._runs(f"tags.`{_SWEEP}` = '{key}' and attributes.status = 'FINISHED'")[0]
        self.client.log_artifact(run.info.run_id, str(report), place)

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
            "xz_bytes",
            "rounded_zeros",
            "median_difference",
            "mean_bits",
            "parameters",
            "flops",
            "measured_sparsity",
            "keras_difference",
        )
        details: dict[str, Mapping[str, object]] = {"weights": variant.weights, "calibration": variant.calibration}
        self._log_data(run_id)
        self.client.log_batch(
            run_id,
            metrics=metrics_of({name: getattr(variant, name) for name in measured} | variant.metrics),
            params=[Param(name, str(getattr(variant, name))) for name in shown]
            + [Param(f"{group}.{name}", str(value)) for group in details for name, value in details[group].items()],
        )
        self.client.set_terminated(run_id, "FINISHED")
        return run_id

    def _members(self, sweep: str) -> list[Run]:
        tags = (f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{sweep}'", f"tags.`{_MEMBER}{sweep}` = 'yes'")
        return [run for tag in tags for run in self._runs(f"{tag} and attributes.status = 'FINISHED'")]


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
