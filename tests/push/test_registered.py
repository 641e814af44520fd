"""From the registry onto devices and back: what `edac push`, the flow and `edac devices bench` do."""

import json
import os
import resource
import tempfile
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import tiny  # type: ignore[import-not-found]

os.environ.setdefault("PREFECT_HOME", tempfile.mkdtemp())  # before Prefect is imported

from flows.push import push
from stages.core.project import files
from stages.core.project.errors import DataError, DeviceError, ParameterError
from stages.core.tracking import connection
from stages.push.transports.local import LocalTransport
from tests.console import edac
from tests.messages import line_with

PARAMS = """\
select: {registered_name: tiny}
push:
  keep_releases: 2
  devices:
    - {name: attic, transport: local, folder: devices/attic, group: house}
    - {name: cellar, transport: local, folder: devices/cellar, group: house}
    - {name: shed, transport: local, folder: params.yaml/shed}
"""


@pytest.fixture(scope="module")
def registry(selections: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of a model; the second is the champion, the first the veteran."""
    folder = tmp_path_factory.mktemp("registry")
    tracker = connection.connect(folder / "mlruns")
    versions = [tiny.register(tracker, selected) for selected in selections[:2]]
    tracker.client.set_registered_model_alias("tiny", "veteran", str(versions[0]))
    return folder / "mlruns"


@pytest.fixture
def project(registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{registry / 'mlflow.db'}")
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


def version_on(project: Path, device: str) -> int:
    return files.read_json(project / f"devices/{device}/current/manifest.json")["version"]


@pytest.mark.thorough
def test_the_flow_pushes_what_the_alias_names(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    push.fn(alias="veteran", group="house")
    assert (version_on(project, "attic"), version_on(project, "cellar")) == (1, 1)
    push.fn(group="house")
    assert (version_on(project, "attic"), version_on(project, "cellar")) == (2, 2)
    assert capsys.readouterr().out.count("  installed  ") == 4
    with pytest.raises(DeviceError, match="attic, cellar did not take"):
        push.fn(alias="veteran", group="house")
    assert "older than version 2" in capsys.readouterr().out
    assert version_on(project, "attic") == 2
    push.fn(alias="veteran", group="house", force=True)
    assert version_on(project, "attic") == 1


def test_the_flow_refuses_what_there_is_not(project: Path) -> None:
    with pytest.raises(DataError, match=r"model 'tiny' .*alias 'nobody'"):
        push.fn(alias="nobody")
    with pytest.raises(ParameterError, match=r"push\.devices has no group 'hut'"):
        push.fn(group="hut")
    assert not (project / "devices").exists()


def test_no_room_for_temporary_files_is_no_incomplete_registry(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        assert edac("push", "--name", "attic") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = capsys.readouterr().err
    assert line_with(said, "File too large", "temporary files")
    assert not (project / "devices").exists()


def test_a_deployment_takes_the_flows_parameters() -> None:
    properties = push.parameters.properties
    assert {name: about.get("default") for name, about in properties.items()} == {
        "alias": "champion",
        "group": None,
        "force": False,
    }


FIGURES: dict[str, Any] = {
    "together_ms": {"p50": 12.5, "p95": 13.25, "p99": 14.0},
    "power_w": None,
    "throttling": {"now": []},
}


class Quick(LocalTransport):
    """A device that knows what a release costs without measuring it."""

    def run(self, folder: str, arguments: Sequence[str]) -> "CompletedProcess[str]":
        if "benchmark" not in arguments:
            return super().run(folder, arguments)
        assert arguments[-2:] == ["--runs", "7"]
        return CompletedProcess([], 0, json.dumps(FIGURES) + "\n", "")


@pytest.mark.thorough
def test_push_bench_and_status_from_the_command_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert edac("push", "--name", "attic") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["attic", "installed"]
    assert edac("devices", "push", "--alias", "champion", "--name", "attic", "--name", "shed") == 1
    said = capsys.readouterr()
    _, attic, shed = said.out.splitlines()
    assert attic.split()[1:3] == ["already", "there"]
    assert "Device shed cannot be written" in shed
    assert line_with(said.err, "error: shed")

    assert edac("devices", "status", "--verbose", "--name", "attic") == 0
    assert "golden/3.wav" in capsys.readouterr().out

    monkeypatch.setattr("stages.push.transports.local.LocalTransport", Quick)
    assert edac("devices", "bench", "--runs", "7", "--group", "house") == 1
    head, attic, cellar = capsys.readouterr().out.splitlines()
    assert attic.split()[:5] == ["attic", "2", "12.5", "13.2", "14"]
    assert attic[head.index("throttled") :].split() == ["no", "-", "-"]
    assert line_with(cellar, "cellar", "no release")
    client = connection.connect(project / "unused").client
    found = client.get_model_version("tiny", "2")
    assert json.loads(found.tags["device.attic"]) == FIGURES
    assert client.get_run(str(found.run_id)).data.metrics["device.attic.together_ms.p95"] == 13.25

    (project / "params.yaml").write_text(PARAMS.replace("registered_name: tiny", "registered_name: other"))
    assert edac("devices", "bench", "--runs", "7", "--name", "attic") == 0
    assert line_with(capsys.readouterr().out, "other", "kept nowhere")
