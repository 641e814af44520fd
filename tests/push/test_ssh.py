"""Deliveries to a device behind a real sshd on loopback, whatever becomes of it and of the wire to it."""

import contextlib
import itertools
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import loopback  # type: ignore[import-not-found]
import pytest

from stages.core.project import files
from stages.core.project.errors import DeviceError, ParameterError
from stages.push import bundle, rollout
from stages.push.transport import Transport
from stages.push.transports import ssh
from stages.push.transports.ssh import Config, SshTransport
from tests.messages import line_with

OLD = "import sys; sys.version_info = (3, 9, 1); exec(sys.argv[-1])"  # a Python that claims to be old
AWKWARD = 'a device\'s "folder" $(touch pwned) `id` ; * ä'


def write_script(path: Path, lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return path


def set_up(folder: Path) -> None:
    """Give a device the Python that runs the tests, as if `stages.push.setup` had made it an environment."""
    write_script(folder / "venv/bin/python", f"exec '{sys.executable}' \"$@\"")


@pytest.fixture
def config(sshd: loopback.Sshd, tmp_path: Path) -> Config:
    """A device in an awkwardly named folder, set up with the Python that runs the tests."""
    folder = tmp_path / AWKWARD
    set_up(folder)
    return Config(
        host="127.0.0.1",
        user=sshd.user,
        folder=str(folder),
        port=sshd.port,
        known_hosts=sshd.known_hosts(tmp_path / "known_hosts"),
        key_file=sshd.folder / "client",
        python=sys.executable,
    )


@pytest.fixture
def device(config: Config) -> SshTransport:
    return ssh.connect(config, "bench")


@contextlib.contextmanager
def cut_wire(config: Config, limit: float, tally: Path, *, silently: bool = False) -> Iterator[Config]:
    """Yield the way to the same device over a wire that is cut after `limit` bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        carrier = get_context("fork").Process(
            target=loopback.carry, args=(listener, config.port, limit), kwargs={"silently": silently, "tally": tally}
        )
        carrier.start()
        port = listener.getsockname()[1]
    try:
        host_key = config.known_hosts.read_text().partition(" ")[2].strip()
        yield replace(config, port=port, host_key=host_key)
    finally:
        carrier.kill()
        carrier.join()


def make_source(folder: Path, size: int) -> Path:
    folder.mkdir()
    (folder / "big").write_bytes(random.Random(size).randbytes(size))
    (folder / "below").mkdir()
    (folder / "below/empty").write_bytes(b"")
    (folder / "below/$(small) 'file'").write_bytes(b"x")
    return folder


def take(device: SshTransport) -> None:
    """Take the lock, and give it back."""
    with device.lock():
        pass


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_push_twice_roll_back_and_classify(bundles: list[Path], config: Config, device: SshTransport) -> None:
    transport: Transport = device  # the class keeps the contract, says the type checker
    a, b = (bundle.release_id(release) for release in bundles[:2])
    first = rollout.deliver(transport, bundles[0], keep=2)
    assert (first.release, first.installed) == (a, True)
    assert first.max_difference < 1e-6
    assert not rollout.deliver(transport, bundles[0], keep=2).installed
    assert rollout.deliver(transport, bundles[1], keep=2).release == b
    assert contents(Path(config.folder) / "current") == contents(bundles[1])
    assert rollout.status(device).health == "healthy"
    assert rollout.rollback(device) == a
    (answer,) = rollout.classify(device, [str(bundles[0] / "golden/0.wav")])
    assert answer["label"] in ("negative", "positive")
    assert not list(Path.cwd().rglob("pwned"))
    assert not list(Path(config.folder).parent.rglob("pwned"))


def test_no_path_is_ever_read_by_a_shell(config: Config, device: SshTransport, tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", 10)
    with device.lock():
        device.upload(source, "aside/1")
        device.rename("aside/1", f"releases/{AWKWARD}")
        device.write_link("current", f"releases/{AWKWARD}")
        done = device.run("current", ["-c", "import sys; print(sys.argv[1:])", AWKWARD])
    assert done.stdout == f"{[AWKWARD]}\n"
    assert contents(Path(config.folder) / "current") == contents(source)
    assert device.read_link("current") == f"releases/{AWKWARD}"
    assert device.names("releases") == [AWKWARD]
    assert sorted(p.name for p in Path(config.folder).iterdir()) == [".lock", "aside", "current", "releases", "venv"]


def test_folder_in_the_users_home(config: Config) -> None:
    name = f"edac-test-{os.getpid()}"
    device = ssh.connect(replace(config, folder=name), "bench")
    try:
        with device.lock():
            assert device.bootstrap(["-c", "import os; print(os.getcwd())"]).stdout == f"{Path.home() / name}\n"
    finally:
        shutil.rmtree(Path.home() / name)


def test_agent(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = ssh.connect(replace(config, key_file=None), "bench")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(DeviceError, match=r"SSH agent \(SSH_AUTH_SOCK"):
        device.names(".")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    with pytest.raises(DeviceError, match=r"SSH agent .*\(No such file .*Device bench"):
        device.names(".")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", tmp_path / "agent"], stdout=subprocess.DEVNULL)
    try:
        while not (tmp_path / "agent").exists():
            time.sleep(0.01)
        with pytest.raises(DeviceError, match=r"SSH agent .*\(.*no key\)"):
            device.names(".")
        subprocess.run(["ssh-add", "-q", config.key_file or ""], check=True)
        assert device.names("venv") == ["bin"]
    finally:
        agent.kill()
        agent.wait()


def test_agent_that_never_answers(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "agent"))
        agent.listen()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        with pytest.raises(DeviceError, match=r"SSH agent .*\(no answer .*Device bench"):
            ssh.connect(replace(config, key_file=None, connect_timeout_s=0.2), "bench").names(".")


def test_a_shell_that_prints_something_first_is_told(config: Config, tmp_path: Path) -> None:
    chatty = write_script(tmp_path / "python", f"echo Welcome; exec '{sys.executable}' \"$@\"")
    with pytest.raises(DeviceError, match=r"^Device bench answers 'Welcome' "):
        ssh.connect(replace(config, python=str(chatty)), "bench").names(".")


def test_unknown_and_changed_host_keys(config: Config, sshd: loopback.Sshd, tmp_path: Path) -> None:
    def refusal(**changes: Any) -> str:
        with pytest.raises(DeviceError) as caught:
            ssh.connect(replace(config, **changes), "bench").names(".")
        return str(caught.value)

    other = loopback.make_key(tmp_path / "other")
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", tmp_path / "kind"], check=True)
    another_kind = (tmp_path / "kind.pub").read_text()
    changed = "Device bench shows another host key than the one we know: "
    (tmp_path / "empty").write_text("")
    assert line_with(refusal(known_hosts=tmp_path / "empty"), "Device bench", "a host key that is not in /")
    sshd.known_hosts(tmp_path / "elsewhere", port=1)
    assert line_with(refusal(known_hosts=tmp_path / "elsewhere"), "Device bench", "a host key that is not in /")
    assert refusal(known_hosts=sshd.known_hosts(tmp_path / "changed", key=other)).startswith(changed)
    assert refusal(known_hosts=sshd.known_hosts(tmp_path / "kind", key=another_kind)).startswith(changed)
    assert refusal(host_key=another_kind).startswith(changed)
    (tmp_path / "revoked").write_text(f"@revoked [127.0.0.1]:{sshd.port} {sshd.host_key}\n")
    assert refusal(known_hosts=tmp_path / "revoked").startswith("Device bench ")
    assert refusal(host_key=other).startswith(changed)
    assert line_with(refusal(known_hosts=tmp_path / "none"), "none, ", "host key of device bench", "(No such file")
    (tmp_path / "nonsense").write_text("nonsense\n")
    assert line_with(refusal(known_hosts=tmp_path / "nonsense"), "nonsense, ", "host key of device bench")
    pinned = ssh.connect(replace(config, host_key=sshd.host_key, known_hosts=tmp_path / "none"), "bench")
    assert pinned.names("venv") == ["bin"]


def test_a_key_that_is_refused_or_cannot_be_read(config: Config, tmp_path: Path) -> None:
    def refusal(key: Path) -> str:
        with pytest.raises(DeviceError) as caught:
            ssh.connect(replace(config, key_file=key), "bench").names(".")
        return str(caught.value)

    loopback.make_key(tmp_path / "stranger")
    assert line_with(refusal(tmp_path / "stranger"), "Device bench", f"let {config.user} in with /")
    assert line_with(refusal(tmp_path / "none"), "none, ", "key for device bench", "(No such file")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", tmp_path / "locked"], check=True)
    assert line_with(refusal(tmp_path / "locked"), "locked, ", "key for device bench")


def test_nobody_there(config: Config) -> None:
    nobody = ssh.connect(replace(config, port=loopback.free_port(), host_key=None), "bench")
    with pytest.raises(DeviceError, match=r"^Device bench .*127.0.0.1:\d+ \(Connection refused\)\.$"):
        nobody.names(".")
    nowhere = ssh.connect(replace(config, host="no-such-host.invalid"), "bench")
    with pytest.raises(DeviceError, match=r"^Device bench .*no-such-host.invalid:\d+ \("):
        nowhere.names(".")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        silent = ssh.connect(replace(config, port=mute.getsockname()[1], connect_timeout_s=0.3), "bench")
        with pytest.raises(DeviceError, match=r"^Device bench .*127.0.0.1:\d+ within 0.3 s"):
            silent.names(".")


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (None, r"^Device bench .*\(.*python: (No such file|not found)"),
        (
            f"exec '{sys.executable}' -c '{OLD}' \"$@\"",
            r"^Device bench .*Python 3\.9\.1; 3\.11",
        ),
        ("exit 3", r"^Device bench .*without a word"),
        ("echo 1; echo 5; sleep 9", r"^Device bench answers '1' "),
        ("echo edac-ready; echo 1; echo 5; sleep 9", r"^Device bench was lost \("),
        ("echo edac-ready; echo 10000; sleep 9", r"^Device bench gave no answer within 2.5 s"),
        ("echo edac-ready; echo 99999999999; cat /dev/zero", r"^Device bench .*64 MiB"),
        ("echo edac-ready; cat /dev/zero", r"^Device bench "),
        ("cat /dev/zero", r"^Device bench answers '\?\?\?"),
        ("cat /dev/zero >&2", r"^Device bench .*within 2.5 s: "),
        ("sleep 60", r"^Device bench .*within 2.5 s: "),
    ],
)
def test_a_device_whose_python_is_none(config: Config, tmp_path: Path, script: str | None, sentence: str) -> None:
    if script is not None:
        write_script(tmp_path / "python", script)
    odd = replace(config, python=str(tmp_path / "python"), connect_timeout_s=2.0, command_timeout_s=0.5)
    with pytest.raises(DeviceError, match=sentence):
        ssh.connect(odd, "bench").names(".")


def test_commands(config: Config, device: SshTransport) -> None:
    with device.lock():
        done = device.bootstrap(["-c", "import os, sys; print(dict(os.environ)); sys.exit('no')"])
        assert (done.returncode, done.stderr) == (1, "no\n")
        assert set(eval(done.stdout)) <= {"PATH", "LC_CTYPE"}
        assert len(device.run(".", ["-c", "print('x' * 5_000_000)"]).stdout) == 5_000_001
        with pytest.raises(DeviceError, match=r"^Device bench has no /.*/releases"):
            device.run("releases", [])
    hasty = ssh.connect(replace(config, command_timeout_s=0.5), "bench")
    with pytest.raises(DeviceError, match=r"^Device bench gave no answer within 0.5 s\.$"):
        hasty.run(".", ["-c", f"open({str(config.folder + '/started')!r}, 'w'); import time; time.sleep(60)"])
    assert hasty.names("venv") == ["bin"]  # on the same connection
    bare = ssh.connect(replace(config, folder=config.folder + "/bare"), "bench")
    with (
        bare.lock(),
        pytest.raises(DeviceError, match=r"cannot run .*/bare/venv/bin/python .*setup"),
    ):
        bare.run(".", [])


def test_an_upload_goes_on_at_the_byte_where_it_stopped(config: Config, tmp_path: Path) -> None:
    """Cut three times on the way, each time on what the time before left, then not."""
    source, folder = make_source(tmp_path / "source", 4_000_000), Path(config.folder)
    there, carried = [0], []
    for limit in (1_200_000, 1_100_000, 1_000_000, 10_000_000):
        with cut_wire(config, limit, tmp_path / "tally") as cut:
            device = ssh.connect(cut, "bench")
            with contextlib.ExitStack() as stack:
                if limit < 4_000_000:
                    stack.enter_context(pytest.raises(DeviceError, match=r"^Device bench was lost \("))
                with device.lock():
                    device.upload(source, "aside/1")
            take(ssh.connect(config, "bench"))  # which means that nothing is left of the push that was cut off
            carried.append(int((tmp_path / "tally").read_text()))
            if limit < 4_000_000:
                (part,) = (folder / "aside/1").glob(".pack.*.part")
                there.append(part.stat().st_size)
    assert contents(folder / "aside/1") == contents(source)
    assert [after - before > 500_000 for before, after in itertools.pairwise(there)] == [True] * 3
    assert carried[-1] < 4_000_000 - there[-1] + 200_000


def test_a_part_that_is_something_else_is_not_continued(config: Config, device: SshTransport, tmp_path: Path) -> None:
    source, aside = make_source(tmp_path / "source", 600_000), Path(config.folder) / "aside/1"
    wrong = {"big.part": b"\0" * 300_000, "below/empty": b"not", "below/other": b"", "stray.part": b"", "big/": b""}
    for path, data in wrong.items():
        if not path.endswith("/"):
            (aside / path).parent.mkdir(parents=True, exist_ok=True)
            (aside / path).write_bytes(data)
    with device.lock():
        device.upload(source, "aside/1")
    assert contents(aside) == contents(source)


@pytest.mark.thorough
def test_a_push_that_was_cut_off_is_finished_by_the_next(bundles: list[Path], config: Config, tmp_path: Path) -> None:
    rng, old = random.Random(1234), bundle.release_id(bundles[0])
    rollout.deliver(ssh.connect(config, "bench"), bundles[0], keep=2)
    for _ in range(2):
        limit = rng.randrange(2_000, 14_000)
        with cut_wire(config, limit, tmp_path / "tally") as cut, pytest.raises(DeviceError, match=r"^Device bench "):
            rollout.deliver(ssh.connect(cut, "bench"), bundles[1], keep=2)
        assert rollout.status(ssh.connect(config, "bench")).release == old
    assert rollout.deliver(ssh.connect(config, "bench"), bundles[1], keep=2).installed
    assert contents(Path(config.folder) / "current") == contents(bundles[1])


def test_one_push_at_a_time(config: Config, device: SshTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "PATIENCE_S", 0.2)
    other = ssh.connect(config, "bench")
    with device.lock():
        with (
            pytest.raises(DeviceError, match=r"^Device bench is held"),
            other.lock(),
        ):
            pass
        assert device.names("venv") == ["bin"]  # whoever holds it is not disturbed
    take(other)


def test_the_lock_and_what_was_started_go_with_whoever_held_it(config: Config, tmp_path: Path) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(Path.cwd())!r})
from pathlib import Path
from stages.push.transports import ssh
device = ssh.connect(ssh.Config(**{{**{json.dumps(_plain(config))}, "known_hosts": Path({str(config.known_hosts)!r}),
    "key_file": Path({str(config.key_file)!r})}}), "bench")
with device.lock():
    device.run(".", ["-c", "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"])
"""
    holder = subprocess.Popen([sys.executable, "-c", script])
    pid = Path(config.folder) / "pid"
    while not (pid.exists() and pid.read_text()):
        assert holder.poll() is None
        time.sleep(0.02)
    holder.kill()
    holder.wait()
    with ssh.connect(config, "bench").lock():
        assert not Path("/proc", pid.read_text()).exists()


def _plain(config: Config) -> dict[str, Any]:
    return {key: value for key, value in vars(config).items() if isinstance(value, str | int | float)}


@pytest.mark.thorough
def test_a_home_that_falls_silent_loses_the_lock(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "LEASE_S", 1.0)
    monkeypatch.setattr(ssh, "BEAT_S", 0.2)
    monkeypatch.setattr(ssh, "PATIENCE_S", 2.0)  # longer than the lease, which is renewed
    with ssh.connect(config, "bench").lock(), pytest.raises(DeviceError, match="held by another push"):
        take(ssh.connect(config, "bench"))
    with cut_wire(config, 40_000, tmp_path / "tally", silently=True) as cut:
        source = make_source(tmp_path / "source", 1_000_000)
        silent = ssh.connect(replace(cut, command_timeout_s=1.0, connect_timeout_s=2.0), "bench")
        with pytest.raises(DeviceError, match=r"^Device bench (gave no answer|was lost)"), silent.lock():
            silent.upload(source, "aside/1")
        monkeypatch.setattr(ssh, "PATIENCE_S", 10.0)
        take(ssh.connect(config, "bench"))


def test_hangs_up_when_there_is_nothing_to_do(device: SshTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "BEAT_S", 0.1)
    device.names(".")
    assert device._line is not None
    line = device._line
    deadline = time.monotonic() + 10
    while not line.ended and time.monotonic() < deadline:
        time.sleep(0.02)
    assert line.ended
    assert device.names("venv") == ["bin"]


def test_a_push_does_not_go_on_without_its_lock(device: SshTransport) -> None:
    with device.lock():
        assert device._line is not None
        device._line._connection.abort()
        with pytest.raises(DeviceError, match=r"^Device bench was lost \("):
            device.names(".")
        with pytest.raises(DeviceError, match=r"^Device bench was lost .*Push again\.$"):
            device.names(".")
    assert device.names("venv") == ["bin"]


def test_many_devices_at_a_time(bundles: list[Path], config: Config, tmp_path: Path) -> None:
    def push(i: int) -> str:
        set_up(tmp_path / str(i))
        device = ssh.connect(replace(config, folder=str(tmp_path / str(i))), f"device {i}")
        return rollout.deliver(device, bundles[0], keep=2).release

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(push, range(4))) == {bundle.release_id(bundles[0])}
    assert sum(thread.name == "ssh" for thread in threading.enumerate()) == 1


