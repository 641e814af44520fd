import hashlib
import http.server
import re
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stages.core.project.errors import DataError
from stages.pull.download import PublishedTree, download, fetch_tree, sync, verify, verify_tree

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@dataclass
class Server:
    """A local publisher of `content`, which can be told to misbehave."""

    content: bytes = CONTENT
    ranges: bool = True
    cut: int = 0  # how many answers break off half way
    codes: list[int] = field(default_factory=list)  # what to answer first
    asked: list[str | None] = field(default_factory=list)  # the Range header of each request
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append(wanted)
            if state.codes:
                self.send_error(state.codes.pop(0))
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and state.ranges else 0
            if start >= len(state.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(state.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if state.cut:
                state.cut -= 1
                body = body[: len(body) // 2]
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    state.url = f"http://127.0.0.1:{httpd.server_port}/file.bin"
    yield state
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def test_a_whole_file_arrives_and_leaves_no_part(server: Server, tmp_path: Path) -> None:
    download(server.url, tmp_path / "file.bin", checksum=SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]


def test_a_killed_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    download(server.url, tmp_path / "file.bin", checksum=SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-"]


def test_a_broken_connection_is_resumed(server: Server, tmp_path: Path) -> None:
    server.cut = 2
    download(server.url, tmp_path / "file.bin", checksum=SHA256, pause_s=0)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={len(CONTENT) // 2}-", f"bytes={len(CONTENT) * 3 // 4}-"]


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "file.bin.part").write_bytes(b"old")
    download(server.url, tmp_path / "file.bin", checksum=SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_part_that_is_already_whole_is_taken(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    download(server.url, tmp_path / "file.bin", checksum=SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    download(server.url, tmp_path / "file.bin", checksum=SHA256, pause_s=0)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_passing_refusal_is_tried_again_and_a_firm_one_is_not(server: Server, tmp_path: Path) -> None:
    server.codes = [503, 429]
    download(server.url, tmp_path / "file.bin", checksum=SHA256, pause_s=0)
    server.codes = [404]
    with pytest.raises(DataError, match=r"file.bin .*404 .*pull\.mirror"):
        download(server.url, tmp_path / "other.bin", pause_s=0)
    assert len(server.asked) == 4


def test_a_server_that_never_answers_is_given_up(server: Server, tmp_path: Path) -> None:
    server.codes = [503] * 99
    with pytest.raises(DataError, match="after 6 attempts"):
        download(server.url, tmp_path / "file.bin", pause_s=0)


def test_wrong_bytes_are_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    server.content = b"something else"
    got = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(DataError, match=f"file.bin must have sha256 {SHA256[7:]}; got {got}"):
        download(server.url, tmp_path / "file.bin", checksum=SHA256)
    assert list(tmp_path.iterdir()) == []


def test_a_file_already_there_is_checked_without_a_request(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(CONTENT)
    download(server.url, tmp_path / "file.bin", checksum=SHA256)
    assert server.asked == []
    (tmp_path / "file.bin").write_bytes(b"changed")
    with pytest.raises(DataError, match="must have sha256"):
        download(server.url, tmp_path / "file.bin", checksum=SHA256)


@pytest.mark.parametrize(
    ("content", "name"),  # git hash-object
    [(b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"), (b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a")],
)
def test_content_is_checked_by_the_name_git_gives_it(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / "file.bin").write_bytes(content)
    verify(tmp_path / "file.bin", f"git:{name}")
    with pytest.raises(DataError, match=f"must have git 0{name[1:]}; got {name}"):
        verify(tmp_path / "file.bin", f"git:0{name[1:]}")


def published(folder: Path, content: str = "two") -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("one")
    (folder / "sub" / "b.txt").write_text(content)
    return folder


def check(folder: Path) -> list[str]:
    # By hand: printf 'one' | sha256sum and so on, listed as sha256sum does, and hashed once more.
    one, two = (hashlib.sha256(text).hexdigest() for text in (b"one", b"two"))
    listing = f"{one}  a.txt\n{two}  sub/b.txt\n"
    names = ["a.txt", "sub/b.txt"]
    verify_tree(folder, names, f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}")
    return names


def fetch(folder: Path, mirror: Path | None, url: str = "") -> None:
    folder.mkdir(exist_ok=True)
    fetch_tree(
        PublishedTree(url=url, archive_name="tree.zip", names=("tree", "tree-main"), landmark="a.txt", check=check),
        folder,
        mirror,
    )


def contents(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "archive" / "tree.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("tree-main/a.txt", "one")
        opened.writestr("tree-main/sub/b.txt", "two")
    return path


@pytest.mark.parametrize("place", ["", "tree", "tree-main"])
def test_a_mirror_may_be_the_tree_or_hold_it(tmp_path: Path, place: str) -> None:
    published(tmp_path / "mirror" / place)
    fetch(tmp_path / "out", tmp_path / "mirror")
    assert contents(tmp_path / "out") == {"a.txt": "one", "sub/b.txt": "two"}


def test_a_mirror_may_hold_the_archive(tmp_path: Path, archive: Path) -> None:
    fetch(tmp_path / "out", archive.parent)
    assert contents(tmp_path / "out") == {"a.txt": "one", "sub/b.txt": "two"}
    assert archive.is_file()


def test_the_network_gives_the_same_tree_once(tmp_path: Path, archive: Path, server: Server) -> None:
    server.content = archive.read_bytes()
    fetch(tmp_path / "out", None, server.url)
    fetch(tmp_path / "out", None, server.url)
    assert contents(tmp_path / "out") == {"a.txt": "one", "sub/b.txt": "two"}
    assert len(server.asked) == 1


def test_a_damaged_archive_is_not_kept(tmp_path: Path, server: Server) -> None:
    server.content = b"PK no archive"
    for _ in range(2):
        with pytest.raises(DataError, match="not a whole zip or tar archive"):
            fetch(tmp_path / "out", None, server.url)
    assert len(server.asked) == 2
    assert contents(tmp_path / "out") == {}


def test_a_mirror_with_other_bytes_is_refused(tmp_path: Path) -> None:
    published(tmp_path / "mirror" / "tree", content="2")
    with pytest.raises(DataError, match=r"2 files of .*tree .*sha256:.*; got sha256:"):
        fetch(tmp_path / "out", tmp_path / "mirror")
    assert contents(tmp_path / "out") == {}


def test_an_incomplete_mirror_is_refused(tmp_path: Path) -> None:
    (published(tmp_path / "mirror") / "sub" / "b.txt").unlink()
    with pytest.raises(DataError, match=r"mirror .*sub/b\.txt"):
        fetch(tmp_path / "out", tmp_path / "mirror")


def test_a_missing_or_empty_mirror_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'none'} is not a folder. Correct pull.mirror")):
        fetch(tmp_path / "out", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"a\.txt, .*tree, tree-main, tree\.zip"):
        fetch(tmp_path / "out", tmp_path / "empty")


def test_sync_copies_what_changed_and_removes_what_is_not_named(tmp_path: Path) -> None:
    root = published(tmp_path / "root")
    sync(root, ["a.txt", "sub/b.txt"], tmp_path / "out")
    kept = (tmp_path / "out" / "a.txt").stat().st_ino
    (root / "sub" / "b.txt").write_text("three")
    sync(root, ["a.txt", "sub/b.txt"], tmp_path / "out")
    assert contents(tmp_path / "out") == {"a.txt": "one", "sub/b.txt": "three"}
    assert (tmp_path / "out" / "a.txt").stat().st_ino == kept
    sync(root, ["a.txt"], tmp_path / "out")
    assert contents(tmp_path / "out") == {"a.txt": "one"}
