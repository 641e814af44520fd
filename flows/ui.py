"""`make ui`: the Prefect server, the MLflow server and the deployments, on this machine alone, until Ctrl-C.

All three end with this process, however it ends. Their output is in `.prefect/logs/`.
"""

import os
import socket
import time
import urllib.error
import urllib.request
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from flows.execution.processes import Processes, children
from flows.sweep.params import SweepParams
from stages.core.project import errors, layout, params
from stages.core.project.errors import EdacError, require

HOST = "127.0.0.1"
DEPLOYMENTS = ("-m", "flows.serve")
MLFLOW_ENVIRONMENT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # eight processes that nothing here needs
_READY_S = 300.0


@dataclass(frozen=True)
class Service:
    """A server process.

    Attributes
    ----------
    name : str
    arguments : tuple[str, ...]
        Arguments of Python.
    health : str
        Address that answers as soon as the server is ready; empty if there is none.
    """

    name: str
    arguments: tuple[str, ...]
    health: str = ""


def prefect_server(port: int) -> Service:
    """Return the Prefect server, which also reads its port from the environment."""
    app = ("--factory", "prefect.server.api.server:create_app")
    where = ("--host", HOST, "--port", str(port), "--log-level", "warning")
    return Service("prefect", ("-m", "uvicorn", *app, *where), f"http://{HOST}:{port}/api/health")


def mlflow_server(port: int, folder: Path) -> Service:
    """Return the MLflow server of a folder; create its database if there is none."""
    database, artefacts = (folder / "mlflow.db").absolute(), (folder / "artifacts").absolute().as_uri()
    if not database.exists():
        from stages.core.tracking import connection  # takes seconds, and is needed only once

        connection.create(folder)
    stores = ("--backend-store-uri", f"sqlite:///{database}", "--default-artifact-root", artefacts)
    where = ("--host", HOST, "--port", str(port), "--workers", "1")
    return Service("mlflow", ("-m", "mlflow", "server", *stores, *where), f"http://{HOST}:{port}/health")


def free_port(variable: str, default: int) -> int:
    """Return the port that an environment variable names, or the default.

    Raises
    ------
    EdacError
        If it is not a port, or in use.
    """
    given = os.environ.get(variable, str(default))
    valid = given.isdecimal() and 0 < int(given) < 2**16
    require(valid, variable, "be a port, 1 to 65535", given)
    try:
        socket.create_server((HOST, int(given))).close()
    except OSError as error:
        raise EdacError(
            f"Port {given} is not available ({error.strerror}); is another `make ui` running? End it, or choose "
            f"another port: `make ui {variable}={default + 1}`."
        ) from None
    return int(given)


def start(service: Service, pool: ThreadPoolExecutor, processes: Processes, logs: Path) -> Future[None]:
    """Start a service and wait until it is ready."""
    log = logs / f"{service.name}.log"
    future = pool.submit(processes.run, service.arguments, log=log, timeout_s=None)
    until = time.monotonic() + _READY_S
    while service.health and not answers(service.health):
        if future.done() or time.monotonic() > until:
            raise EdacError(f"The service {service.name} did not start; read {log}.")
        time.sleep(0.2)
    return future


def answers(address: str) -> bool:
    """Return whether a service answers."""
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def main() -> None:
    """Serve everything that the environment does not say is served elsewhere."""
    params.section("sweep", SweepParams)
    services, environment = [], {"PREFECT_LOGGING_LEVEL": "INFO", "PREFECT_LOGGING_TO_API_ENABLED": "true"}
    api, uri = os.environ.get("PREFECT_API_URL"), os.environ.get("MLFLOW_TRACKING_URI")
    if api is None:
        port = free_port("PREFECT_SERVER_API_PORT", 4200)
        api = f"http://{HOST}:{port}/api"
        services.append(prefect_server(port))
        environment |= {"PREFECT_SERVER_API_HOST": HOST, "PREFECT_SERVER_API_PORT": str(port), "PREFECT_API_URL": api}
    if uri is None:
        port = free_port("MLFLOW_PORT", 5000)
        uri = f"http://{HOST}:{port}"
        services.append(mlflow_server(port, layout.MLRUNS))
        environment |= MLFLOW_ENVIRONMENT
        layout.MLRUNS.mkdir(exist_ok=True)
    services.append(Service("deployments", DEPLOYMENTS))
    logs = Path(os.environ["PREFECT_HOME"]) / "logs"
    with ThreadPoolExecutor() as pool, children(environment=environment) as processes:
        running = {start(service, pool, processes, logs): service.name for service in services}
        print(f"sweeps    {api.removesuffix('/api')}/deployments")
        print(f"models    {uri}/#/models")
        print(f"terminal  PREFECT_API_URL={api} dvc repro")
        print("Ctrl-C ends all three.", flush=True)
        ended = wait(running, return_when=FIRST_COMPLETED).done.pop()
        raise EdacError(f"The service {running[ended]} ended; read {logs / running[ended]}.log.")


if __name__ == "__main__":
    errors.run(main)
