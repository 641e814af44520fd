"""Connect to a device by SSH: its host key must be known, and only keys let us in. One sentence for whatever fails."""

import asyncio
import functools
import getpass
import os
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

from stages.core.project.errors import DeviceError, require
from stages.push.answers import short

OTHER_KEYS = "+ssh-ed25519,ecdsa-sha2-*,rsa-sha2-*"  # after the known ones, to see a changed key of another type
KEEPALIVE_S = 15.0
_USERS_CONFIG = Path("~/.ssh/config")


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
    proxy_jump : str or None
        Host to go through, ``"[user@]host[:port]"``; its key must be in `known_hosts`, and our key must let us in.
    ssh_config : Path or None
        File as `~/.ssh/config` in which `host` is looked up: aliases, `User`, `Port`, `IdentityFile`, `ProxyJump`;
        None reads none.
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
    proxy_jump: str | None = None
    ssh_config: Path | None = None
    python: str = "python3"
    connect_timeout_s: float = 15.0
    command_timeout_s: float = 300.0

    @property
    def place(self) -> str:
        """What no two devices share."""
        way = f" by {self.proxy_jump}" if self.proxy_jump else ""
        return f"{self.user or getpass.getuser()}@{self.host}:{self.port}{way}, folder {self.folder.rstrip('/')}"

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


async def open_connection(config: Config, name: str) -> asyncssh.SSHClientConnection:
    """Connect to the device `name`, through its jump host if it has one.

    Raises
    ------
    DeviceError
        If that fails, with the reason.
    """
    _require_files(config, name)
    agent = await _agent(config, name) if config.key_file is None and config.ssh_config is None else None
    try:
        keys: Any = ()  # those that `ssh_config` names, or the usual ones
        if agent is not None:
            keys = list(await agent.get_keys())
        elif config.key_file is not None:
            keys = [_private_key(config, name)]
        jump = await _jump(config, name, keys) if config.proxy_jump else None
        try:
            return await _connect(config, name, keys, jump)
        except DeviceError:
            if jump:
                jump.abort()
            raise
    finally:
        if agent:
            agent.close()


async def _jump(config: Config, name: str, keys: Any) -> asyncssh.SSHClientConnection:
    """Connect to the jump host."""
    user, _, where = (config.proxy_jump or "").rpartition("@")
    host, _, port = where.rpartition(":") if where.rpartition(":")[2].isdigit() else (where, "", "22")
    step = Config(
        host.strip("[]"),
        ".",
        user or config.user,
        int(port),
        known_hosts=config.known_hosts,
        connect_timeout_s=config.connect_timeout_s,
    )
    return await _connect(step, f"{name} (its proxy_jump)", keys, None)


async def _connect(
    config: Config, name: str, keys: Any, jump: asyncssh.SSHClientConnection | None
) -> asyncssh.SSHClientConnection:
    where, user = f"{config.host}:{config.port}", config.user or getpass.getuser()
    trusted = _trusted(config, name)
    options: dict[str, Any] = {"config": None, "port": config.port, "username": user, "agent_path": None}
    if config.ssh_config is not None:  # what the entry of the device says goes first
        options = {"config": [str(config.ssh_config.expanduser())]}
        options |= {"port": config.port} if config.port != asyncssh.DEFAULT_PORT else {}
        options |= {"username": config.user} if config.user else {}
    if keys:
        options["client_keys"] = keys
    try:
        return await asyncssh.connect(
            config.host,
            **options,
            **({"tunnel": jump} if jump else {}),
            known_hosts=trusted,
            server_host_key_algs=OTHER_KEYS,
            agent_forwarding=False,
            preferred_auth="publickey",
            gss_host=None,
            connect_timeout=config.connect_timeout_s,
            keepalive_interval=KEEPALIVE_S,
        )
    except asyncssh.PermissionDenied:
        tried = config.key_file or config.ssh_config or "the SSH agent"
        advice = "Add the public key to ~/.ssh/authorized_keys there."
        raise DeviceError(f"Device {name} does not let {user} in with {tried}. {advice}") from None
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
        raise DeviceError(f"Device {name} {_distrust(config, trusted, error)}") from None
    except TimeoutError:
        limit = config.connect_timeout_s
        raise DeviceError(f"Device {name} gave no answer at {where} within {limit:g} s.") from None
    except (OSError, asyncssh.Error, ValueError) as error:
        alias = _alias(config, error)
        raise DeviceError(f"Device {name} cannot be reached at {where} ({reason(error)}).{alias}") from None


