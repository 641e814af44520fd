"""A Prefect server for a flow that is started without one."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import guard


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Yield the address of a Prefect server: the one that PREFECT_API_URL names, or else one for this block only.

    The latter runs in a thread of this process and ends with it, even after kill -9, unlike the server process that
    Prefect itself would start. No page in a browser has access to it. Records of the flow runs stay in PREFECT_HOME.
    """
    if address := PREFECT_API_URL.value():
        yield address
        return
    import uvicorn  # take seconds, and only a flow without a server needs them
    from prefect.server.api.server import create_app

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        guarded = guard.Guard(create_app(ephemeral=True), None, guard.own_hosts(port))
        config = uvicorn.Config(guarded, log_level="critical", lifespan="on")
        service = uvicorn.Server(config)
        thread = threading.Thread(target=service.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not service.started:
            if not thread.is_alive():
                raise RuntimeError("the Prefect server did not start")
            time.sleep(0.05)
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
