"""A device that runs an OpenSSH server and Python: one connection, and one process there that ends with it.

The device's host key must be known beforehand, and it lets us in by key alone: no passwords, nothing from
`~/.ssh/config`, no agent forwarding. What runs there is `stages/push/device_folder.py`, sent as text; everything else
travels as data, never as part of a command.
"""

import asyncio
import functools
import getpass
import inspect
import json
import os
import shlex
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import asyncssh

from stages.core.project.errors import DeviceError, require
from stages.push import device_folder
from stages.push.transport import RUNTIME_PYTHON, FolderTransport, last_line

LEASE_S = 60.0  # a device that hears nothing from home for so long ends what runs for it, and frees the lock
BEAT_S = 10.0  # home says something this often during a push, and hangs up when it has had nothing to say for as long
PATIENCE_S = 3.0  # for the lock, which a push that was cut off may hold a moment longer

OTHER_KEYS = "+ssh-ed25519,ecdsa-sha2-*,rsa-sha2-*"  # after the known ones, to see a changed key of another type

T = TypeVar("T")
_STARTING = threading.Lock()


@dataclass(frozen=True)
class Config:
    """Where the device is, how it proves who it is, and how we do.

    Attributes
    ----------
    host : str
        Name or address.
    folder : str
        On the device; relative to the user's home unless it begins with a slash. Made if it does not exist.
    user : str or None
        On the device; None has the same name as here.
    port : int
    known_hosts : Path
        File of host keys, as OpenSSH keeps it.
    host_key : str or None
        The device's public host key, e.g. ``"ssh-ed25519 AAAA..."``; with it `known_hosts` is not read.
    key_file : Path or None
        Our private key, without a passphrase; None is any key that the SSH agent holds.
    python : str
        The interpreter the device came with, 3.11 or newer.
    connect_timeout_s, command_timeout_s : float
        How long connecting and one command may take.
    """

    host: str
    folder: str
    user: str | None = None
    port: int = 22
    known_hosts: Path = Path("~/.ssh/known_hosts")
    host_key: str | None = None
    key_file: Path | None = None
    python: str = "python3"
    connect_timeout_s: float = 15.0
    command_timeout_s: float = 300.0

    def __post_init__(self) -> None:
        """Check what can be checked at home."""
        for name in ("host", "user", "folder", "python"):
            require(getattr(self, name) != "", f"push.devices: {name}", "not be empty", "")
        require(0 < self.port < 2**16, "push.devices: port", "be in [1, 65535]", self.port)
        for name in ("connect_timeout_s", "command_timeout_s"):
            value = getattr(self, name)
            require(value > 0, f"push.devices: {name}", "be positive", value, "Give seconds.")
        if self.host_key is not None:
            advice = "Copy a line of the device's /etc/ssh/ssh_host_*_key.pub."
            require(_is_public_key(self.host_key), "push.devices: host_key", "be a public key", self.host_key, advice)


def connect(config: Config, name: str) -> "SshTransport":
    """Return the transport to the device `name`; nothing is touched yet."""
    return SshTransport(config, name)


