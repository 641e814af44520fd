"""The fork server: a Python process that imports what every cell needs, and forks once per cell.

`flows.execution.processes` starts it.

Importing TensorFlow takes seconds and hundreds of megabytes; a fork of a process that has imported it takes
milliseconds and shares that memory. This is safe as long as the process has never *used* TensorFlow, since what an
operator or a session starts, above all threads, does not survive a fork. This process imports, forks, and does nothing
else.

Every forked process has a *keeper*, also a fork. The keeper waits for it, reports its exit code, and kills it with all
its children when the connection of the requester closes. A kill of one process affects no other.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import warnings
from pathlib import Path

STARTED = b"+"


def main() -> None:
    """Import the modules that the command line names after the socket's number, and serve that socket."""
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a keeper
    # NumPy's and Arrow's libraries start threads on import, and set them up anew in a fork.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded, use of fork", DeprecationWarning)
    for module in sys.argv[2:]:
        importlib.import_module(module)
    gc.freeze()  # a garbage collection in a fork would copy every page that it visits
    arguments = serve(control)
    if arguments:
        execute(arguments)


def serve(control: socket.socket) -> list[str]:
    """Fork once per request, which holds a connection and a log file; return the arguments in each fork.

    Returns an empty list in the server itself when the requesting process is gone.
    """
    while True:
        message, handles, _, _ = socket.recv_fds(control, 1, 2)
        if not message:
            return []
        if os.fork() == 0:
            control.close()
            return keep(socket.socket(fileno=handles[0]), log=handles[1])
        for handle in handles:
            os.close(handle)


def keep(connection: socket.socket, log: int) -> list[str]:
    """Fork the process and wait for its end as its keeper; return its arguments, in that process alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection.makefile() as stream:
        arguments: list[str] = json.loads(stream.readline())
    stdin, held = os.pipe()  # `die_with_parent` reads one end, this process holds the other
    ended, alive = os.pipe()  # likewise, to notice that the process has ended
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        for source, target in ((stdin, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        for handle in (stdin, held, log, ended):
            os.close(handle)
        connection.close()
        return arguments
    os.setpgid(child, child)  # set by both processes, whichever comes first
    os.close(alive)
    with contextlib.suppress(OSError):  # the requester is gone
        connection.sendall(STARTED)
    select.select([connection.fileno(), ended], [], [])
    os.killpg(child, signal.SIGKILL)  # it is not reaped yet, so its number cannot have been reused
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        connection.sendall(str(code).encode())
    os._exit(0)


def execute(arguments: list[str]) -> None:
    """Run `-m MODULE ...` or `FILE ...` as Python's command line does."""
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).parent.absolute()))
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main()
