"""`make ui`: the Prefect server, the MLflow server and the deployments, on this machine alone, until Ctrl-C.

Both servers ask for a password (`flows.guard`), which is made at the first start and kept in `.prefect/password`; the
printed links carry it. All three end with this process, however it ends. Their output is in `.prefect/logs/`.
"""

import base64
import os
import socket
import time
import urllib.error
import urllib.request
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from flows import guard
from flows.execution.processes import Processes, children
from flows.sweep.params import SweepParams
from stages.core.project import errors, layout, params
from stages.core.project.errors import EdacError, require
from stages.core.tracking import server as tracking_server

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
        Address that answers as soon as the service is ready; empty if there is none.
    authorization : str
        Value of the header `Authorization` for that address; empty if it needs none.
    """

    name: str
    arguments: tuple[str, ...]
    health: str = ""
    authorization: str = ""


def prefect_server(port: int, password: Path) -> Service:
    """Return the Prefect server, which also reads its port from the environment."""
    return Service(
        "prefect",
        _guarded("prefect.server.api.server:create_app", port, password, home="/deployments"),
        _health(port, "/api"),
    )


def mlflow_server(port: int, folder: Path, password: Path) -> Service:
    """Return the MLflow server of a folder; create its database if there is none."""
    if not (folder / "mlflow.db").exists():
        from stages.core.tracking import connection  # takes seconds, and is needed only once

        connection.create(folder)
    app = _guarded("stages.core.tracking.server:create", port, password, str(folder), home=tracking_server.page(folder))
    return Service("mlflow", app, _health(port))


def deployments(api: str, secret: str) -> Service:
    """Return the process that serves the deployments; ready when the last of them is on the server's page.

    Parameters
    ----------
    api : str
        Address of the Prefect server's API.
    secret : str
        ``"USER:PASSWORD"`` of that server; empty takes PREFECT_API_AUTH_STRING.
    """
    secret = secret or os.environ.get("PREFECT_API_AUTH_STRING", "")
    basic = "Basic " + base64.b64encode(secret.encode()).decode() if secret else ""
    return Service("deployments", DEPLOYMENTS, f"{api}/deployments/name/push/fleet", basic)


def _guarded(app: str, port: int, password: Path, *arguments: str, home: str) -> tuple[str, ...]:
    where = ("--host", HOST, "--port", str(port), "--password", str(password), "--home", home)
    return ("-m", "flows.guard", *where, app, *arguments)


def _health(port: int, prefix: str = "") -> str:
    return f"http://{HOST}:{port}{prefix}/health"


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
    while service.health and not answers(service.health, service.authorization):
        if future.done() or time.monotonic() > until:
            raise EdacError(f"The service {service.name} did not start; read {log}.")
        time.sleep(0.2)
    return future


def answers(address: str, authorization: str = "") -> bool:
    """Return whether an address answers, without an error."""
    headers = {"Authorization": authorization} if authorization else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def main() -> None:
    """Serve everything that the environment does not say is served elsewhere."""
    params.section("sweep", SweepParams)
    services, environment = [], {"PREFECT_LOGGING_LEVEL": "INFO", "PREFECT_LOGGING_TO_API_ENABLED": "true"}
    api, uri = os.environ.get("PREFECT_API_URL"), os.environ.get("MLFLOW_TRACKING_URI")
    home = Path(os.environ["PREFECT_HOME"])
    kept = home / "password"
    secret = guard.password(kept)
    link = f"{guard.LOGIN}?password={secret}"
    sweeps, models = "", ""
    if api is None:
        port = free_port("PREFECT_SERVER_API_PORT", 4200)
        api = f"http://{HOST}:{port}/api"
        services.append(prefect_server(port, kept))
        sweeps = f"PREFECT_API_URL={api} PREFECT_API_AUTH_STRING={guard.USER}:$(cat {kept}) "
        environment |= {
            "PREFECT_SERVER_API_HOST": HOST,
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_SERVER_API_AUTH_STRING": f"{guard.USER}:{secret}",
            "PREFECT_API_URL": api,
            "PREFECT_API_AUTH_STRING": f"{guard.USER}:{secret}",
        }
    if uri is None:
        port = free_port("MLFLOW_PORT", 5000)
        uri = f"http://{HOST}:{port}"
        services.append(mlflow_server(port, layout.MLRUNS, kept))
        models = link
        environment |= MLFLOW_ENVIRONMENT
        layout.MLRUNS.mkdir(exist_ok=True)
    services.append(deployments(api, environment.get("PREFECT_API_AUTH_STRING", "")))
    logs = home / "logs"
    with ThreadPoolExecutor() as pool, children(environment=environment) as processes:
        running = {start(service, pool, processes, logs): service.name for service in services}
        print(f"sweeps    {api.removesuffix('/api')}{link if sweeps else '/deployments'}")
        print(f"models    {uri}{models or tracking_server.EXPERIMENTS}")
        print(f"registry  {uri}{tracking_server.REGISTRY}")
        print(f"terminal  {sweeps or f'PREFECT_API_URL={api} '}dvc repro")
        print(f"The first two links carry the password, which {kept} keeps: do not pass them on.")
        print("Ctrl-C ends all three.", flush=True)
        ended = wait(running, return_when=FIRST_COMPLETED).done.pop()
        raise EdacError(f"The service {running[ended]} ended; read {logs / running[ended]}.log.")


if __name__ == "__main__":
    errors.run(main)
