"""`make ui` as a whole: real servers and deployments on loopback, cells that take no time."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

sys.path.insert(0, str(Path(__file__).parent))
from fake_serve import make_project  # type: ignore[import-not-found]

from flows import guard, ui
from flows.sweep.params import SweepParams
from stages.core.project.errors import EdacError, ParameterError

FAKE = Path(__file__).with_name("fake_serve.py")
PATIENCE_S = 300.0


@dataclass(frozen=True)
class Served:
    folder: Path
    api: str
    said: Path
    process: "subprocess.Popen[bytes]"

    def ask(self, call: Any, *arguments: Any, **named: Any) -> Any:
        """Call a method of Prefect's client by name."""
        secret = f"{guard.USER}:{guard.password(self.folder / '.prefect/password')}"
        settings = {PREFECT_API_URL: self.api, PREFECT_API_AUTH_STRING: secret}
        with temporary_settings(settings), get_client(sync_client=True) as client:
            return getattr(client, call)(*arguments, **named)

    def ended(self, run: FlowRun) -> FlowRun:
        """Wait for the end of a flow run."""
        deadline = time.monotonic() + PATIENCE_S
        while not (now := self.ask("read_flow_run", run.id)).state.is_final():
            assert time.monotonic() < deadline, now.state
            time.sleep(0.5)
        return now  # type: ignore[no-any-return]


def free_port() -> int:
    with socket.create_server((ui.HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def attempts(folder: Path) -> list[str]:
    path = folder / "models" / "attempts.txt"
    return sorted(line.split()[0] for line in path.read_text().splitlines()) if path.exists() else []


def processes_in(folder: Path) -> list[int]:
    """Return the processes that work in a folder."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            found += [int(link.parent.name)] if link.readlink() == folder else []
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
    return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("ui")
    make_project(folder)
    python = Path(sys.executable).parent
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    env |= {"PATH": f"{python}:{env['PATH']}", "DVC_NO_ANALYTICS": "true"}
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], cwd=folder, env=env, check=True)
    ports = free_port(), free_port()
    env |= {"PREFECT_SERVER_API_PORT": str(ports[0]), "MLFLOW_PORT": str(ports[1])}
    said = folder.with_suffix(".log")
    with said.open("wb") as log:
        process = subprocess.Popen([sys.executable, str(FAKE), "ui"], cwd=folder, env=env, stdout=log, stderr=log)
    try:
        yield Served(folder, f"http://{ui.HOST}:{ports[0]}/api", said, process)
    finally:
        process.kill()
        process.wait()


def deployment(served: Served, name: str) -> Any:
    """Return a deployment, as soon as it is there."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert served.process.poll() is None, served.said.read_text()
        assert time.monotonic() < deadline
        if "Ctrl-C" in served.said.read_text():
            with contextlib.suppress(ObjectNotFound):
                return served.ask("read_deployment_by_name", name)
        time.sleep(0.5)


@pytest.mark.slow
def test_a_sweep_on_demand_makes_what_dvc_repro_would_and_a_wrong_parameter_is_refused(served: Served) -> None:
    found = deployment(served, "grid/on-demand")
    assert found.parameters["sparsities"] == [0.5], "the form starts from params.yaml"
    shown = found.parameter_openapi_schema["properties"]
    assert "polynomial" in shown["schedules"]["items"]["enum"]
    mistakes: list[dict[str, Any]] = [{"sparsities": [80]}, {"schedules": ["cubic"]}, {"seeds": []}, {"workers": 0}]
    for wrong in mistakes:
        with pytest.raises(PrefectHTTPStatusError, match="Validation failed"):
            served.ask("create_flow_run_from_deployment", found.id, parameters=wrong)

    before = (served.folder / "params.yaml").read_text()
    run = served.ask("create_flow_run_from_deployment", found.id, parameters={"sparsities": [0.5, 0.9]})
    run = served.ended(run)
    assert run.state
    assert run.state.is_completed(), run.state.message
    assert attempts(served.folder) == ["constant-0.5-1234", "constant-0.9-1234"]
    assert (served.folder / "params.yaml").read_text() == before
    assert not (served.folder / "models" / "sweep").exists(), "the stage's output is dvc's alone"

    runs = served.ask("read_flow_runs")
    task_runs = served.ask("read_task_runs")
    (part,) = (each.id for each in task_runs if each.flow_run_id == run.id)
    (sweep,) = (each for each in runs if each.parent_task_run_id == part)
    assert {each.name for each in task_runs if each.flow_run_id == sweep.id} == {
        "title of constant-0.5-1234",
        "title of constant-0.9-1234",
    }
    mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[sweep.id]))
    assert {each.key for each in served.ask("read_artifacts", artifact_filter=mine)} >= {"variants", "front"}


@pytest.mark.slow
def test_the_schedule_fires_and_brings_the_pipeline_up_to_date(served: Served) -> None:
    found = deployment(served, "pipeline/nightly")
    (schedule,) = found.schedules
    assert schedule.active
    assert schedule.schedule.cron == "0 2 * * *"
    soon = IntervalSchedule(interval=timedelta(seconds=20))  # a cron expression knows no less than a minute
    served.ask("update_deployment_schedule", found.id, schedule.id, schedule=soon)
    deadline = time.monotonic() + PATIENCE_S

    def started() -> list[FlowRun]:
        runs = served.ask("read_flow_runs")
        return [each for each in runs if each.deployment_id == found.id and not each.state.is_scheduled()]

    while not started():
        assert time.monotonic() < deadline
        time.sleep(0.5)
    served.ask("update_deployment_schedule", found.id, schedule.id, active=False)
    run = served.ended(started()[0])
    assert run.auto_scheduled
    assert run.state
    assert run.state.is_completed(), run.state.message
    assert (served.folder / "selected").exists()
    assert (served.folder / "models" / "sweep" / "variants.json").exists()
    assert attempts(served.folder).count("constant-0.5-1234") == 1, "what was made on demand is not made again"


@pytest.mark.thorough
def test_kill_9_of_it_leaves_no_process_behind(served: Served) -> None:
    deployment(served, "push/fleet")
    assert len(processes_in(served.folder)) > 3
    served.process.send_signal(signal.SIGKILL)
    served.process.wait()
    deadline = time.monotonic() + 20
    while left := processes_in(served.folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_a_port_that_is_taken_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((ui.HOST, 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setenv("MLFLOW_PORT", str(port))
        with pytest.raises(EdacError, match=rf"Port {port} .*`make ui MLFLOW_PORT="):
            ui.free_port("MLFLOW_PORT", 5000)
    monkeypatch.setenv("MLFLOW_PORT", "http")
    with pytest.raises(ParameterError, match=r"MLFLOW_PORT .*got 'http'"):
        ui.free_port("MLFLOW_PORT", 5000)


@pytest.mark.parametrize("cron", ["at two", "0 25 * * *", "0 2 * *"])
def test_a_schedule_must_be_one(cron: str) -> None:
    with pytest.raises(ParameterError, match=r"sweep\.nightly .*got "):
        SweepParams(schemes=("float32",), nightly=cron)
