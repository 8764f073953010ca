"""A lock on an open file, held by at most one process of a machine.

Uses `fcntl` on Linux and macOS, `msvcrt` on Windows.
"""

import importlib
import time
from typing import IO, Any

fcntl: Any
try:
    fcntl = importlib.import_module('fcntl')
except ImportError:
    fcntl = None

_LOOK_SECONDS = 0.1


def hold(file: IO[str], *, wait: bool = True) -> None:
    """Locks a file until it is closed; a killed process leaves no lock.

    Args:
      file: open for writing.
      wait: whether to wait until another process has released it.

    Raises:
      BlockingIOError: without `wait`, when another process holds it.
      OSError: on a file system without locks.
    """
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return
    msvcrt = importlib.import_module('msvcrt')
    while True:
        file.seek(0)  # locks from the current position
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            return
        except PermissionError as error:
            if not wait:
                raise BlockingIOError(error.errno, error.strerror) from error
            time.sleep(_LOOK_SECONDS)
