"""Odd terminals, parameter files, keys and folders around `edac devices`: one row or one sentence, never a wait."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stages.core.project import errors
from stages.core.project.loopback import without_proxy
from stages.core.project.provenance import ROOT
from tests.console import edac

LOCAL = "push:\n  devices:\n    - {name: %s, transport: local, folder: %s}\n"
SSH = "push:\n  devices:\n    - {name: pi, transport: ssh, host: 127.0.0.1, port: 9, folder: edac, %s}\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty project; whatever waits for two minutes fails."""

    def late(*_: object) -> None:
        raise AssertionError("it waits")

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "params.yaml").write_text(LOCAL % ("attic", "attic"))
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(120)
    yield tmp_path
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def said(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """Return the sentence of a command that fails."""
    assert edac(*command) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.mkdir()


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [a_pipe, a_folder, endless])
def test_a_file_that_a_person_names_is_none(
    make: Callable[[Path], None], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(project / "odd")
    refused = r"odd cannot be read (it is no regular file)"
    assert f"{refused}. Give the path of a file that you may read." in said(capsys, "devices", "trust", "odd")
    (project / "params.yaml").write_text("push: {inventory: odd}\n")
    assert f"{refused}. Put a YAML file there." in said(capsys, "devices")
    (project / "params.yaml").unlink()
    make(project / "params.yaml")
    assert "params.yaml cannot be read (it is no regular file). Put a YAML file there." in said(capsys, "devices")


@pytest.mark.parametrize("option", ["key_file", "known_hosts", "IdentityFile", "Include"])
@pytest.mark.parametrize("make", [a_pipe, endless])
def test_a_file_of_ssh_that_never_ends_fails_in_its_row(
    make: Callable[[Path], None], option: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key"], check=True)
    (project / "known").touch()
    make(project / "odd")
    options = {"key_file": "key", "known_hosts": "known"} | {option: "odd"}
    if option in ("IdentityFile", "Include"):
        (project / "config").write_text(f"Host 127.0.0.1\n  {option} {project / 'odd'}\n")
        options = {"ssh_config": "config", "known_hosts": "known"}
    (project / "params.yaml").write_text(SSH % ", ".join(f"{name}: {value}" for name, value in options.items()))
    assert edac("devices") == 1
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.startswith("pi ")
    assert "(it is no regular file)" in row


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.write_text("mine"), "which must be a folder and is none"),
        (a_pipe, "which must be a folder and is none"),
        (lambda path: path.symlink_to("/mnt/card"), "at /mnt/card, which is not there. Mount the disk"),
        (lambda path: path.symlink_to(path.name), "at attic, which is not there"),
    ],
)
def test_a_device_s_folder_that_is_none(
    make: Callable[[Path], None], sentence: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(project / "attic")
    assert edac("devices") == 1
    assert sentence in capsys.readouterr().out.splitlines()[-1]
    if (project / "attic").is_file():
        assert (project / "attic").read_text() == "mine"


def test_a_folder_that_no_file_system_takes_is_one_row(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = ['{name: a, transport: local, folder: "x\\0y"}', "{name: b, transport: local, folder: b}"]
    (project / "params.yaml").write_text("push:\n  devices:\n" + "".join(f"    - {each}\n" for each in listed))
    assert edac("devices") == 1
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["a", "b"]


@pytest.mark.parametrize(("folder", "target"), [("loop/edac", "loop"), ("card/edac/pi", "/mnt/card")])
def test_a_folder_behind_a_link_that_leads_nowhere(
    folder: str, target: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / folder.partition("/")[0]).symlink_to(target)
    (project / "params.yaml").write_text(LOCAL % ("attic", folder))
    assert edac("devices") == 1
    assert f"at {target}, which is not there. Mount the disk" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{name: a, transport: local, folder: x}", "{name: b, transport: web, folder: ./x/}"),
        ("{name: a, transport: ssh, host: pi, folder: x}", "{name: b, transport: ssh, host: pi, port: 22, folder: x/}"),
    ],
)
def test_two_devices_in_one_folder(one: str, other: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "params.yaml").write_text("push: {inventory: inventory.yaml}\n")
    (project / "inventory.yaml").write_text(f"- {one}\n- {other}\n")
    rule = "push.devices with inventory.yaml must have one entry per folder of a device; got ['a', 'b']. All are "
    assert rule in said(capsys, "devices")


def test_the_table_is_shown_where_its_memory_cannot_be_written(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "models/heard.json").mkdir(parents=True)
    assert edac("devices") == 1
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-1].startswith("attic ")
    assert shown.err.startswith("warning: models/heard.json cannot be written (Is a directory): it does not keep when ")


def test_an_mlruns_on_a_disk_that_is_not_there(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "mlruns").symlink_to("/mnt/disk/mlruns")
    for command in ("push", "models"):
        assert "mlruns leads to /mnt/disk/mlruns, which is not there." in said(capsys, command)


def run(shell: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    own = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHON": sys.executable} | environment
    # What a shell starts in the background ignores SIGINT, and `nohup` SIGHUP; who is started inherits that.
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGHUP)}
    try:
        return subprocess.run(["bash", "-c", shell], env=own, capture_output=True, check=False)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