def _alias(config: Config, error: BaseException) -> str:
    """Return advice for a host that is only an alias in the user's own configuration of OpenSSH."""
    if config.ssh_config is not None or not isinstance(error, socket.gaierror):
        return ""
    try:
        lines = _USERS_CONFIG.expanduser().read_text(errors="replace").splitlines()
    except OSError:
        return ""
    hosts = [line.split()[1:] for line in lines if line.lower().split()[:1] == ["host"]]
    if config.host not in [host for line in hosts for host in line]:
        return ""
    return f" {config.host} is an alias of {_USERS_CONFIG}: add `ssh_config: {_USERS_CONFIG}` to the device."


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
        why = "it holds no key"
    except (OSError, ValueError) as error:
        why = reason(error)
    raise DeviceError(f"The SSH agent is of no use ({why}). {advice}")


def _private_key(config: Config, name: str) -> asyncssh.SSHKey:
    assert config.key_file is not None
    try:
        return asyncssh.read_private_key(_readable(config.key_file.expanduser()))
    except (OSError, asyncssh.KeyImportError) as error:
        raise DeviceError(
            f"{config.key_file}, the key for device {name}, cannot be used ({reason(error)}). "
            "Name a private key without a passphrase, or leave `key_file` out and `ssh-add` it."
        ) from None


def _trusted(config: Config, name: str) -> Any:
    """Return the host keys to trust, as asyncssh takes them."""
    if config.host_key is not None:
        return [asyncssh.import_public_key(config.host_key)], [], []
    try:
        return asyncssh.read_known_hosts(str(_readable(config.known_hosts.expanduser())))
    except (OSError, ValueError) as error:
        raise DeviceError(
            f"{config.known_hosts}, for the host key of device {name}, cannot be read ({reason(error)}). "
            "Name another file as its `known_hosts`, or give its `host_key`."
        ) from None


def _require_files(config: Config, name: str) -> None:
    """Refuse an `ssh_config` that is no file, or that names anything else as one: reading it might never end."""
    if config.ssh_config is None:
        return
    path = config.ssh_config.expanduser()
    listed = f"{config.ssh_config}, the `ssh_config` of device {name},"
    if not path.is_file():
        raise DeviceError(f"{listed} is no file. Correct its path.")
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise DeviceError(f"{listed} cannot be read ({reason(error)}). Make it readable.") from None
    for line in lines:
        option, _, named = line.strip().replace("=", " ", 1).partition(" ")
        if option.lower() in ("identityfile", "certificatefile", "include"):
            try:
                _readable(Path(named.strip().strip('"')).expanduser())
            except (OSError, RuntimeError, ValueError) as error:
                raise DeviceError(
                    f"{named.strip()}, which the `ssh_config` of device {name} names, cannot be used "
                    f"({reason(error)}). Correct its path."
                ) from None


def _readable(path: Path) -> Path:
    """Return a path, unless reading it might never end, as at a pipe."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError("it is no regular file")
    return path


def _distrust(config: Config, trusted: Any, error: asyncssh.DisconnectError) -> str:
    """Return the sentence for a device that does not prove who it is."""
    port = None if config.port == asyncssh.DEFAULT_PORT else config.port
    known, authorities, *_ = asyncssh.match_known_hosts(trusted, config.host, "", port)
    if isinstance(error, asyncssh.KeyExchangeFailed) and "host key" not in error.reason:
        return f"agrees on no way to encrypt ({reason(error)}). Update its SSH server."
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


def reason(error: BaseException) -> str:
    """Return why a connection failed, as part of a sentence."""
    if isinstance(error, TimeoutError) and not error.errno:  # asyncio's own
        return "no answer in time"
    if isinstance(error, OSError) and error.errno and error.errno > 0:  # an unknown name has a negative one
        return os.strerror(error.errno)
    return short(getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)).rstrip(".")


@functools.cache
def loop(_process: int) -> asyncio.AbstractEventLoop:
    """Return the loop that all devices share in a process, running in a thread of its own, which no fork inherits."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="ssh", daemon=True).start()
    return loop
