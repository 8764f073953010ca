"""Trees of arrays on disk (checkpoints, training states): the only file that knows Orbax."""

import asyncio
import contextlib
import hashlib
import json
import logging
import math
import os
import pathlib
import re
import threading
import warnings
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from fr_inference import devices, errors

_LOG = logging.getLogger(__name__)
MAX_JSON_BYTES = 4 << 20  # a list of lists takes thirty times as much memory as its text
# Orbax compresses. A tree that is this many times larger than its files is a decompression bomb.
_MAX_EXPANSION = 64
_SETTLE_SECONDS = 5
# One thread at a time: the logger and the event loop are changed for the whole process.
_ORBAX = threading.Lock()


def digest(variables: Any) -> str:
    """Returns the SHA-256 (hex) of a pytree's names, dtypes, shapes and bytes."""
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        array = np.ascontiguousarray(leaf)
        total.update(f'{jax.tree_util.keystr(path)} {array.dtype} {array.shape}'.encode())
        total.update(array.view(np.uint8).data if array.size else b'')
    return total.hexdigest()


class States:
    """The newest two states of a run, each with a digest that reveals damage.

    A kill at any moment leaves the last complete state usable. Only one process uses this class;
    `runs.resume` sends what it reads to the others.
    """

    def __init__(self, folder: str | os.PathLike):
        """Creates the folder if it does not exist.

        Args:
          folder: holds one sub-folder for each step, and nothing else.
        """
        self._folder = pathlib.Path(folder).resolve()
        with _naming(self._folder), _silence():
            self._folder.mkdir(parents=True, exist_ok=True)
            self._manager = ocp.CheckpointManager(
                self._folder,
                options=ocp.CheckpointManagerOptions(
                    max_to_keep=2,
                    step_prefix='step',
                    step_format_fixed_length=9,
                    create=False,
                    cleanup_tmp_directories=True,
                    save_root_metadata=False,
                    enable_async_checkpointing=False,
                    lightweight_initialize=True,
                    multiprocessing_options=_alone(),
                ),
            )

    def __enter__(self) -> 'States':
        return self

    def __exit__(self, *_: object) -> None:
        with _silence():
            self._manager.close()

    def latest(self, like: Any) -> tuple[int, Any] | None:
        """Returns (step, state) of the newest intact state, None if none was ever saved.

        A damaged state is removed if the one before it is intact.

        Args:
          like: pytree of arrays or `jax.ShapeDtypeStruct`s of the expected structure.

        Raises:
          InputError: when there are states but none can be used; says what to remove.
        """
        expected = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype), like)
        wrong: list[tuple[int, errors.InputError]] = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                found = self._read(self._folder / f'step_{step:09d}', expected)
            except errors.InputError as error:
                wrong.append((step, error))
                continue
            for damaged, why in wrong:
                _LOG.warning('%s; continuing from step %d', why, step)
                with _silence():
                    self._manager.delete(damaged)
            return step, found
        if wrong:
            _, first = wrong[0]
            hint = f'remove {self._folder} to start over'
            raise errors.InputError(first.field, first.found, hint=hint, inside=first.inside)
        return None

    def save(self, step: int, state: Any) -> None:
        """Saves a state and removes all but the newest two.

        Args:
          step: whole number, larger than all before.
          state: pytree of arrays and numbers.

        Raises:
          OSError: names the folder, for example when the disk is full.
        """
        held = jax.device_get(state)
        parts = ocp.args.Composite(
            state=ocp.args.StandardSave(held), digest=ocp.args.JsonSave({'sha256': digest(held)})
        )
        with _naming(self._folder), _silence():
            self._manager.save(step, args=parts, force=True)

    def _read(self, path, expected):
        if (path / '_METADATA').exists():
            raise errors.InputError(str(path), 'a state that an earlier version saved')
        leaves = map(np.asarray, jax.tree.leaves(_restore(path / 'state', expected)))
        state = jax.tree.unflatten(jax.tree.structure(expected), leaves)
        try:
            recorded = json.loads((path / 'digest' / 'metadata').read_bytes())['sha256']
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise errors.InputError(str(path), f'a damaged state: {brief(error)}') from error
        if recorded != digest(state):
            raise errors.InputError(str(path), 'a damaged state: its checksum differs')
        return state


def save_tree(path: str | os.PathLike, tree: Any) -> None:
    """Writes a pytree of arrays to the folder `path` atomically: a reader sees all of it or nothing.

    Called by one process.
    """
    _save(pathlib.Path(path).resolve(), tree)


def restore_tree(path: str | os.PathLike, expected: Any) -> Any:
    """Reads what `save_tree` wrote.

    Args:
      path: the folder.
      expected: pytree of `jax.ShapeDtypeStruct`s.

    Raises:
      InputError: when it is missing or damaged or does not fit; lists all differences.
    """
    return _restore(pathlib.Path(path).resolve(), expected)


def is_tree(path: pathlib.Path) -> bool:
    """Whether a folder holds a complete tree."""
    return (path / '_CHECKPOINT_METADATA').is_file()


