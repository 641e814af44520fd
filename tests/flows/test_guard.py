"""No page in a browser commands this machine: attacks on the guard before a server that records what reaches it."""

import asyncio
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from flows import guard
from stages.core.project.errors import EdacError
from stages.core.project.loopback import without_proxy

PASSWORD = "a-password-of-24-letters"
COOKIE = "edac-{port}=" + PASSWORD


class Recorder:
    """A server that does whatever it is asked to, and writes it down."""

    def __init__(self) -> None:
        self.reached: list[tuple[str, str, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            first = await receive()
            self.reached.append(("WEBSOCKET", scope["path"], (first.get("text") or "").encode()))
            await send({"type": "websocket.close"})
            return
        body = b""
        while (message := await receive()).get("more_body") or not body:
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        authorised = dict(scope["headers"]).get(b"authorization", b"").decode()
        self.reached.append((scope["method"], scope["path"], body + authorised.encode()))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"done"})


@dataclass
class Served:
    port: int
    app: Recorder

    def ask(self, method: str, path: str, headers: dict[str, str] | list[tuple[str, str]], body: bytes = b"") -> int:
        """Send one raw request; return the status."""
        pairs = list(headers.items()) if isinstance(headers, dict) else headers
        if not any(name.lower() == "host" for name, _ in pairs):
            pairs.insert(0, ("Host", f"127.0.0.1:{self.port}"))
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in pairs if value is not None)]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        with socket.create_connection(("127.0.0.1", self.port), 10) as wire:
            wire.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)
            answer = b""
            while piece := wire.recv(2**16):
                answer += piece
        return int(answer.split()[1]) if answer else 0


def serve(password: str | None) -> Iterator[Served]:
    app = Recorder()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = uvicorn.Server(
            uvicorn.Config(guard.Guard(app, password, guard.own_hosts(port)), log_level="critical", lifespan="on")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
        yield Served(port, app)
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    yield from serve(PASSWORD)


@pytest.fixture(scope="module")
def without_password() -> Iterator[Served]:
    yield from serve(None)


JSON = {"Content-Type": "application/json"}
OWN = "http://127.0.0.1:{port}"
EVIL = "http://evil.example"
PATCH = b'{"pull_steps": [{"prefect.deployments.steps.run_shell_script": {"script": "touch /tmp/pwned"}}]}'
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}

AUTHORISED = {"Authorization": guard.authorization(PASSWORD)} | JSON
BODIES = {
    "variables of a run's process": b'{"job_variables": {"env": {"PYTHONPATH": "/tmp/evil"}}}',
    "variables of a run's process, by its page": b'{"job_variables": {"env": {"PYTHONPATH": "/tmp/evil"}}}',
    "a run beside the deployments": b'{"deployment_id": "1", "job_variables": {"env": {"PYTHONPATH": "/tmp/evil"}}}',
    "parameters unchecked": b'{"enforce_parameter_schema": false}',
    "other code": b'{"entrypoint": "/tmp/evil.py:flow"}',
    "other code from the start": b'{"entrypoint": "/tmp/evil/flows/serve.py:grid"}',
    "other folder": b'{"path": "/tmp/evil"}',
    "no JSON for deployments": b"pull_steps=1",
}

