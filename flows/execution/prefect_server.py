"""A Prefect server for a flow that is started without one."""

import base64
import contextlib
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_HOME, temporary_settings

from flows import guard
from stages.core.project import lazy, loopback, migrations
from stages.core.project.errors import EdacError

if TYPE_CHECKING:
    import prefect.server.api.server as prefect_api
    import uvicorn
else:  # they take seconds, and only a flow without a server needs them
    prefect_api, uvicorn = lazy.module("prefect.server.api.server"), lazy.module("uvicorn")

_NOT_STARTED = (
    "Prefect's server does not start. See that PREFECT_HOME, {}, can be written and has room, or set PREFECT_API_URL "
    "to a server that runs."
)


def require_server(address: str) -> None:
    """Raise unless the Prefect server at an address answers and takes our password.

    Raises
    ------
    EdacError
    """
    given = PREFECT_API_AUTH_STRING.value()
    secret = given.get_secret_value() if hasattr(given, "get_secret_value") else given
    headers = {"Authorization": "Basic " + base64.b64encode(secret.encode()).decode()} if secret else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{address}/admin/version", headers=headers), timeout=20):
            return
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise EdacError(
                f"The Prefect server at {address} refuses access. Set PREFECT_API_AUTH_STRING to edac:PASSWORD, "
                "of which `make ui` keeps the second part in .prefect/password."
            ) from None
        reason: object = f"it answers {error.code}"
    except urllib.error.URLError as error:
        reason = error.reason
    except (OSError, ValueError) as error:
        reason = error
    raise EdacError(
        f"The Prefect server at {address} does not answer ({reason}). Start it, correct PREFECT_API_URL, or unset it."
    )


def require_named_server() -> None:
    """Raise unless PREFECT_API_URL names a server that answers; see `require_server`."""
    address = PREFECT_API_URL.value()
    if not address:
        raise EdacError(
            "PREFECT_API_URL must name the Prefect server; it is not set. `make ui` starts one and prints it."
        )
    require_server(address)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Yield the address of a Prefect server: the one that PREFECT_API_URL names, or else one for this block only.

    The latter runs in a thread of this process and ends with it, even after kill -9, unlike the server process that
    Prefect itself would start. No page in a browser has access to it. Records of the flow runs stay in PREFECT_HOME.
    """
    if variable := loopback.foreign_proxy():
        raise EdacError(
            f"{variable} must name a proxy by {', '.join(loopback.SCHEMES)}; got {os.environ[variable]!r}. Unset it."
        )
    if address := PREFECT_API_URL.value():
        require_server(address)
        yield address
        return
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        guarded = guard.Guard(prefect_api.create_app(ephemeral=True), None, guard.own_hosts(port))
        config = uvicorn.Config(guarded, log_level="critical", lifespan="on")
        service = uvicorn.Server(config)
        thread = threading.Thread(target=service.run, kwargs={"sockets": [listener]}, daemon=True)
        with migrations.LOCK:
            thread.start()
            try:
                while not service.started:
                    if not thread.is_alive():
                        raise EdacError(_NOT_STARTED.format(PREFECT_HOME.value()))
                    time.sleep(0.05)
            except BaseException:  # Ctrl-C: no other migration may begin before its own has ended
                service.should_exit = True
                thread.join()
                raise
        address = f"http://127.0.0.1:{port}/api"
        try:
            with temporary_settings({PREFECT_API_URL: address}):
                try:
                    yield address
                finally:
                    EventsWorker.drain_all()  # otherwise each event is retried for seconds after the server is gone
        finally:
            service.should_exit = True
            thread.join()
