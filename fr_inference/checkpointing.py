"""Trees of arrays on disk, checkpoints and training states: the only file that knows Orbax."""

import asyncio
import contextlib
import hashlib
import json
import logging
import math
import os
import pathlib
import re
import shutil
import threading
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from fr_inference import devices, errors, processes

_LOG = logging.getLogger(__name__)
MAX_JSON_BYTES = 4 << 20  # in memory a list of lists takes thirty times its text
# Orbax compresses; a restored tree this many times larger than its files is a bomb, not a backbone.
_MAX_EXPANSION = 64
_SETTLE_SECONDS = 5
# One thread at a time: the logger and the event loops that are changed meanwhile are the process's.
_ORBAX = threading.Lock()


def digest(variables: Any) -> str:
    """Returns the SHA-256 (hex) of a pytree's names, dtypes, shapes and bytes."""
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        array = np.ascontiguousarray(leaf)
        total.update(f'{jax.tree_util.keystr(path)} {array.dtype} {array.shape}'.encode())
        total.update(array.view(np.uint8).data if array.size else b'')
    return total.hexdigest()


def save_state(directory: str | os.PathLike, step: int, state: Any) -> None:
    """Saves a training state so that a kill at any moment leaves the last complete one usable.

    Args:
      directory: holds one sub-folder per step; the newest two are kept.
      step: whole number, grows.
      state: pytree of arrays and numbers, the same in all processes.
    """
    if not processes.is_first():
        return
    directory = pathlib.Path(directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    _save(directory / f'step_{step:09d}', jax.device_get(state))
    for old in _steps(directory)[:-2]:
        shutil.rmtree(old)


def latest_state(directory: str | os.PathLike, like: Any) -> tuple[int, Any] | None:
    """Returns (step, state) of the newest complete state below `directory`, or None.

    Of several processes the first reads it, and sends it to the others.

    Args:
      directory: what `save_state` wrote to.
      like: pytree of arrays or `jax.ShapeDtypeStruct`s of the expected structure.
    """
    directory = pathlib.Path(directory).resolve()
    expected = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype), like)

    def read():
        steps = _steps(directory) if directory.is_dir() else []
        if not steps:
            return None
        number = int(steps[-1].name.removeprefix('step_'))
        leaves = jax.tree.leaves(_restore(steps[-1], expected))
        return [number, [np.asarray(leaf) for leaf in leaves]]

    found = processes.from_first(read)
    if found is None:
        return None
    return found[0], jax.tree.unflatten(jax.tree.structure(expected), found[1])


class States:
    """The newest two states of a run, each with its digest, so that damage is noticed.

    A kill at any moment leaves the last complete state usable. One process uses it; `runs.resume` sends
    what it reads to the others.
    """

    def __init__(self, folder: str | os.PathLike):
        """Makes the folder where it is absent.

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
        """Returns (step, state) of the newest whole state, None where none was ever saved.

        A damaged state is removed where the one before it is whole.

        Args:
          like: pytree of arrays or `jax.ShapeDtypeStruct`s of the expected structure.

        Raises:
          InputError: when there are states and none can be used; says what to remove.
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
                _LOG.warning('%s; going on from step %d', why, step)
                with _silence():
                    self._manager.delete(damaged)
            return step, found
        if wrong:
            _, first = wrong[0]
            hint = f'remove {self._folder} to start over'
            raise errors.InputError(first.field, first.found, hint=hint, inside=first.inside)
        return None

    def save(self, step: int, state: Any) -> None:
        """Saves a state, and removes those before the newest two.

        Args:
          step: whole number, larger than all before.
          state: pytree of arrays and numbers.

        Raises:
          OSError: that names the folder, on a full disk for instance.
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
    """Writes a pytree of arrays to the folder `path`; a reader sees all of it or nothing."""
    if processes.is_first():
        _save(pathlib.Path(path).resolve(), tree)


def restore_tree(path: str | os.PathLike, expected: Any) -> Any:
    """Reads what `save_tree` wrote.

    Args:
      path: the folder.
      expected: pytree of `jax.ShapeDtypeStruct`s.

    Raises:
      InputError: when it is missing, damaged, or does not fit; all that differs is listed.
    """
    return _restore(pathlib.Path(path).resolve(), expected)


def _steps(directory):
    # Orbax writes under a temporary name and renames when complete.
    names = directory.glob('step_' + '[0-9]' * 9)
    return sorted(path for path in names if is_tree(path))


def is_tree(path: pathlib.Path) -> bool:
    """Whether a folder holds a whole tree."""
    return (path / '_CHECKPOINT_METADATA').is_file()


def _save(path, tree):
    with _naming(path), _silence(), _checkpointer() as checkpointer:
        checkpointer.save(path, tree, force=True)
    # Orbax says there where on this machine it wrote; checkpoints are handed on.
    (path / 'commit_success.txt').unlink(missing_ok=True)


@contextlib.contextmanager
def _naming(path):
    """Lets what fails for a full disk and the like say which files it is about."""
    try:
        yield
    except Exception as error:
        # TensorStore says it in words, Python often without a name.
        code = re.search(r"os_error_code='(\d+)'", str(error))
        if code is not None:
            number = int(code[1])
        elif isinstance(error, OSError) and error.errno is not None and error.filename is None:
            number = error.errno
        else:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _alone():
    """This process reads or writes by itself, and waits for no other."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f'process_{own}'
    )