# What a page elsewhere, a rebound name, another server of this machine or a form can have a browser send: with the
# cookie, as if it were not SameSite.
ATTACKS: dict[str, tuple[str, str, dict[str, str]]] = {
    "no password": ("GET", "/api/flows", {}),
    "no password, POST": ("POST", "/api/flow_runs", JSON),
    "wrong cookie": ("GET", "/api/flows", {"Cookie": "edac-{port}=guess"}),
    "empty cookie": ("GET", "/api/flows", {"Cookie": "edac-{port}="}),
    "cookie of another port": ("GET", "/api/flows", {"Cookie": f"edac-1={PASSWORD}"}),
    "two cookie headers merged": ("GET", "/api/flows", {"Cookie": "edac-{port}=x; y=edac-{port}"}),
    "wrong password": ("GET", "/api/flows", {"Authorization": "Basic ZWRhYzpndWVzcw=="}),
    "password as a bearer": ("GET", "/api/flows", {"Authorization": "Bearer guess"}),
    "login with a guess": ("GET", "/edac-login?password=guess", {}),
    "login without": ("GET", "/edac-login", {}),
    "cross-origin POST": ("POST", "/api/x", {"Origin": EVIL, "Cookie": COOKIE} | JSON),
    "cross-origin PATCH": ("PATCH", "/api/deployments/1", {"Origin": EVIL, "Cookie": COOKIE} | JSON),
    "cross-origin DELETE": ("DELETE", "/api/flows/1", {"Origin": EVIL, "Cookie": COOKIE}),
    "cross-origin GET": ("GET", "/api/flows", {"Origin": EVIL, "Cookie": COOKIE}),
    "preflight": (
        "OPTIONS",
        "/api/flows",
        {"Origin": EVIL, "Access-Control-Request-Method": "PATCH", "Cookie": COOKIE},
    ),
    "sandboxed frame": ("POST", "/api/x", {"Origin": "null", "Cookie": COOKIE} | JSON),
    "origin of a file": ("POST", "/api/x", {"Origin": "file://", "Cookie": COOKIE} | JSON),
    "origin on another port": ("POST", "/api/x", {"Origin": "http://127.0.0.1:1", "Cookie": COOKIE} | JSON),
    "origin without a port": ("POST", "/api/x", {"Origin": "http://127.0.0.1", "Cookie": COOKIE} | JSON),
    "origin that begins alike": ("POST", "/api/x", {"Origin": OWN + ".evil.example", "Cookie": COOKIE} | JSON),
    "origin with a user": (
        "POST",
        "/api/x",
        {"Origin": "http://127.0.0.1:{port}@evil.example", "Cookie": COOKIE} | JSON,
    ),
    "rebound name": ("GET", "/api/flows", {"Host": "evil.example:{port}", "Cookie": COOKIE}),
    "rebound name, own origin": (
        "POST",
        "/api/x",
        {"Host": "evil.example:{port}", "Origin": OWN, "Cookie": COOKIE} | JSON,
    ),
    "name without a port": ("GET", "/api/flows", {"Host": "127.0.0.1", "Cookie": COOKIE}),
    "zero address": ("GET", "/api/flows", {"Host": "0.0.0.0:{port}", "Cookie": COOKIE}),
    "name with a dot": ("GET", "/api/flows", {"Host": "localhost.:{port}", "Cookie": COOKIE}),
    "image of another site": ("GET", "/api/flows", {"Sec-Fetch-Site": "cross-site", "Cookie": COOKIE}),
    "image of another port": ("GET", "/api/flows", {"Sec-Fetch-Site": "same-site", "Cookie": COOKIE}),
    "form as text": ("POST", "/api/x", {"Origin": OWN, "Cookie": COOKIE, "Content-Type": "text/plain"}),
    "form": ("POST", "/api/x", {"Origin": OWN, "Cookie": COOKIE, "Content-Type": "application/x-www-form-urlencoded"}),
    "form with a file": (
        "POST",
        "/api/x",
        {"Origin": OWN, "Cookie": COOKIE, "Content-Type": "multipart/form-data; boundary=x"},
    ),
    "form without a type": ("POST", "/api/x", {"Origin": OWN, "Cookie": COOKIE}),
    "no origin": ("POST", "/api/x", {"Cookie": COOKIE} | JSON),
    "login elsewhere": ("GET", f"/edac-login?password={PASSWORD}", {"Sec-Fetch-Site": "cross-site"}),
    "websocket elsewhere": ("GET", "/api/events/in", {"Origin": EVIL, "Cookie": COOKIE} | UPGRADE),
    "websocket without a cookie": ("GET", "/api/events/in", {"Origin": OWN} | UPGRADE),
    "websocket of a rebound name": (
        "GET",
        "/api/logs/out",
        {"Host": "evil.example:{port}", "Cookie": COOKIE} | UPGRADE,
    ),
    "pull steps by the page itself": ("PATCH", "/api/deployments/1", {"Origin": OWN, "Cookie": COOKIE} | JSON),
    "pull steps by a program": ("POST", "/api/deployments/", {"Authorization": guard.authorization(PASSWORD)} | JSON),
    "variables of a run's process": ("POST", "/api/deployments/1/create_flow_run", AUTHORISED),
    "variables of a run's process, by its page": (
        "POST",
        "/api/deployments/1/create_flow_run",
        {"Origin": OWN, "Cookie": COOKIE} | JSON,
    ),
    "a run beside the deployments": ("POST", "/api/flow_runs/", AUTHORISED),
    "parameters unchecked": ("PATCH", "/api/deployments/1", AUTHORISED),
    "other code": ("PATCH", "/api/deployments/1", AUTHORISED),
    "other code from the start": ("POST", "/api/deployments/", AUTHORISED),
    "other folder": ("PATCH", "/api/deployments/1", AUTHORISED),
    "no JSON for deployments": ("POST", "/api/deployments/", {"Authorization": guard.authorization(PASSWORD)}),
    "assistant of MLflow": (
        "POST",
        "/ajax-api/3.0/mlflow/assistant/message",
        {"Origin": OWN, "Cookie": COOKIE} | JSON,
    ),
    "assistant of MLflow, by a program": ("GET", "/ajax-api/3.0/mlflow/assistant/sessions/1/stream", AUTHORISED),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks(served: Served, name: str) -> None:
    method, path, headers = ATTACKS[name]
    body = BODIES.get(name, PATCH) if method in ("POST", "PATCH") else b""
    before = len(served.app.reached)
    filled = {key: value.replace("{port}", str(served.port)) for key, value in headers.items()}
    assert served.ask(method, path, filled, body) in (400, 401, 403, 415)
    assert len(served.app.reached) == before, "it reached the application"


def test_two_hosts(served: Served) -> None:
    before = len(served.app.reached)
    hosts = [("Host", f"127.0.0.1:{served.port}"), ("Host", "evil.example")]
    assert served.ask("GET", "/api/flows", [*hosts, ("Cookie", COOKIE.format(port=served.port))]) in (400, 403)
    assert len(served.app.reached) == before


def test_what_passes(served: Served) -> None:
    own, cookie = OWN.format(port=served.port), COOKIE.format(port=served.port)
    authorised = {"Authorization": guard.authorization(PASSWORD)}
    assert served.ask("GET", "/api/health", {}) == 200
    assert served.ask("GET", "/api/flows", authorised) == 200
    assert served.ask("POST", "/api/2.0/mlflow/runs/create", authorised | JSON, b"{}") == 200
    assert served.ask("PUT", "/api/2.0/mlflow-artifacts/x", authorised, b"\0\1") == 200
    assert served.ask("PATCH", "/api/deployments/1", authorised | JSON, b'{"pull_steps": null, "paused": true}') == 200
    assert served.app.reached[-1][2].startswith(b'{"pull_steps": null, "paused": true}')
    create = b'{"name": "grid", "entrypoint": "flows/serve.py:grid", "path": ".", "job_variables": {}}'
    assert served.ask("POST", "/api/deployments/", authorised | JSON, create) == 200
    assert served.ask("PATCH", "/api/deployments/1", authorised | JSON, b'{"entrypoint": "flows/push.py:push"}') == 200
    for path in (Path(guard.__file__).parent, os.path.relpath(Path(guard.__file__).parent)):
        own_code = json.dumps({"entrypoint": f"{path}/serve.py:pipeline"}).encode()
        assert served.ask("POST", "/api/deployments/", authorised | JSON, own_code) == 200
    start = b'{"parameters": {"sparsities": [0.5]}, "job_variables": {}}'
    assert served.ask("POST", "/api/deployments/1/create_flow_run", authorised | JSON, start) == 200
    assert served.ask("POST", "/api/flow_runs/filter", authorised | JSON, b"{}") == 200
    assert served.ask("GET", "/", {"Cookie": cookie, "Sec-Fetch-Site": "none"}) == 200
    assert (
        served.ask("POST", "/api/x", {"Cookie": cookie, "Origin": own, "Sec-Fetch-Site": "same-origin"} | JSON, b"{}")
        == 200
    )
    assert guard.authorization(PASSWORD).encode() in served.app.reached[-1][2], "the application gets the password"
    assert served.ask("GET", f"/edac-login?password={PASSWORD}", {}) == 303


def test_websockets_of_pages_get_the_password_and_those_of_programs_are_the_applications_business(
    served: Served,
) -> None:
    import websockets

    async def talk(headers: dict[str, str]) -> None:
        address = f"ws://127.0.0.1:{served.port}/api/events/in"
        async with websockets.connect(address, additional_headers=headers, proxy=None) as wire:
            await wire.send(json.dumps({"type": "auth", "token": None}))
            await wire.wait_closed()

    own, cookie = OWN.format(port=served.port), COOKIE.format(port=served.port)
    asyncio.run(talk({"Origin": own, "Cookie": cookie}))
    assert json.loads(served.app.reached[-1][2])["token"] == guard.authorization(PASSWORD).removeprefix("Basic ")
    asyncio.run(talk({}))
    assert json.loads(served.app.reached[-1][2])["token"] is None


@pytest.mark.parametrize(
    "name", ["cross-origin POST", "cross-origin GET", "rebound name", "preflight", "sandboxed frame"]
)
def test_a_server_for_one_sweep_asks_for_no_password_but_keeps_browsers_out(
    without_password: Served, name: str
) -> None:
    method, path, headers = ATTACKS[name]
    filled = {key: value.replace("{port}", str(without_password.port)) for key, value in headers.items()}
    assert without_password.ask(method, path, filled, b"{}" if method == "POST" else b"") == 403
    assert without_password.app.reached == []


def test_a_real_browser_at_another_origin(served: Served, tmp_path: Path) -> None:
    """A page of another port of this machine, with the cookie in its browser."""
    import shutil
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("no Chromium here")
    target = f"http://127.0.0.1:{served.port}"
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text(f"""<body><img src="{target}/api/flows">
        <form id=f method=POST action="{target}/api/x" target=t enctype="text/plain">
        <input name='{{"a":"' value='"}}'></form><iframe name=t></iframe><script>
        const body = "{{}}", credentials = "include";
        for (const type of ["text/plain", "application/json"])
            for (const method of ["POST", "PATCH", "GET"])
                for (const mode of ["no-cors", "cors"])
                    fetch("{target}/api/deployments/1", {{method, mode, credentials,
                        headers: {{"content-type": type}}, ...(method === "GET" ? {{}} : {{body}})}}).catch(() => 0);
        new WebSocket("ws://127.0.0.1:{served.port}/api/events/in");
        document.getElementById("f").submit();
        </script>""")

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path / "site"))

        def log_message(self, *_: object) -> None:
            pass

    site = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    flags = [
        "--headless",
        "--no-sandbox",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=4000",
        "--dump-dom",
    ]

    def open_page(address: str) -> str:
        return subprocess.run(
            [browser, *flags, address], capture_output=True, text=True, timeout=120, check=True
        ).stdout

    try:
        assert "done" in open_page(f"{target}/edac-login?password={PASSWORD}"), "the link logs the browser in"
        before = len(served.app.reached)
        open_page(f"http://127.0.0.1:{site.server_port}/index.html")
        open_page(f"http://localhost:{site.server_port}/index.html")
        assert served.app.reached[before:] == []
        assert "done" in open_page(target), "the cookie is still there"
    finally:
        site.shutdown()
        site.server_close()