class SshTransport(FolderTransport):
    """See `stages.push.transport.Transport`. It connects when it must, and hangs up after a push or a while."""

    def __init__(self, config: Config, name: str) -> None:
        super().__init__(name, bootstrap=config.python, pythons=[RUNTIME_PYTHON], timeout_s=config.command_timeout_s)
        self._config = config
        self._turn = asyncio.Lock()
        self._line: _Line | None = None
        self._idle = False

    def _ask(self, do: str, *arguments: Any, data: bytes | None = None) -> Any:
        if do == "lock":
            arguments = (PATIENCE_S,)
        return self._wait(self._exchange(do, arguments, data or b""))

    def _unlock(self) -> None:
        self._wait(self._hang_up())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Have the loop do something and wait for it: the one place where threads meet."""
        with _STARTING:
            loop = _loop(os.getpid())
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        finally:
            future.cancel()  # if the wait was interrupted

    async def _exchange(self, do: str, arguments: Sequence[Any], data: bytes) -> Any:
        async with self._turn:
            self._idle = False
            if self._line is None or self._line.ended:
                if self._locked:
                    raise DeviceError(f"Device {self.name} was lost during the push. Push again.")
                self._line = await _Line.open(self._config, self.name)
                self._keeper = asyncio.create_task(self._keep(self._line))
            request = {"do": do, "with": arguments, "bytes": len(data)}
            return await self._line.ask(json.dumps(request).encode() + b"\n" + data)

    async def _keep(self, line: "_Line") -> None:
        while not line.ended:
            self._idle = True
            await asyncio.sleep(BEAT_S)
            async with self._turn:
                if self._locked or not self._idle:
                    line.beat()
                else:
                    await line.end()

    async def _hang_up(self) -> None:
        async with self._turn:
            if self._line is not None:
                await self._line.end()


class _Line:
    """A connection, and the process at its other end."""

    def __init__(self, config: Config, name: str, connection: asyncssh.SSHClientConnection, process: Any) -> None:
        self.ended = False
        self._name = name
        self._connection = connection
        self._process = process
        self._limit_s = config.command_timeout_s + config.connect_timeout_s

    @classmethod
    async def open(cls, config: Config, name: str) -> "_Line":
        """Connect, start `device_folder.serve`, and have it say that it is ready."""
        connection = await _connect(config, name)
        program = f"{inspect.getsource(device_folder)}\nserve({LEASE_S})"
        try:
            command = shlex.join([config.python, "-I", "-B", "-c", program])
            async with asyncio.timeout(config.connect_timeout_s):
                process = await connection.create_process(command, encoding=None)
            line = cls(config, name, connection, process)
            await line.ask(json.dumps(config.folder).encode() + b"\n")
            return line
        except (OSError, asyncssh.Error) as error:
            connection.abort()
            raise DeviceError(f"Device {name} starts no command ({_reason(error)}).") from None
        except DeviceError:
            connection.abort()
            raise

    async def ask(self, request: bytes) -> Any:
        """Send a request and return the answer; without a whole one the connection is useless, and ended."""
        whole = False
        try:
            async with asyncio.timeout(self._limit_s):
                self._process.stdin.write(request)
                await self._process.stdin.drain()
                size = await self._process.stdout.readline()
                if not size:
                    self._lost((await self._process.stderr.read()).decode(errors="replace"))
                if not size.strip().isdigit():
                    said = size.decode(errors="replace").strip()[:80]
                    raise DeviceError(
                        f"Device {self._name} answers {said!r} where its Python was to start. "
                        "Have its shell print nothing (~/.bashrc), or name another `python`."
                    )
                answer = json.loads(await self._process.stdout.readexactly(int(size)))
                if not isinstance(answer, dict) or not answer.keys() & {"value", "refused"}:
                    raise ValueError("its answer is no answer")
                whole = True
        except TimeoutError:
            raise DeviceError(f"Device {self._name} gave no answer within {self._limit_s:g} s.") from None
        except (OSError, EOFError, ValueError, asyncssh.Error) as error:
            self._lost(_reason(error))
        finally:
            if not whole:
                self.ended = True
                self._connection.abort()
        if "refused" in answer:
            raise DeviceError(f"Device {self._name} {answer['refused']}")
        return answer["value"]

    def beat(self) -> None:
        """Show the device that home is still there."""
        if not self._process.stdin.is_closing():
            self._process.stdin.write(b"\n")

    async def end(self) -> None:
        """Have the process end, which frees the lock, and hang up; nothing if that has happened."""
        if not self.ended:
            self.ended = True
            if not self._process.stdin.is_closing():
                self._process.stdin.write_eof()
            await asyncio.wait({asyncio.create_task(self._process.wait_closed())}, timeout=PATIENCE_S)
            self._connection.abort()

    def _lost(self, reason: str) -> NoReturn:
        last = last_line(reason) or "the connection ended"
        raise DeviceError(f"Device {self._name} was lost ({last}). Push again to go on where it stopped.")


async def _connect(config: Config, name: str) -> asyncssh.SSHClientConnection:
    where, user = f"{config.host}:{config.port}", config.user or getpass.getuser()
    trusted = _trusted(config, name)
    agent = await _agent(config, name) if config.key_file is None else None
    try:
        return await asyncssh.connect(
            config.host,
            config.port,
            username=user,
            config=None,
            known_hosts=trusted,
            server_host_key_algs=OTHER_KEYS,
            client_keys=list(await agent.get_keys()) if agent else [_private_key(config, name)],
            agent_path=None,
            agent_forwarding=False,
            preferred_auth="publickey",
            gss_host=None,
            connect_timeout=config.connect_timeout_s,
            keepalive_interval=LEASE_S / 4,
        )
    except asyncssh.PermissionDenied:
        keys, advice = config.key_file or "the SSH agent", "Add the public key to ~/.ssh/authorized_keys there."
        raise DeviceError(f"Device {name} does not let {user} in with {keys}. {advice}") from None
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
        raise DeviceError(f"Device {name} {_distrust(config, trusted, error)}") from None
    except TimeoutError:
        limit = config.connect_timeout_s
        raise DeviceError(f"Device {name} gave no answer at {where} within {limit:g} s.") from None
    except (OSError, asyncssh.Error) as error:
        raise DeviceError(f"Device {name} cannot be reached at {where} ({_reason(error)}).") from None
    finally:
        if agent:
            agent.close()


async def _agent(config: Config, name: str) -> asyncssh.SSHAgentClient:
    advice = f"Device {name} needs a key: `ssh-add` one, or name its `key_file`."
    if not os.environ.get("SSH_AUTH_SOCK"):
        raise DeviceError(f"There is no SSH agent (SSH_AUTH_SOCK is not set). {advice}")
    try:
        async with asyncio.timeout(config.connect_timeout_s):
            agent = await asyncssh.connect_agent()
            if await agent.get_keys():
                return agent
        agent.close()
        reason = "it holds no key"
    except (OSError, ValueError) as error:
        reason = _reason(error)
    raise DeviceError(f"The SSH agent is of no use ({reason}). {advice}")


def _private_key(config: Config, name: str) -> asyncssh.SSHKey:
    assert config.key_file is not None
    try:
        return asyncssh.read_private_key(config.key_file.expanduser())
    except (OSError, asyncssh.KeyImportError) as error:
        raise DeviceError(
            f"{config.key_file}, the key for device {name}, cannot be used ({_reason(error)}). "
            "Name a private key without a passphrase, or leave `key_file` out and `ssh-add` it."
        ) from None


def _trusted(config: Config, name: str) -> Any:
    """Return the host keys to trust, as asyncssh takes them."""
    if config.host_key is not None:
        return [asyncssh.import_public_key(config.host_key)], [], []
    try:
        return asyncssh.read_known_hosts(str(config.known_hosts.expanduser()))
    except (OSError, ValueError) as error:
        raise DeviceError(
            f"{config.known_hosts}, for the host key of device {name}, cannot be read ({_reason(error)}). "
            "Name another file as its `known_hosts`, or give its `host_key`."
        ) from None


def _distrust(config: Config, trusted: Any, error: asyncssh.DisconnectError) -> str:
    """Return the sentence for a device that does not prove who it is."""
    port = None if config.port == asyncssh.DEFAULT_PORT else config.port
    known, authorities, *_ = asyncssh.match_known_hosts(trusted, config.host, "", port)
    if isinstance(error, asyncssh.KeyExchangeFailed) and "host key" not in error.reason:
        return f"agrees on no way to encrypt ({_reason(error)}). Update its SSH server."
    if known or authorities:
        return (
            "shows another host key than the one we know: it was set up anew, or this is another machine. "
            "Look at the device itself, and only then replace its host key."
        )
    return (
        f"has a host key that is not in {config.known_hosts}. "
        "Add it to the file, or as `host_key`, after comparing it with the one on the device itself."
    )


def _is_public_key(text: str) -> bool:
    try:
        asyncssh.import_public_key(text)
    except asyncssh.KeyImportError:
        return False
    return True


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not error.errno:  # asyncio's own
        return "no answer in time"
    if isinstance(error, OSError) and error.errno and error.errno > 0:  # an unknown name has a negative one
        return os.strerror(error.errno)
    return (getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)).rstrip(".")


@functools.cache
def _loop(_process: int) -> asyncio.AbstractEventLoop:
    """Return the loop that all devices share in a process, running in a thread of its own, which no fork inherits."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="ssh", daemon=True).start()
    return loop
