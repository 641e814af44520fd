"""A Python that has imported what every cell needs and becomes each cell by a fork.

`flows.execution.processes` starts it.

Importing TensorFlow takes seconds and hundreds of megabytes; a fork of a process that has imported it takes
milliseconds and shares them. It is safe as long as that process never *used* TensorFlow: what an operator or a session
starts, threads above all, does not survive a fork. This process imports, forks, and does nothing else.

Every process so made has a *keeper*, a fork too, that waits for it, tells how it ended, and kills it with all that it
started when whoever asked hangs up. The kill of one touches no other.
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
from pathlib import Path

STARTED = b"+"


def main() -> None:
    """Import the modules that the command line names after the number of the socket, and serve it."""
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a keeper
    for module in sys.argv[2:]:
        importlib.import_module(module)
    gc.freeze()  # a collection in a fork would copy every page that it looks at
    arguments = serve(control)
    if arguments:
        execute(arguments)


def serve(control: socket.socket) -> list[str]:
    """Fork for every request, a connection and a log file; return in each fork with the arguments that it was given.

    Returns nothing in the server itself when nobody can ask any more.
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
    """Fork once more and see that process to its end; return in it alone, with its arguments."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection.makefile() as stream:
        arguments: list[str] = json.loads(stream.readline())
    stdin, held = os.pipe()  # `die_with_parent` watches the one, this process holds the other
    ended, alive = os.pipe()  # the same, to see the other's end
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        for source, target in ((stdin, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        for handle in (stdin, held, log, ended):
            os.close(handle)
        connection.close()
        return arguments
    os.setpgid(child, child)  # here as there: whichever comes first
    os.close(alive)
    with contextlib.suppress(OSError):  # nobody listens any more
        connection.sendall(STARTED)
    select.select([connection.fileno(), ended], [], [])
    os.killpg(child, signal.SIGKILL)  # it is not reaped yet, so that the number is still its own
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        connection.sendall(str(code).encode())
    os._exit(0)


def execute(arguments: list[str]) -> None:
    """Do what `python ARGUMENTS` does: `-m MODULE ...` or `FILE ...`."""
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).parent.absolute()))
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main()
