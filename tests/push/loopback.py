"""A real OpenSSH server on loopback that poses as a device, and a wire to it that can be cut."""

import contextlib
import getpass
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

SSHD = "/usr/sbin/sshd"


def free_port() -> int:
    """Return a port on loopback that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def make_key(path: Path) -> str:
    """Make an SSH key pair, and return the public half as `known_hosts` and `authorized_keys` have it."""
    for old in (path, path.with_suffix(".pub")):
        old.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


class Sshd:
    """A server with its own host key that lets one key in.

    Parameters
    ----------
    folder : Path
        Made; holds the server's keys, and `client`, the private key it lets in.
    shell : str
        Script that gets every command as ``$SSH_ORIGINAL_COMMAND``, as a login shell with start-up files would; empty
        for the user's own shell.

    Attributes
    ----------
    port : int
    host_key : str
        Public, as in `known_hosts`.
    """

    def __init__(self, folder: Path, shell: str = "") -> None:
        folder.mkdir()
        self.folder, self.port = folder, free_port()
        (folder / "authorized_keys").write_text(make_key(folder / "client") + "\n")
        (folder / "config").write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nStrictModes no\n"
            "KbdInteractiveAuthentication no\nMaxStartups 100\n"
            f"SetEnv HOME={folder}\n"  # no start-up file of this machine's user, which a kill could leave locked
        )
        if shell:
            (folder / "shell").write_text(f"#!/bin/sh\n{shell}\n")
            (folder / "shell").chmod(0o755)
            with (folder / "config").open("a") as config:
                config.write(f"ForceCommand {folder}/shell\n")
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # the server's empty folder for its unprivileged half
        self.host_key = make_key(folder / "host")
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen([SSHD, "-D", "-e", "-f", self.folder / "config"], stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.02)

    def stop(self) -> None:
        """Kill the server and all that it started, as a cut of the power would."""
        doomed = [self._process.pid]
        for pid in doomed:
            doomed += children(pid)
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def change_host_key(self) -> None:
        """Come back with another host key."""
        self.stop()
        self.host_key = make_key(self.folder / "host")
        self.start()

    def known_hosts(self, path: Path, port: int | None = None, key: str | None = None) -> Path:
        """Write a `known_hosts` file that pins this server, or another `key`, at its own or another `port`."""
        path.write_text(f"[127.0.0.1]:{port or self.port} {key or self.host_key}\n")
        return path

    @property
    def user(self) -> str:
        """The one user it lets in."""
        return getpass.getuser()


def children(pid: int) -> Iterator[int]:
    """Yield the processes that a process has started (Linux)."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        yield from map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def carry(listener: socket.socket, port: int, limit: float, *, silently: bool, tally: Path) -> None:
    """Carry connections to `port`, one at a time, until `limit` bytes went either way; leave their number in `tally`.

    Then the wire is cut: both ends are reset, or, `silently`, hear nothing any more.
    """
    carried = 0
    while True:
        near, _ = listener.accept()
        far = socket.create_connection(("127.0.0.1", port))
        other = {near: far, far: near}
        while other:
            for source in select.select(list(other), [], [])[0]:
                with contextlib.suppress(ConnectionError):
                    data = source.recv(int(min(2**16, limit - carried)))
                    if data:
                        other[source].sendall(data)
                        carried += len(data)
                        if carried < limit:
                            continue
                        if silently:
                            time.sleep(3600)
                        for end in (near, far):
                            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                        listener.close()
                near.close()
                far.close()
                other = {}
                break
        tally.write_text(str(carried))
        if carried >= limit:
            return
