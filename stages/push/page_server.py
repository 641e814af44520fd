"""A small web server on this machine for the page and one release, and for questions to a headless browser."""

import contextlib
import json
import mimetypes
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from stages.core.project.errors import ParameterError
from stages.push.page import INDEX, policy
from stages.runtime.lines import Line

HOST = "127.0.0.1"
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".wav": "audio/wav"}
_TYPES |= {".webmanifest": "application/manifest+json", ".md": "text/plain; charset=utf-8", ".html": "text/html"}
_LARGEST_ANSWER = 2**26  # bytes


@dataclass
class Question:
    """One question to the page in a headless browser, and its answer.

    Attributes
    ----------
    token : str
        32 hexadecimal digits, which only this browser is given.
    asked : dict
    clips : bytes
        float32 samples, for questions about given clips.
    answer : dict or None
        None until the page answered.
    answered : threading.Event
    """

    token: str
    asked: Line
    clips: bytes = b""
    answer: Line | None = None
    answered: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Served:
    """What the server gives out.

    Attributes
    ----------
    site : Path
        Folder of the page.
    release : Path
        Folder of the release, given out at `current/`.
    question : Question or None
    threads : bool
        Whether the page may start LiteRT with threads.
    """

    site: Path
    release: Path
    question: Question | None = None
    threads: bool = False


@contextlib.contextmanager
def serving(served: Served, port: int = 0) -> Iterator[str]:
    """Serve on loopback; yields the address.

    Raises
    ------
    ParameterError
        If the port is taken.
    """

    class Handler(_Handler):
        what = served

    try:
        server = _Server((HOST, port), Handler)
    except OSError as error:
        raise ParameterError(f"--port must be free; got {port} ({error.strerror}). Leave it out.") from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self._open: set[Any] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note each connection, which a browser keeps open."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that is over."""
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Close the door and every connection."""
        super().server_close()
        for request in [*self._open]:
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: Any) -> None:
        """Print nothing: a browser that is closed ends its connections at any moment."""


class _Handler(BaseHTTPRequestHandler):
    what: Served
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Print nothing: a person sees the page."""

    def do_GET(self) -> None:
        content = self._content()
        if content is None:
            self._send(404, b"not found\n", "text/plain")
        else:
            self._send(200, *content)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        question, length = self.what.question, int(self.headers.get("Content-Length") or 0)
        right = question is not None and self._path() == f"ask/{question.token}" and self._is_ours()
        if not right or question is None or length > _LARGEST_ANSWER:
            self.close_connection = True
            self._send(404, b"not found\n", "text/plain")
            return
        try:
            answer = json.loads(self.rfile.read(length))
        except ValueError:
            answer = None
        question.answer = answer if isinstance(answer, dict) else {"ok": False, "error": "the page answers no JSON"}
        self._send(200, b"", "text/plain")
        question.answered.set()

    def _path(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix("/")

    def _is_ours(self) -> bool:
        """Return whether the request names this server: another name that leads here is another site's doing."""
        port = self.connection.getsockname()[1]
        return self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}")

    def _content(self) -> tuple[bytes, str] | None:
        path, question = self._path(), self.what.question
        if not self._is_ours():
            return None
        if question is not None and path == f"ask/{question.token}.json":
            return json.dumps(question.asked).encode(), "application/json"
        if question is not None and path == f"ask/{question.token}.f32":
            return question.clips, "application/octet-stream"
        top, inside = self.what.site, path or INDEX
        if inside.startswith("current/"):
            top, inside = self.what.release, inside.removeprefix("current/")
        found = (top / inside).resolve()
        if not found.is_relative_to(top.resolve()) or not found.is_file():
            return None
        kind = _TYPES.get(found.suffix) or mimetypes.guess_type(found.name)[0] or "application/octet-stream"
        return found.read_bytes(), kind

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        csp = f"{policy(threads=self.what.threads)}; frame-ancestors 'none'"
        own = {"Content-Security-Policy": csp, "Content-Type": kind, "Content-Length": str(len(content))}
        for name, value in {**_HEADERS, **own}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(content)
