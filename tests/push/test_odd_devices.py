"""One device is one row: whatever it answers or however its shell behaves, it is right or fails in one sentence."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import loopback  # type: ignore[import-not-found]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.core.project.errors import DeviceError
from stages.push import answers, fleet, identity, rollout, setup
from stages.push.params import PushParams, RolloutParams, devices
from stages.push.transports import local, ssh
from stages.push.transports.local import LocalTransport
from tests.messages import line_with
from tests.push.quick import QuickDevice, make_bundle

pytestmark = pytest.mark.thorough

XNNPACK = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
ESCAPES = "\x1b[2J\x1b]0;owned\x07\u202e\x9b31m"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(ESCAPES),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["releases", "current", "next", "name", "free_bytes", "scores", "checks", "missing", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def script(path: Path, lines: str) -> Path:
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return path


def error_of(question: Callable[[], object]) -> str:
    """Return what a device's error says, empty if there is none."""
    try:
        question()
    except DeviceError as error:
        return str(error)
    return ""


class Liar(LocalTransport):
    """A device that gives the same answer to everything."""

    answer: Any = None

    def _ask(self, do: str, *arguments: Any, data: bytes | None = None) -> Any:  # noqa: ARG002
        return self.answer

    def _unlock(self) -> None:
        pass


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON)
def test_an_answer_of_any_shape_is_an_answer_or_that_devices_error(tmp_path: Path, answer: Any) -> None:
    device = Liar(local.Config(tmp_path / "none"), "bench")
    device.answer = answer
    release = tmp_path / "release"
    if not release.exists():
        make_bundle(release, "m", 1)
    for question in (
        lambda: rollout.deliver(device, release, keep=2),
        lambda: rollout.status(device),
        lambda: rollout.rollback(device),
        lambda: list(rollout.classify(device, ["x.wav"])),
        lambda: rollout.benchmark(device, runs=1),
        lambda: identity.keys(device),
        lambda: identity.distrust_key(device, "0" * 16),
        lambda: setup.describe(device),
    ):
        said = error_of(question)
        assert said.isprintable()
        assert len(said) < 1500


class Answering(QuickDevice):
    """A device on which one command answers what it is told to."""

    lines: dict[str, str]

    def answer(self, folder: str, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        for command, stdout in self.lines.items():
            if command in arguments:
                return subprocess.CompletedProcess([], 0, stdout, "")
        return super().answer(folder, arguments)


LINES = st.sampled_from(
    [
        "",
        "null",
        "[]",
        "{}",
        "{}\n{}",
        "NaN",
        '{"scores": {"no": NaN, "yes": NaN}}',
        '{"scores": {"no": 1e999, "yes": 1e999}}',
        '{"scores": {"no": "0.75", "yes": "0.25"}}',
        '{"scores": {"no": 0.75, "yes": 0.25, "more": 0.25}}',
        '{"scores": {}}',
        '{"scores": [0.25]}',
        '{"signed_by": 3}',
        '{"ok": true}',
        '{"checks": [{"check": 1}]}',
        '{"checks": 5, "ok": false}',
        "[" * 50_000,
        ESCAPES,
        json.dumps({"ok": True, "signed_by": ESCAPES}),
    ]
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["accept", "remember", "selftest", "classify", "verify"]), LINES, min_size=1))
def test_a_program_that_answers_anything_ends_in_a_row(tmp_path: Path, lines: dict[str, str]) -> None:
    folder = Path(os.path.realpath(tmp_path)) / "device"
    shutil.rmtree(folder, ignore_errors=True)
    good, new = tmp_path / "good", tmp_path / "new"
    if not good.exists():
        make_bundle(good, "good", 1)
        make_bundle(new, "new", 2)
    rollout.deliver(QuickDevice(local.Config(folder), "bench"), good, keep=2)
    device = Answering(local.Config(folder), "bench")
    device.lines = lines
    for question in (lambda: rollout.status(device), lambda: rollout.deliver(device, new, keep=2)):
        assert error_of(question).isprintable()
    assert (folder / "current/model.tflite").read_text() in ("good", "new")
    if "classify" in lines:
        assert (folder / "current/model.tflite").read_text() == "good"


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (f"echo '{XNNPACK}' >&2; kill -9 $$", "signal 9"),
        (f"echo '{XNNPACK}' >&2; exit 137", "signal 9"),
        (f"echo '{XNNPACK}' >&2; kill -11 $$", r"was ended by signal 11 \(Segmentation fault\)"),
        (f"echo '{XNNPACK}' >&2; kill -7 $$", r"was ended by signal 7 \(Bus error\)"),
        (f"echo 'error: no such kernel.' >&2; echo '{XNNPACK}' >&2; exit 1", r"\(no such kernel\)"),
        (f"echo '{XNNPACK}' >&2; exit 3", r"\(exit code 3\)"),
        ("echo 'W0000 00:00:17 1 cpu.cc:1] slow' >&2; exit 3", r"\(exit code 3\)"),
        ("printf 'Traceback\\n  x\\nOSError: broken\\nINFO: bye\\n' >&2; exit 1", r"\(OSError: broken\)"),
        ("printf '\\033[2Jerror: \\033]0;owned\\007 no\\n' >&2; exit 1", r"\?\[2Jerror: \?\]0;owned\? no"),
        ("exec cat /dev/zero", "8 MiB"),
        ("cat /dev/zero >&2", r"gave no answer within 2 s"),
        ("exec >&- 2>&-; sleep 60", r"gave no answer within 2 s"),
        ("yes 'error: no' | head -c 3000000 >&2; exit 1", r"\(no\)"),
        ("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1", r"\(x{300}\)"),
    ],
)
def test_how_a_program_ended_is_the_reason(tmp_path: Path, lines: str, sentence: str) -> None:
    python = script(tmp_path / "python", lines)
    device = local.connect(local.Config(tmp_path / "device", python=str(python), timeout_s=2.0), "bench")
    with pytest.raises(DeviceError, match=sentence) as caught:
        rollout.deliver(device, make_bundle(tmp_path / "release", "m", 1), keep=2)
    assert str(caught.value).isprintable()


