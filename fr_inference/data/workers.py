"""Processes that share work on this machine's cores; they end with the process that started them."""

import concurrent.futures
import multiprocessing
import os
import threading
from collections.abc import Callable
from typing import Any


def pool(
    count: int, prepare: Callable[..., None], *arguments: Any
) -> concurrent.futures.ProcessPoolExecutor:
    """Returns `count` processes, each of which calls `prepare(*arguments)` first.

    They are spawned, because a fork of a process with JAX's threads may hang. They end soon after
    this process ends, even if it is killed.
    """
    return concurrent.futures.ProcessPoolExecutor(
        count,
        mp_context=multiprocessing.get_context('spawn'),
        initializer=_start,
        initargs=(prepare, arguments),
    )


def _start(prepare, arguments):
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prepare(*arguments)


def _end_with_parent():
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # the main thread would wait for work for ever