def test_a_full_disk_is_told_and_the_connection_stays(config: Config, device: SshTransport, tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", 600_000)
    write_script(tmp_path / "python", f"ulimit -f 600\nexec '{sys.executable}' \"$@\"")  # blocks of 512 bytes
    narrow = ssh.connect(replace(config, python=str(tmp_path / "python")), "bench")
    with narrow.lock():
        with pytest.raises(DeviceError, match=r"^Device bench cannot be written .*\(File too large\)"):
            narrow.upload(source, "aside/1")
        assert narrow.names("aside") == ["1"]
    with device.lock():
        device.upload(source, "aside/1")
    assert contents(Path(config.folder) / "aside/1") == contents(source)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"port": 0}, r"port must be in \[1, 65535\]; got 0"),
        ({"folder": ""}, "folder must not be empty"),
        ({"connect_timeout_s": 0.0}, "connect_timeout_s must be positive; got 0.0"),
        ({"host_key": "ssh-ed25519 nonsense"}, r"host_key .*got 'ssh-ed25519 nonsense'"),
    ],
)
def test_refused_parameters(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError, match=f"^push.devices: {sentence}"):
        Config(**{"host": "h", "user": "u", "folder": "f", **change})


def test_files_are_hashed_alike_at_both_ends(config: Config, device: SshTransport, tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", 1000)
    with device.lock():
        device.upload(source, "aside/1")
    wanted = {path: [len(data), files.sha256(source / path)] for path, data in contents(source).items()}
    assert device._ask("compare", "aside/1", wanted) == {"missing": [], "copies": [], "packs": {}, "xz": True}