def test_the_table_holds_the_others_and_no_escapes(
    bundles: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = script(tmp_path / "odd", f"printf '{ESCAPES}' >&2; echo '{{\"ok\": [1], \"signed_by\": 7}}'")
    tables = [{"name": f"d{i}", "transport": "local", "folder": tmp_path / f"d{i}"} for i in range(3)]
    tables[1] |= {"python": str(odd), "timeout_s": 5.0}
    params = PushParams(devices=tuple(tables), rollout=RolloutParams(canary=0, parallel=1, stop_at_failures=9))
    results = fleet.roll_out(devices(params), bundles[0], params=params)
    with pytest.raises(DeviceError, match=r"^d1 did not take the release"):
        fleet.show(results)
    out = capsys.readouterr().out
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["installed", "failed", "installed"]
    assert line_with(out, "no signature", "`edac devices trust`")
    assert all(line.isprintable() for line in out.splitlines())


def test_a_table_prints_no_control_characters() -> None:
    assert fleet.table(("a", "b"), [(ESCAPES, ESCAPES)]).replace("\n", "").isprintable()


SHELLS = {
    "tcsh": 'exec tcsh -c "$SSH_ORIGINAL_COMMAND"',
    "csh with a prompt": "exec tcsh -c \"$SSH_ORIGINAL_COMMAND\" # set prompt='!'",
    "fish": 'exec fish -c "$SSH_ORIGINAL_COMMAND"',
    "zsh": 'exec zsh -c "$SSH_ORIGINAL_COMMAND"',
    "dash": 'exec dash -c "$SSH_ORIGINAL_COMMAND"',
    "cd /": 'cd /; exec bash -c "$SSH_ORIGINAL_COMMAND"',
    "another HOME": 'export HOME=/nowhere; exec bash -c "$SSH_ORIGINAL_COMMAND"',
    "words on stderr": 'echo Welcome >&2; exec bash -c "$SSH_ORIGINAL_COMMAND"',
    "megabytes of words on stderr": 'yes Welcome | head -c 5000000 >&2; exec bash -c "$SSH_ORIGINAL_COMMAND"',
    "a strict umask": 'umask 077; exec bash -c "$SSH_ORIGINAL_COMMAND"',
    "Python's variables": 'export PYTHONSTARTUP=/x PYTHONPATH=/x PYTHONHOME=/x; exec bash -c "$SSH_ORIGINAL_COMMAND"',
}
ODD_SHELLS = {
    "exec fish": ("exec fish", "its shell did not start our command. Look for an `exec`"),
    "exec bash": ("exec bash", "its shell did not start our command. Look for an `exec`"),
    "exec tcsh": ("exec tcsh", "its shell did not start our command. Look for an `exec`"),
    "a question": ("read answer", "its shell did not start our command. Look for an `exec`"),
    "nologin": ("echo This account is currently not available.; exit 1", "answers 'This account is currently not"),
    "words": ('echo Welcome; exec bash -c "$SSH_ORIGINAL_COMMAND"', "answers 'Welcome' where its Python was to start"),
    "escapes": (f"printf '{ESCAPES}\\n'; sleep 9", "answers '?[2J?]0;owned???31m' where"),
    "no python": ("exec tcsh -c nothing", "did not start our command ("),
}


def behind(shell: str, folder: Path, sshd: type[loopback.Sshd] = loopback.Sshd) -> tuple[loopback.Sshd, ssh.Config]:
    """Start a server whose user has this shell."""
    if not Path(loopback.SSHD).exists():
        pytest.skip("no OpenSSH server here; install openssh-server")
    server = sshd(folder / "sshd", shell)
    config = ssh.Config(
        "127.0.0.1",
        str(folder / "device"),
        port=server.port,
        host_key=server.host_key,
        key_file=server.folder / "client",
        python=sys.executable,
        connect_timeout_s=10.0,
    )
    return server, config


@pytest.mark.parametrize("name", SHELLS)
def test_shells_that_work(name: str, tmp_path: Path) -> None:
    if name.split()[0] in ("tcsh", "csh", "fish", "zsh") and not shutil.which(name.split()[0].replace("csh", "csh")):
        pytest.skip(f"no {name} here")
    server, config = behind(SHELLS[name], tmp_path)
    try:
        device = ssh.connect(config, "bench")
        with device.lock():
            done = device.bootstrap(["-c", "print('it runs')"])
        assert done.stdout == "it runs\n"
        home = ssh.connect(replace(config, folder=f"edac-test-{os.getpid()}"), "bench")
        assert home.names(".") == []
        with home.lock():
            assert (Path(f"~{server.user}").expanduser() / f"edac-test-{os.getpid()}").is_dir()
            home.remove(".")
    finally:
        server.stop()
        shutil.rmtree(Path(f"~{server.user}").expanduser() / f"edac-test-{os.getpid()}", ignore_errors=True)


@pytest.mark.parametrize("name", ODD_SHELLS)
def test_shells_that_do_not_work_are_named_and_get_no_data(name: str, tmp_path: Path) -> None:
    shell, sentence = ODD_SHELLS[name]
    if shell.startswith("exec ") and not shutil.which(shell.split()[1]):
        pytest.skip(f"no {shell} here")
    server, config = behind(f"cd {tmp_path}; {shell}", tmp_path)
    try:
        with pytest.raises(DeviceError) as caught:
            ssh.connect(
                replace(config, connect_timeout_s=2.0, command_timeout_s=0.5, folder="touch pwned"), "bench"
            ).names(".")
        assert sentence in str(caught.value)
        assert str(caught.value).isprintable()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["sshd"]
    finally:
        server.stop()


def test_a_jump_host_and_an_alias(sshd: loopback.Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = sshd.known_hosts(tmp_path / "known_hosts")
    key = sshd.folder / "client"
    jump = f"{sshd.user}@127.0.0.1:{sshd.port}"
    plain = ssh.Config(
        "127.0.0.1",
        str(tmp_path / "device"),
        port=sshd.port,
        known_hosts=known,
        key_file=key,
        python=sys.executable,
    )
    (tmp_path / "device/there").mkdir(parents=True)
    assert ssh.connect(replace(plain, proxy_jump=jump), "bench").names(".") == ["there"]
    with pytest.raises(DeviceError, match=r"bench \(its proxy_jump\) .*127.0.0.1:1 "):
        ssh.connect(replace(plain, proxy_jump="127.0.0.1:1"), "bench").names(".")

    block = f"Host kitchen-edac\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {sshd.user}\n  IdentityFile {key}\n"
    (tmp_path / "config").write_text(block)
    alias = ssh.Config(
        "kitchen-edac",
        plain.folder,
        known_hosts=known,
        ssh_config=tmp_path / "config",
        python=sys.executable,
    )
    assert ssh.connect(alias, "bench").names(".") == ["there"]
    with pytest.raises(DeviceError, match=r"none, .*`ssh_config` of device bench"):
        ssh.connect(replace(alias, ssh_config=tmp_path / "none"), "bench").names(".")

    from stages.push.transports import _connection

    monkeypatch.setattr(_connection, "_USERS_CONFIG", tmp_path / "config")
    with pytest.raises(DeviceError, match=r"kitchen-edac .*config: add `ssh_config:"):
        ssh.connect(replace(alias, ssh_config=None, key_file=key), "bench").names(".")


def test_a_home_without_exec_is_named(device: LocalTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = answers.Space(10**9, None, noexec=True)
    monkeypatch.setattr(LocalTransport, "space", lambda _: space)
    with pytest.raises(DeviceError, match=r"bench .*noexec"):
        setup.set_up(device, tmp_path / "wheel", cache=tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="mounts a file system")
def test_noexec_is_seen(tmp_path: Path) -> None:
    device = local.connect(local.Config(tmp_path / "device"), "bench")
    (tmp_path / "device").mkdir()
    mount: Callable[..., Any] = subprocess.run
    if mount(["mount", "-t", "tmpfs", "-o", "noexec,size=1m", "tmpfs", tmp_path / "device"], check=False).returncode:
        pytest.skip("cannot mount here")
    try:
        assert device.space().noexec
        assert 0 < device.space().free_bytes <= 2**20
    finally:
        subprocess.run(["umount", "-l", tmp_path / "device"], check=True)
