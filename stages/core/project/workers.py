"""A pool of spawned processes that never outlives its parent, however that ends."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np  # noqa: F401  its BLAS must be loaded before it can be limited
import threadpoolctl


@contextlib.contextmanager
def spawned(workers: int, setup: Callable[..., None], *arguments: Any) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of fresh processes, one thread each, in each of which `setup(*arguments)` runs first.

    On an error, and on Ctrl-C, what has not begun is dropped.

    Parameters
    ----------
    workers : int
    setup : Callable
        A function at the top level of a module, like everything that is sent to the pool.
    *arguments
        Arguments of `setup`.
    """
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, initializer=_start, initargs=(setup, arguments))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start(setup: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it and shuts the pool down
    end_with_parent()
    threadpoolctl.threadpool_limits(1)  # the processes share the cores; their BLAS threads would fight over them
    setup(*arguments)


def end_with_parent() -> None:
    """In a process of `multiprocessing`: end it as soon as its parent is gone, even by kill -9."""

    def watch(sentinel: int) -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()
