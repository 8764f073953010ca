"""Several processes (`jax.distributed`) that run the same program on the same input.

Each process computes its share and gets the whole result. Only process 0 reads and writes the disk;
it sends what it reads to the others. So the processes need no shared disk for their state, and work
can be resumed with any number of them.
"""

import itertools
import json
import threading
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from fr_inference import errors

_MESSAGE_BYTES = 64 << 20  # bytes sent at a time from one process to another


class Stopped(Exception):
    """The work was asked to stop and its state is saved: the same command continues it."""


def is_first() -> bool:
    """Whether this is the process that writes files."""
    return jax.process_index() == 0


def count() -> int:
    """Returns how many processes share the work."""
    return jax.process_count()


def meet() -> None:
    """Returns when all processes have called it; at the first call they connect."""
    gather_rows(np.zeros(1, np.uint8))


def share(total: int) -> slice:
    """Returns this process's part of `total` rows; parts differ by at most one row."""
    count, index = jax.process_count(), jax.process_index()
    return slice(total * index // count, total * (index + 1) // count)


def gather_rows(tree: Any) -> Any:
    """Returns the rows of all processes, in their order.

    Args:
      tree: pytree of arrays [n, ...] whose n may differ between processes; copied bit for bit.
    """
    if jax.process_count() == 1:
        return tree

    def join(leaf):
        leaf = np.ascontiguousarray(leaf)
        counts = multihost_utils.process_allgather(np.int32(len(leaf)))
        padded = np.zeros((int(counts.max()), *leaf.shape[1:]), leaf.dtype)
        padded[: len(leaf)] = leaf
        # As bytes, because JAX computes with at most 32 bits.
        parts = multihost_utils.process_allgather(padded.reshape(-1).view(np.uint8))
        parts = np.ascontiguousarray(parts).view(leaf.dtype).reshape(-1, *padded.shape)
        return np.concatenate([part[:count] for part, count in zip(parts, counts, strict=True)])

    return jax.tree.map(join, tree)


def gather_json(value: Any) -> list[Any]:
    """Returns the values of all processes, in their order; values must be JSON-compatible."""
    if jax.process_count() == 1:
        return [value]
    data = np.frombuffer(json.dumps(value).encode(), np.uint8)
    sizes = gather_rows(np.array([len(data)], np.int64))
    joined = gather_rows(data).tobytes()
    ends = np.cumsum(sizes)
    return [json.loads(joined[end - n : end]) for n, end in zip(sizes, ends, strict=True)]


def each_its_share(work: Callable[[], Any]) -> Any:
    """Returns the result of this process's `work`; bad input in one process stops all of them.

    Raises:
      InputError: in all processes, when `work` raises it in one: the error of the first such process.
    """
    if jax.process_count() == 1:
        return work()
    value, wrong = _tried(work)
    found = [error for error in gather_json(wrong) if error is not None]
    if found:
        raise errors.InputError.from_json(found[0])
    return value


def _tried(work):
    """Returns (the result, None), or (None, the `InputError` as JSON)."""
    try:
        return work(), None
    except errors.InputError as error:
        return None, error.to_json()


def from_first(make: Callable[[], Any]) -> Any:
    """Calls `make` in process 0 and returns its result in all processes.

    Returns:
      A pytree of lists, dicts, numbers, strings, None and NumPy arrays.

    Raises:
      InputError: in all processes, when `make` raises it.
    """
    if jax.process_count() == 1:
        return make()
    value, wrong = _tried(make) if jax.process_index() == 0 else (None, None)
    wrong = json.loads(_send(json.dumps(wrong).encode()))
    if wrong is not None:
        raise errors.InputError.from_json(wrong)
    arrays: list[np.ndarray] = []
    text = json.dumps(_without_arrays(value, arrays)).encode()
    kinds = _send(json.dumps([[a.dtype.str, a.shape] for a in arrays]).encode())
    text = _send(text)
    received = []
    for number, (kind, shape) in enumerate(json.loads(kinds)):
        data = _send(np.ascontiguousarray(arrays[number]).tobytes() if arrays else b'')
        received.append(np.frombuffer(data, kind).reshape(shape).copy())
    return _with_arrays(json.loads(text), received)


def _without_arrays(value, arrays):
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {'array': len(arrays) - 1}
    if isinstance(value, dict):
        return {'dict': {key: _without_arrays(part, arrays) for key, part in value.items()}}
    if isinstance(value, list | tuple):
        return {'list': [_without_arrays(part, arrays) for part in value]}
    return {'plain': value}


def _with_arrays(value, arrays):
    ((kind, held),) = value.items()
    if kind == 'array':
        return arrays[held]
    if kind == 'dict':
        return {key: _with_arrays(part, arrays) for key, part in held.items()}
    return [_with_arrays(part, arrays) for part in held] if kind == 'list' else held


def _send(data):
    """Sends the bytes of process 0 to all processes."""
    mine = np.array([len(data)], np.int64).view(np.uint8)  # as bytes: JAX computes with 32 bits
    size = int(multihost_utils.broadcast_one_to_all(mine).view(np.int64)[0])
    parts = []
    for start in range(0, size, _MESSAGE_BYTES):
        part = np.zeros(min(_MESSAGE_BYTES, size - start), np.uint8)
        if jax.process_index() == 0:
            part[:] = np.frombuffer(data[start : start + len(part)], np.uint8)
        parts.append(multihost_utils.broadcast_one_to_all(part).tobytes())
    return b''.join(parts)


_ASKED = threading.Event()
_POINTS = itertools.count()


def ask_to_stop() -> None:
    """Stops the work at the next `stop_point`; for a signal handler of a single process.

    With several processes JAX's own handler is used, which tells the others.
    """
    _ASKED.set()


def stop_point(save: Callable[[], None] | None = None) -> None:
    """A point at which work can be stopped; all processes pass the same points and stop at the same one.

    Args:
      save: called before the work is stopped here.

    Raises:
      Stopped: when a stop was requested.
    """
    if not _stopping():
        return
    if save is not None:
        save()
    raise Stopped


def _stopping():
    if jax.process_count() == 1:
        return _ASKED.is_set()
    return multihost_utils.reached_preemption_sync_point(next(_POINTS))
