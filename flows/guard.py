"""Guard in front of the Prefect and the MLflow server, so that no page in a browser commands this machine.

Any page can have a browser send requests to 127.0.0.1, and by DNS rebinding read the answers. A request passes only if

1. its Host is one of this server's own names,
2. its Origin, if it has one, and what the browser says of its site (Sec-Fetch-Site) are this server's own,
3. it carries the password: as `Authorization` (programs), or as the cookie that the printed link sets (browsers), which
   is HttpOnly and SameSite=Strict,
4. with a cookie, whatever may change something has a content type that no HTML form can send.

Cookies are shared among the ports of a host, so that the fourth rule and the second hold against other local servers.
`python -m flows.guard MODULE:FACTORY --port PORT --password FILE` serves an application behind it.
"""

import argparse
import base64
import hmac
import importlib
import json
import os
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from stages.core.project import errors, lazy
from stages.core.project.errors import EdacError

if TYPE_CHECKING:
    import uvicorn
else:
    uvicorn = lazy.module("uvicorn")

USER = "edac"
LOGIN = "/edac-login"
HOSTS = "EDAC_HOSTS"
"""Environment variable: further names, as `host:port`, under which a server is reached, separated by commas."""
_SAFE = ("GET", "HEAD", "OPTIONS")
_TYPES = (
    "application/json",
    "application/octet-stream",
)  # what no HTML form can send
_HEALTH = ("/api/health", "/health")
_ASSISTANT = "/mlflow/assistant/"  # of MLflow: a language model that runs programs on this machine
_LARGEST = 2**22  # bytes of a request about deployments, which is read before it passes
_OUTSIDE = ("pull_steps", "job_variables", "infra_overrides", "storage_document_id", "infrastructure_document_id")
_ENTRYPOINT = re.compile(r"flows/(serve|push)\.py:\w+")
_PROJECT = Path(__file__).resolve().parents[1]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """An ASGI application that lets requests through to another, or answers them itself.

    Parameters
    ----------
    app : App
    password : str or None
        None asks for none: the first two rules alone keep out what a browser sends.
    hosts : frozenset[str]
        Names with ports under which it is reached, e.g. ``"127.0.0.1:4200"``.
    home : str
        Page to which the printed link leads.
    """

    def __init__(self, app: App, password: str | None, hosts: frozenset[str], *, home: str = "/") -> None:
        self._app = app
        self._hosts = hosts
        self._home = home
        self._open, self._password = password is None, password or secrets.token_urlsafe(24)
        self._cookie = f"edac-{min(hosts).rpartition(':')[2]}"
        self._basic = authorization(self._password)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            return
        try:
            receive = await self._admit(scope, receive)
        except _Refusal as refusal:
            await _refuse(scope, receive, send, refusal)
            return
        await self._app(scope, receive, _without_login(scope, send))

    async def _admit(self, scope: Scope, receive: Receive) -> Receive:
        """Return from where the application reads the request; raise `_Refusal` unless it passes."""
        headers = _Headers(scope)
        websocket, method, path = scope["type"] == "websocket", scope.get("method", "GET"), scope["path"]
        if headers.one("host") not in self._hosts:
            raise _Refusal(403, "This server is not reached under that name.")
        origin, site = headers.one("origin"), headers.one("sec-fetch-site")
        own_origin = origin is not None and origin.partition("://")[2] in self._hosts
        if (origin is not None and not own_origin) or site in ("cross-site", "same-site"):
            raise _Refusal(403, "Pages of other origins have no access.")
        if websocket and origin is None and headers.one("sec-fetch-site") is None:
            return receive  # no browser: the application asks for the password itself, in its first message
        if path == LOGIN and method == "GET":
            self._log_in(scope)
        if method == "GET" and path in _HEALTH:
            return receive
        if _ASSISTANT in path.lower():
            raise _Refusal(403, "MLflow's assistant is off: it runs programs on this machine.")
        if self._open or self._is_authorised(headers):
            return await _without_foreign_code(scope, receive)
        if not self._has_cookie(headers):
            raise _Refusal(401, "Open the link that was printed at the start, or send the password (Basic, user edac).")
        if method not in _SAFE:
            if not own_origin:
                raise _Refusal(403, "A page must say its origin to change something.")
            kind = (headers.one("content-type") or "").partition(";")[0].strip().lower()
            if kind not in _TYPES and headers.one("content-length") not in (None, "0"):
                raise _Refusal(415, f"The content type must be {_TYPES[0]}.")
        scope["headers"] = [(k, v) for k, v in scope["headers"] if k.lower() != b"authorization"]
        scope["headers"].append((b"authorization", self._basic.encode()))
        return self._with_password(receive) if websocket else await _without_foreign_code(scope, receive)

    def _log_in(self, scope: Scope) -> None:
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("password", [""])[0]
        if not hmac.compare_digest(given.encode(), self._password.encode()):
            raise _Refusal(401, "That is not the password. Open the link that was printed at the start.")
        cookie = f"{self._cookie}={self._password}; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000"
        raise _Refusal(303, "", [(b"location", self._home.encode()), (b"set-cookie", cookie.encode())])

    def _is_authorised(self, headers: "_Headers") -> bool:
        given = headers.one("authorization") or ""
        return hmac.compare_digest(given.encode(), self._basic.encode())

    def _has_cookie(self, headers: "_Headers") -> bool:
        try:
            jar = SimpleCookie(headers.one("cookie") or "")
        except CookieError:
            return False
        given = jar[self._cookie].value if self._cookie in jar else ""
        return hmac.compare_digest(given.encode(), self._password.encode())

    def _with_password(self, receive: Receive) -> Receive:
        """Put the password into the message by which Prefect's pages authenticate a WebSocket."""
        token = base64.b64encode(f"{USER}:{self._password}".encode()).decode()

        async def read() -> MutableMapping[str, Any]:
            message = await receive()
            try:
                content = json.loads(message.get("text") or "null")
            except ValueError:
                return message
            if isinstance(content, dict) and content.get("type") == "auth":
                message["text"] = json.dumps(content | {"token": token})
            return message

        return read


