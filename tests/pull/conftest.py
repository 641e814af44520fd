import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from stages.core.artifacts.recordings import Recording, read_index
from stages.core.project import files
from stages.core.project.params import load
from stages.pull.params import PullParams
from stages.pull.stage import pull

Run = Callable[..., tuple[dict[str, Any], dict[str, Recording]]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Pull a source with the given options; returns its report and its index by recording."""

    def run(source: str, mirror: Path | None, **options: Any) -> tuple[dict[str, Any], dict[str, Recording]]:
        out = tmp_path / "data"
        pull(
            load(PullParams, {"source": source, "options": {source: options}}, "pull"),
            mirror=mirror,
            recordings=out / "recordings",
            index=out / "index.csv",
            labels=out / "labels.json",
            report=out / "report.json",
        )
        report = files.read_json(out / "report.json")
        return report, {r.recording_id: r for r in read_index(out / "index.csv")}

    return run


@dataclass
class Publisher:
    """A local server of named contents, some answers of which break off half way."""

    contents: dict[str, bytes] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path and Range header
    url: str = ""


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    state = Publisher()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            if self.path not in state.contents:
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            body = state.contents[self.path][start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.path in state.cut:
                state.cut.remove(self.path)
                body = body[: len(body) // 2]
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    state.url = f"http://127.0.0.1:{httpd.server_port}"
    yield state
    httpd.shutdown()
    httpd.server_close()
    thread.join()
