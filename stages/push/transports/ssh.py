"""A device that runs an OpenSSH server and Python: one connection, and one process there that ends with it.

The device's host key must be known beforehand, and it lets us in by key alone: no passwords, no agent forwarding, and
nothing from `~/.ssh/config` unless `ssh_config` names it. The command is one line that every shell reads alike (sh,
bash, zsh, csh, tcsh, fish). It reports that it is ready and then reads its program, the `device_*` modules, from stdin;
everything else travels as data too, never as part of a command.
"""

import asyncio
import base64
import contextlib
import functools
import inspect
import json
import os
import shlex
import threading
import zlib
from collections.abc import Coroutine, Sequence
from typing import Any, NoReturn, TypeVar

import asyncssh

from stages.core.project.errors import DeviceError
from stages.push import device_folder, device_run, device_server, device_state, device_upload
from stages.push.answers import last_words, short
from stages.push.device_run import LONGEST_COMPLAINT
from stages.push.transport import RUNTIME_PYTHON, FolderTransport, FullError
from stages.push.transports._connection import Config, loop, open_connection, reason

__all__ = ["Config", "SshTransport", "connect"]

LEASE_S = 60.0  # a device that hears nothing from home for so long ends what runs for it, and frees the lock
BEAT_S = 10.0  # home says something this often during a push, and hangs up when it has had nothing to say for as long
PATIENCE_S = 3.0  # for the lock, which a push that was cut off may hold a moment longer

LONGEST_ANSWER = 2**26  # bytes
LONGEST_START_S = 60.0  # of Python on a device that is busy, or whose card is slow
READY = b"edac-ready\n"

# One line without a quote, a backslash or an exclamation mark, so that no shell changes it.
_BOOT = (
    'import base64,io,os,zlib; os.write(1,b"edac-ready"+chr(10).encode()); '
    'exec(zlib.decompress(base64.b64decode(io.open(0,"rb",0,closefd=False).readline())))'
)
_MODULES = (device_run, device_state, device_upload, device_folder, device_server)  # each imports those before it only
_LOADER = """
import sys, types
if sys.version_info < (3, 11):
    found = ".".join(map(str, sys.version_info[:3]))
    said = '{"refused": "has Python %%s; 3.11 or newer is needed. Name another interpreter as its `python`."}' %% found
    sys.stdout.write("%%d\\n%%s" %% (len(said), said))
    sys.stdout.flush()
    sys.exit()
package = types.ModuleType("stages.push")
sys.modules.update({"stages": types.ModuleType("stages"), "stages.push": package})
for name, source in %a:
    module = types.ModuleType(name)
    setattr(package, name.rpartition(".")[2], module)
    sys.modules[name] = module
    exec(compile(source, name, "exec"), module.__dict__)
module.serve(%r)
"""

T = TypeVar("T")
_STARTING = threading.Lock()


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
            shared = loop(os.getpid())
        future = asyncio.run_coroutine_threadsafe(work, shared)
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
        self._said = bytearray()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, config: Config, name: str) -> "_Line":
        """Connect, start `device_server.serve`, and have it say that it is ready."""
        connection = await open_connection(config, name)
        try:
            command = shlex.join([config.python, "-I", "-B", "-c", _BOOT])
            async with asyncio.timeout(config.connect_timeout_s):
                process = await connection.create_process(command, encoding=None)
            line = cls(config, name, connection, process)
            await line.greet()
            await line.ask(_program(LEASE_S) + b"\n" + json.dumps(config.folder).encode() + b"\n")
            return line
        except (OSError, asyncssh.Error) as error:
            connection.abort()
            raise DeviceError(f"Device {name} starts no command ({reason(error)}).") from None
        except DeviceError:
            connection.abort()
            raise

    async def greet(self) -> None:
        """Wait until our program reports that it reads: nothing is sent to whatever else a shell may have started."""
        limit_s = min(self._limit_s, LONGEST_START_S)
        try:
            async with asyncio.timeout(limit_s):
                said = await self._process.stdout.readline()
                if not said:
                    last = last_words(await self._complaint()) or "its shell ended without a word"
                    raise DeviceError(
                        f"Device {self._name} did not start our command ({last}). Look at its shell's start-up files "
                        "(such as ~/.bashrc), and at its `python`."
                    )
        except TimeoutError:
            raise DeviceError(
                f"Device {self._name} gave no answer within {limit_s:g} s: its shell did not start our "
                "command. Look for an `exec` or a question in its shell's start-up files (such as ~/.bashrc)."
            ) from None
        if said != READY:
            self._not_ours(said)

    async def ask(self, request: bytes) -> Any:
        """Send a request and return the answer; without a whole one the connection is useless, and ended."""
        whole = False
        try:
            async with asyncio.timeout(self._limit_s):
                self._process.stdin.write(request)
                await self._process.stdin.drain()
                size = await self._process.stdout.readline()
                if not size:
                    self._lost(await self._complaint())
                if not size.strip().isdigit():
                    self._not_ours(size)
                if len(size) > 12 or int(size) > LONGEST_ANSWER:
                    raise DeviceError(f"Device {self._name} answers more than {LONGEST_ANSWER >> 20} MiB at once.")
                answer = json.loads(await self._process.stdout.readexactly(int(size)))
                if not isinstance(answer, dict) or not answer.keys() & {"value", "refused"}:
                    raise ValueError("its answer is no answer")
                whole = True
        except TimeoutError:
            raise DeviceError(f"Device {self._name} gave no answer within {self._limit_s:g} s.") from None
        except (OSError, EOFError, ValueError, RecursionError, asyncssh.Error) as error:
            self._lost(reason(error))
        finally:
            if not whole:
                self.ended = True
                self._connection.abort()
        if "refused" in answer:
            kind = FullError if answer.get("full") is True else DeviceError
            raise kind(f"Device {self._name} {short(str(answer['refused']), 1000)}")
        return answer["value"]

    async def _listen(self) -> None:
        """Take what comes on stderr, so that it never stops the rest, and keep the end of it."""
        with contextlib.suppress(OSError, asyncssh.Error):
            while piece := await self._process.stderr.read(2**16):
                self._said += piece
                del self._said[:-LONGEST_COMPLAINT]

    async def _complaint(self) -> str:
        """Return the end of what came on stderr."""
        await asyncio.wait({self._listening}, timeout=PATIENCE_S)
        return self._said.decode(errors="replace")

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

    def _lost(self, said: str) -> NoReturn:
        last = last_words(said) or "the connection ended"
        raise DeviceError(f"Device {self._name} was lost ({last}). Push again to go on where it stopped.")

    def _not_ours(self, said: bytes) -> NoReturn:
        shown = short(said.decode(errors="replace"), 80)
        raise DeviceError(
            f"Device {self._name} answers {shown!r} where its Python was to start. "
            "Have its shell print nothing (~/.bashrc), or name another `python`."
        )


@functools.cache
def _program(lease_s: float) -> bytes:
    """Return what runs on a device as one line."""
    modules = [(module.__name__, inspect.getsource(module)) for module in _MODULES]
    return base64.b64encode(zlib.compress((_LOADER % (modules, lease_s)).encode(), 9))