PRINT = """$PYTHON -c '
from stages.core.project import errors
def main():
    print("\\xe9\\u4e2d" * 3)
    return 3
errors.run(main)'"""


@pytest.mark.parametrize(
    ("where", "environment", "code", "out", "error"),
    [
        ("", {}, 3, "é中é中é中\n".encode(), b""),
        ("", {"PYTHONIOENCODING": "ascii"}, 3, b"\\xe9\\u4e2d" * 3 + b"\n", b""),
        ("", {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, 3, b"\\xe9\\u4e2d" * 3 + b"\n", b""),
        (" > /dev/full", {}, 1, b"", b"error: No space left on device."),
        (" | true; exit ${PIPESTATUS[0]}", {}, 141, b"", b""),
        (" >&-", {}, 3, b"", b""),
    ],
)
def test_a_terminal_that_is_none(where: str, environment: dict[str, str], code: int, out: bytes, error: bytes) -> None:
    shell = PRINT.replace("print(", "import time; time.sleep(0.2); print(") if "true" in where else PRINT
    done = run(shell + where, **environment)
    assert (done.returncode, done.stdout) == (code, out), done.stderr
    assert done.stderr.startswith(error)
    assert done.stderr.count(b"\n") == bool(error)


END = """$PYTHON -c '
import os, tempfile
from stages.core.project import errors
def main():
    with tempfile.TemporaryDirectory() as folder:
        print(folder, flush=True)
        os.kill(os.getpid(), %d)
        import time; time.sleep(60)
errors.run(main)'"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_one_sentence_and_leaves_nothing_behind(number: signal.Signals) -> None:
    done = run(END % number)
    assert done.returncode == 128 + number
    assert done.stderr == b"interrupted; run the same command again to go on where it stopped\n"
    assert not Path(done.stdout.decode().strip()).exists()


def test_a_signal_that_is_ignored_ends_nothing() -> None:
    done = run("trap '' HUP; " + (END % signal.SIGHUP).replace("sleep(60)", "sleep(0)"))
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_broken_pipe_of_something_else_keeps_its_traceback() -> None:
    def main() -> None:
        raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        errors.run(main)


@pytest.mark.thorough
def test_a_current_folder_that_was_removed(project: Path) -> None:
    (project / "gone").mkdir()
    done = run("cd gone; rmdir ../gone; $PYTHON -m flows.cli.main devices")
    assert done.returncode == 1
    assert done.stderr == b"error: params.yaml does not exist. Run the command from the project's folder.\n"


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "socks5h://proxy.example:1080"])
def test_a_socks_proxy_stands_between_nothing_on_this_machine(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx
    import requests

    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    without_proxy()
    refused = pytest.raises((httpx.ConnectError, requests.ConnectionError), match=r"(?i)refused|failed to establish")
    with refused, httpx.Client() as client:
        client.get("http://127.0.0.1:9/")
    with refused:
        requests.get("http://127.0.0.1:9/", timeout=5)


def test_a_proxy_of_a_kind_that_no_client_takes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.execution.prefect_server import server

    monkeypatch.setenv("ALL_PROXY", "socks4://127.0.0.1:1")
    with pytest.raises(errors.EdacError, match=r"ALL_PROXY must name a proxy by http, .*; got 'socks4://"), server():
        pass


def test_a_clone_without_git_is_told_what_to_do(project: Path) -> None:
    shutil.copyfile(ROOT / "Makefile", project / "Makefile")
    for name in ("pyproject.toml", "constraints.txt", ".venv/.installed"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).touch()
    done = run("make run", GIT_CEILING_DIRECTORIES=str(project.parent))
    assert done.returncode != 0
    assert done.stdout.startswith(b"error: DVC needs a git repository, and this folder is none, such as one that was ")
    assert done.stdout.endswith(b"Run git init, or clone it instead; then make again.\n")


@pytest.mark.parametrize(
    ("fitting", "chosen"), [("python3 python3.12", "python3"), ("python3.13 python3.12", "python3.13"), ("", "")]
)
def test_make_takes_a_python_that_tensorflow_knows(project: Path, fitting: str, chosen: str) -> None:
    shutil.copyfile(ROOT / "Makefile", project / "Makefile")
    found = project / "bin"
    found.mkdir()
    for name in ("python3", "python3.13", "python3.12", "python3.11"):
        fits = "true" if name in fitting.split() else "false"
        (found / name).write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && echo Python 3.99 && exit\n[ "$1" = -c ] && {fits} && exit\n'
            f'[ "$1" = -m ] && echo {name} makes it >&2\nexit 1\n'
        )
        (found / name).chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt"):
        (project / name).touch()
    done = run(f"unset PYTHON; PATH={found}:/usr/bin:/bin make install")
    assert done.returncode != 0
    if chosen:
        assert f"{chosen} makes it" in done.stderr.decode()
    else:
        assert b"error: EDAC needs Python 3.11, 3.12 or 3.13, as TensorFlow does; got Python 3.99." in done.stdout
