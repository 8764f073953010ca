"""Keeps compiled programs, so that the second run of a program with the same networks compiles nothing.

Uses JAX's persistent compilation cache in the user's cache folder. Its contents are executed, so
nobody else may have write access.
"""

import functools
import hashlib
import os
import pathlib
import platform
import stat
import sys
import threading
from typing import Any

import jax

from fr_inference import files
from fr_inference.cli import bars

_LONG_SECONDS = 20.0  # seconds of a compilation after which a line is printed
_COMPILING = '/jax/core/compile/backend_compile_duration'  # begun: a scalar; ended: a duration
_MOST_BYTES = 4 << 30
_LEAST = 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'


def keep() -> pathlib.Path | None:
    """Turns the cache on, unless JAX's own settings say otherwise.

    Returns:
      The folder; None if JAX's settings name one or turn the cache off, or if there is no private
      folder.
    """
    known = jax.config.values
    if known['jax_compilation_cache_dir'] or not known['jax_enable_compilation_cache']:
        return None
    folder = place()
    try:
        ours = (folder.parent.parent, folder.parent, folder)
        ours[0].parent.mkdir(parents=True, exist_ok=True)
        # With `parents`, a lax umask would give the group write access to the folders above
        for path in ours:
            path.mkdir(mode=0o700, exist_ok=True)
        if not _private(folder):
            return None
        _prune(folder)
    except OSError:  # no home, or a full or read-only disk: everything works without the cache
        return None
    jax.config.update('jax_compilation_cache_dir', str(folder))
    if _LEAST not in os.environ:
        # Small programs are numerous
        jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
    return folder


@functools.cache
def announce() -> None:
    """Prints one line, once per process, while a compilation takes long."""
    jax.monitoring.register_scalar_listener(_begun)
    jax.monitoring.register_event_duration_secs_listener(_ended)


_WAITING: dict[int, threading.Timer] = {}  # per compiling thread
_SAID = threading.Event()


def _begun(event: str, value: Any, **known: Any) -> None:
    if event == _COMPILING and not _SAID.is_set():
        timer = _WAITING[threading.get_ident()] = threading.Timer(_LONG_SECONDS, _say)
        timer.daemon = True
        timer.start()


def _ended(event: str, duration_secs: float, **known: Any) -> None:
    if event == _COMPILING and (timer := _WAITING.pop(threading.get_ident(), None)):
        timer.cancel()


def _say():
    if not _SAID.is_set():
        _SAID.set()
        bars.say(_said(), file=sys.stderr)


def _said():
    known = jax.config.values
    folder = known['jax_enable_compilation_cache'] and known['jax_compilation_cache_dir']
    later = f'kept in {folder}: the next start takes seconds' if folder else 'not kept'
    return f'compiling for more than {_LONG_SECONDS:g} s; large networks take minutes; {later}'


def place() -> pathlib.Path:
    """Returns the folder, one for each kind of processor because machines may share a home folder."""
    kind = f'{platform.machine()}-{hashlib.sha256(_processor().encode()).hexdigest()[:12]}'
    return files.user_cache() / 'compiled' / kind


def _processor():
    """The properties of this processor that compiled code depends on."""
    try:
        lines = pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(('flags', 'Features'))), '')


def _private(folder):
    """Whether the folder is ours, and nobody else may write to it or to our folders above it."""
    for path in (folder, folder.parent, folder.parent.parent):
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or not files.is_ours(found):
            return False
        if os.name == 'posix' and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return False
    return True


def _prune(folder):
    """Removes the oldest files beyond the limit."""
    kept = [(path.stat(), path) for path in folder.iterdir()]
    total = sum(found.st_size for found, _ in kept)
    for found, path in sorted(kept, key=lambda one: one[0].st_mtime):
        if total <= _MOST_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= found.st_size