def _save(path, tree):
    with _naming(path), _silence(), _checkpointer() as checkpointer:
        checkpointer.save(path, tree, force=True)
    # It contains a path of this machine, and checkpoints are passed on.
    (path / 'commit_success.txt').unlink(missing_ok=True)


@contextlib.contextmanager
def _naming(path):
    """Adds the name of the files to errors such as a full disk."""
    try:
        yield
    except Exception as error:
        # TensorStore gives the error code only in its text; Python often gives no file name.
        code = re.search(r"os_error_code='(\d+)'", str(error))
        if code is not None:
            number = int(code[1])
        elif isinstance(error, OSError) and error.errno is not None and error.filename is None:
            number = error.errno
        else:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _alone():
    """Returns options by which this process reads or writes without waiting for others."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f'process_{own}'
    )


def _checkpointer():
    return ocp.StandardCheckpointer(multiprocessing_options=_alone())


def _restore(path, expected):
    if not path.is_dir():
        raise errors.InputError(str(path), 'no folder', 'the Orbax part of a checkpoint')
    large = [
        file.name
        for file in path.iterdir()
        if file.is_file() and file.stat().st_size > MAX_JSON_BYTES
    ]
    if large:
        raise errors.InputError(
            str(path), ', '.join(large[:3]), f'files of at most {MAX_JSON_BYTES} bytes there'
        )
    with _silence(), _checkpointer() as checkpointer:
        # For a damaged checkpoint, Orbax and TensorStore raise all kinds of errors, even a bare
        # Exception.
        try:
            metadata = checkpointer.metadata(path).item_metadata
            if metadata is None:
                raise ValueError('its array metadata cannot be read')
            found = metadata.tree
        except Exception as error:
            raise errors.InputError(
                str(path), f'not a readable Orbax checkpoint: {brief(error)}'
            ) from error
        _compare(path, found, expected)
        wanted = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(expected))
        stored = sum(file.stat().st_size for file in path.rglob('*') if file.is_file())
        if wanted > _MAX_EXPANSION * stored + (1 << 20):
            raise errors.InputError(
                str(path), f'{stored} bytes on disk that claim to hold {wanted} bytes of weights'
            )
        try:
            return checkpointer.restore(path, _on_one_device(expected))
        except Exception as error:
            raise errors.InputError(
                str(path), f'a damaged Orbax checkpoint: {brief(error)}'
            ) from error


def brief(error: Exception) -> str:
    """Returns the message of an error, on one line."""
    return ' '.join(str(error).split())[:300] or repr(error)


@contextlib.contextmanager
def _silence():
    """Keeps Orbax and TensorStore from printing errors that are also raised, and shown in one line."""
    with _ORBAX:
        logger, new_loop = logging.getLogger('absl'), asyncio.new_event_loop
        disabled, logger.disabled = logger.disabled, True
        asyncio.new_event_loop = _PatientLoop
        try:
            with warnings.catch_warnings():
                # Orbax abandons the reads of a damaged checkpoint that it has begun.
                warnings.filterwarnings('ignore', 'coroutine .* was never awaited', RuntimeWarning)
                yield
        finally:
            asyncio.new_event_loop = new_loop
            logger.disabled = disabled


class _PatientLoop(asyncio.SelectorEventLoop):
    """Closes the loop once all reads are done, without printing anything.

    Orbax raises at the first damaged array and closes its loop. Each read still in progress would
    print a traceback when it ends, because its loop is closed.
    """

    def close(self) -> None:
        """Waits for all reads in progress, then closes."""
        tasks = set() if self.is_closed() else asyncio.all_tasks(self)
        if tasks:
            self.run_until_complete(asyncio.wait(tasks, timeout=_SETTLE_SECONDS))
        super().close()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Drops further errors: the first one is raised."""


def _on_one_device(expected):
    sharding = jax.sharding.SingleDeviceSharding(devices.local()[0])
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), expected
    )


def _compare(path, found, expected):
    """Raises an InputError that lists the missing, unexpected and misshaped arrays of a checkpoint."""

    def flat(tree):
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        return {jax.tree_util.keystr(key, simple=True, separator='/'): leaf for key, leaf in leaves}

    found, expected = flat(found), flat(expected)
    shapes = [
        f'{key} is {_form(found[key])} instead of {_form(expected[key])}'
        for key in sorted(found.keys() & expected.keys())
        if _form(found[key]) != _form(expected[key])
    ]
    errors.report_mismatch(
        str(path),
        unmatched=sorted(found.keys() - expected.keys()),
        missing=sorted(expected.keys() - found.keys()),
        misshaped=shapes,
    )
    for key, leaf in found.items():
        # A chunk is allocated as a whole even if only one number of it is read.
        chunk = getattr(getattr(leaf, 'storage', None), 'chunk_shape', None) or ()
        if math.prod(chunk) > math.prod(leaf.shape):
            raise errors.InputError(
                str(path), f'{key} in chunks of {list(chunk)}, larger than itself'
            )


def _form(leaf):
    shape = getattr(leaf, 'shape', None)
    return f'{getattr(leaf, "dtype", type(leaf).__name__)}{list(shape or ())}'