def test_a_prefect_server_that_is_away_or_refuses_is_a_sentence(served: Served) -> None:
    from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

    from flows.execution.prefect_server import require_server

    address = f"http://127.0.0.1:{served.port}/api"
    with pytest.raises(EdacError, match=rf"{address} refuses access.*PREFECT_API_AUTH_STRING"):
        require_server(address)
    with temporary_settings({PREFECT_API_AUTH_STRING: f"{guard.USER}:{PASSWORD}"}):
        require_server(address)
    for dead in ("http://127.0.0.1:9/api", "nonsense", "http://no-such-host.invalid/api"):
        with pytest.raises(EdacError, match=rf"{dead} does not answer \(.*PREFECT_API_URL"):
            require_server(dead)


def test_the_password_is_made_once_and_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "home/password"
    first = guard.password(file)
    assert len(first) >= 32
    assert guard.password(file) == first
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    guard.password(file)
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("short")
    with pytest.raises(EdacError, match="at least 16 characters"):
        guard.password(file)
    (tmp_path / "file").write_text("")
    with pytest.raises(EdacError, match=r"\(File exists\).*PREFECT_HOME"):
        guard.password(tmp_path / "file/password")


def test_this_machine_is_never_reached_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    without_proxy()
    assert "NO_PROXY" not in os.environ
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "intern.example, localhost")
    without_proxy()
    without_proxy()
    assert os.environ["NO_PROXY"] == "intern.example,localhost,127.0.0.1,::1"
    assert os.environ["no_proxy"] == "127.0.0.1,localhost,::1"
    import urllib.request

    assert urllib.request.proxy_bypass("127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "*")
    without_proxy()
    assert os.environ["NO_PROXY"] == "*"