def _checkpointer():
    return ocp.StandardCheckpointer(multiprocessing_options=_alone())


def _restore(path, expected):
    errors.require(path.is_dir(), f'{path}: not found, expected the Orbax part of a checkpoint')
    large = [
        file.name
        for file in path.iterdir()
        if file.is_file() and file.stat().st_size > MAX_JSON_BYTES
    ]
    errors.require(
        not large, f'{path}: {", ".join(large[:3])} of over {MAX_JSON_BYTES} bytes, not ours'
    )
    with _silence(), _checkpointer() as checkpointer:
        # Of a damaged checkpoint Orbax and TensorStore raise anything, a bare Exception among it.
        try:
            metadata = checkpointer.metadata(path).item_metadata
            if metadata is None:
                raise ValueError('what its arrays are can not be read')
            found = metadata.tree
        except Exception as error:
            raise errors.InputError(
                f'{path}: not a readable Orbax checkpoint: {brief(error)}'
            ) from error
        _compare(path, found, expected)
        wanted = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(expected))
        stored = sum(file.stat().st_size for file in path.rglob('*') if file.is_file())
        errors.require(
            wanted <= _MAX_EXPANSION * stored + (1 << 20),
            f'{path}: {stored} bytes on disk claim to hold {wanted} bytes of weights',
        )
        try:
            return checkpointer.restore(path, _on_one_device(expected))
        except Exception as error:
            raise errors.InputError(f'{path}: damaged Orbax checkpoint: {brief(error)}') from error


def brief(error: Exception) -> str:
    """Returns what an error says, on one line."""
    return ' '.join(str(error).split())[:300] or repr(error)


@contextlib.contextmanager
def _silence():
    """Keeps Orbax and TensorStore from printing what is raised, and told in one line, anyway."""
    with _ORBAX:
        logger, new_loop = logging.getLogger('absl'), asyncio.new_event_loop
        disabled, logger.disabled = logger.disabled, True
        asyncio.new_event_loop = _PatientLoop
        try:
            yield
        finally:
            asyncio.new_event_loop = new_loop
            logger.disabled = disabled


class _PatientLoop(asyncio.SelectorEventLoop):
    """Closes when all is done, and keeps quiet.

    Orbax raises at the first damaged array and closes its loop. The reads still under way would each
    print a traceback, to a loop that is closed, whenever they end.
    """

    def close(self) -> None:
        """Waits for what is under way, then closes."""
        tasks = set() if self.is_closed() else asyncio.all_tasks(self)
        if tasks:
            self.run_until_complete(asyncio.wait(tasks, timeout=_SETTLE_SECONDS))
        super().close()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Says nothing of further errors that nobody asks for: the first is told."""


def _on_one_device(expected):
    sharding = jax.sharding.SingleDeviceSharding(devices.local()[0])
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), expected
    )


def _compare(path, found, expected):
    """Raises InputError that lists what a checkpoint lacks, has too much of, or has misshaped."""

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
        # A chunk is allocated whole, however little of it is asked for.
        chunk = getattr(getattr(leaf, 'storage', None), 'chunk_shape', None) or ()
        errors.require(
            math.prod(chunk) <= math.prod(leaf.shape),
            f'{path}: {key} is stored in chunks of {list(chunk)}, larger than itself',
        )


def _form(leaf):
    shape = getattr(leaf, 'shape', None)
    return f'{getattr(leaf, "dtype", type(leaf).__name__)}{list(shape or ())}'
