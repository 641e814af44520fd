"""MLflow's model registry: releases as versions of a registered model, with aliases."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from stages.core.project import files, params
from stages.core.project.errors import DataError
from stages.core.tracking.experiment import absent_is, metrics_of
from stages.core.tracking.packaging import save_pyfunc
from stages.core.tracking.records import Registration, Version, plain
from stages.core.tracking.runs import Runs

_ROOM = 2**20  # bytes
_RELEASE = "release"  # tag of a version: where among its run's artefacts what a release is made of lies


class Registry(Runs):
    """The registered models that belong to an experiment's runs."""

    def register(self, name: str, new: Registration) -> int:
        """Register a variant as a loadable model, waveforms in and scores out.

        Parameters
        ----------
        name : str
            Name of the registered model.
        new : Registration

        Returns
        -------
        int
            The version; the existing one if this model file was registered under this name before.
        """
        variant, release = new.variant, new.release
        version = self.version(name, variant.sha256)
        if version is None:
            run_id = self.log_variant(variant, release / "model.tflite")
            with tempfile.TemporaryDirectory() as folder:
                save_pyfunc(Path(folder), new)
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
        for tag, value in {**new.tags, _RELEASE: place}.items():
            self.client.set_model_version_tag(name, str(version), tag, str(value))
        self.client.update_model_version(name, str(version), new.description)
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
            Name of the registered model.
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
        OSError
            If there is no room in the folder of temporary files.
        """
        with absent_is(
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
            with absent_is(incomplete):
                try:
                    fetched = Path(self.client.download_artifacts(str(found.run_id), place, temporary))
                except MlflowException:
                    (Path(temporary) / "room").write_bytes(bytes(_ROOM))  # MLflow takes a full disk for an absent file
                    raise
            if _digest(fetched)[:12] != place.rpartition("/")[2]:
                raise DataError(incomplete)
            shutil.copytree(fetched, folder)
        return int(found.version)

    def add_device_metrics(self, name: str, version: int, device: str, figures: Mapping[str, Any]) -> None:
        """Attach what a device measured of a registered model: metrics of its run and one tag of its version.

        Parameters
        ----------
        name : str
            Name of the registered model.
        version : int
        device : str
            Metrics are called ``device.<device>.<figure>``, the tag ``device.<device>``.
        figures : Mapping
            May be nested; what is no number is in the tag alone.
        """
        prefix = plain(f"device.{device}")
        self.client.log_batch(self._run_of(name, version), metrics=metrics_of({prefix: figures}))
        self.client.set_model_version_tag(name, str(version), prefix, json.dumps(figures, sort_keys=True))

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


def _digest(folder: Path) -> str:
    held = sorted(path for path in folder.rglob("*") if path.is_file())
    return files.digest({path.relative_to(folder).as_posix(): files.sha256(path) for path in held})