class _Refusal(Exception):  # noqa: N818  it is an answer
    def __init__(self, status: int, reason: str, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        super().__init__(reason)
        self.status, self.headers = status, headers or []


class _Headers:
    """The headers of a request; one that comes twice counts as one that fits nothing."""

    def __init__(self, scope: Scope) -> None:
        self._held: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            self._held.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def one(self, name: str) -> str | None:
        values = self._held.get(name)
        if values is None:
            return None
        return values[0] if len(values) == 1 else "several"


def _without_login(scope: Scope, send: Send) -> Send:
    """Keep Prefect's page from asking for the password once more: a browser that gets its settings has logged in."""
    if not scope["path"].endswith("/ui-settings"):
        return send

    async def write(message: MutableMapping[str, Any]) -> None:
        if "body" in message:
            message["body"] = message["body"].replace(b'"auth":"BASIC"', b'"auth":null   ')  # of the same length
        await send(message)

    return write


async def _without_foreign_code(scope: Scope, receive: Receive) -> Receive:
    """Read a request that changes or starts a deployment, and refuse what would have it run other code than ours.

    Deployments of this project have no pull steps and no variables of their process, check their parameters, and keep
    the code that they were served with.
    """
    about = any(kind in scope["path"] for kind in ("/deployments", "/flow_runs"))
    if scope["type"] != "http" or scope["method"] in _SAFE or not about:
        return receive
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Refusal(400, "The request is not complete.")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > _LARGEST:
            raise _Refusal(413, "The request is too large.")
    try:
        content = json.loads(body or b"null")
    except (ValueError, RecursionError):
        raise _Refusal(400, "The request must be JSON.") from None
    for each in content if isinstance(content, list) else [content]:
        if isinstance(each, dict):
            _require_own(each, scope["method"])
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> MutableMapping[str, Any]:
        return left.pop() if left else await receive()

    return read


def _require_own(content: dict[str, object], method: str) -> None:
    given = [name for name in _OUTSIDE if content.get(name)]
    if method == "PATCH" and content.get("path") not in (None, "", "."):
        given.append("path")
    if (entrypoint := content.get("entrypoint")) and not _is_own(str(entrypoint)):
        given.append("entrypoint of other code")
    if given:
        raise _Refusal(403, f"Deployments of this project take no {given[0]}.")
    if content.get("enforce_parameter_schema") is False:
        raise _Refusal(403, "Deployments of this project check their parameters.")


def _is_own(entrypoint: str) -> bool:
    """Return whether an entry point names code in this project's folder, or a flow of another clone's."""
    absolute = Path(os.path.normpath(Path.cwd() / entrypoint))  # links are not followed, but `..` is
    return absolute.is_relative_to(_PROJECT) or bool(_ENTRYPOINT.fullmatch(entrypoint))


async def _refuse(scope: Scope, receive: Receive, send: Send, refusal: _Refusal) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": str(refusal)})
        return
    always = [(b"content-type", b"text/plain; charset=utf-8"), (b"referrer-policy", b"no-referrer")]
    if refusal.status == 401:
        always.append((b"cache-control", b"no-store"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": [*always, *refusal.headers]})
    await send({"type": "http.response.body", "body": f"{refusal}\n".encode()})


def password(file: Path) -> str:
    """Return the password that a file keeps, made at the first call; only its owner can read it.

    Raises
    ------
    EdacError
        If the file cannot be made or read.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            file.chmod(0o600)
        else:
            with os.fdopen(handle, "w") as stream:
                stream.write(secrets.token_urlsafe(24))
        found = file.read_text().strip()
    except OSError as error:
        raise EdacError(f"{file}, the password, cannot be kept ({error.strerror}). Check PREFECT_HOME.") from None
    if len(found) < 16 or not found.isascii() or not found.isprintable():
        raise EdacError(f"{file} must hold a password of at least 16 characters. Remove it, and a new one is made.")
    return found


def authorization(secret: str) -> str:
    """Return the value of the header `Authorization` for a password."""
    return "Basic " + base64.b64encode(f"{USER}:{secret}".encode()).decode()


def own_hosts(port: int) -> frozenset[str]:
    """Return the names under which a server on a port of loopback is reached, and those of the environment."""
    more = (name.strip() for name in os.environ.get(HOSTS, "").split(","))
    return frozenset([f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}", *filter(None, more)])


def main() -> None:
    """Serve an application behind a guard."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("app", help="MODULE:FACTORY")
    parser.add_argument("arguments", nargs="*", help="of the factory")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--password", type=Path, required=True, help="file that keeps it")
    parser.add_argument("--home", default="/", metavar="PATH", help="page to which the printed link leads")
    given = parser.parse_args()
    module, _, factory = given.app.partition(":")
    app = getattr(importlib.import_module(module), factory)(*given.arguments)
    guarded = Guard(app, password(given.password), own_hosts(given.port), home=given.home)
    uvicorn.run(guarded, host=given.host, port=given.port, log_level="warning", timeout_keep_alive=5)


if __name__ == "__main__":
    errors.run(main)
