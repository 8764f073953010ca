"""Native checkpoints and training states: the only file that knows Orbax.

A native target is a directory: `target.json` (architecture, hyper-parameters, input, recipe),
`variables/` (Orbax) and, when it was trained here, `members.csv` (path, identity and SHA-256 of every
training image).
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import logging
import math
import os
import pathlib
import shutil
import threading
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from fr_inference import checks, parallel, processes, tables
from fr_inference.models import registry
from fr_inference.models.target import InputSpec, Target

SCHEMA = 1
_MEMBER_COLUMNS = ('path', 'identity', 'sha256')
_MAX_JSON_BYTES = 4 << 20  # in memory a list of lists takes thirty times its text
# What a description may say; the rest of a module's fields belong to the variant or to training.
_OPTIONS = ('depths', 'width', 'embedding', 'norm', 'dtype')
# Orbax compresses; a restored tree this many times larger than its files is a bomb, not a backbone.
_MAX_EXPANSION = 64
_SETTLE_SECONDS = 5
# One thread at a time: the logger and the event loops that are changed meanwhile are the process's.
_ORBAX = threading.Lock()


def save_target(
    directory: str | os.PathLike,
    target: Target,
    *,
    members: Sequence[tuple[str, str, str]] | None = None,
) -> None:
    """Writes `target` as a native checkpoint; a reader sees all of it or nothing.

    Of several processes the first alone writes, here and in the other functions that do.

    Args:
      directory: made if absent; an earlier native checkpoint there is replaced.
      target: of a registered architecture.
      members: (path, identity, sha256) of every image it was trained on.

    Raises:
      InputError: for an architecture that is not registered, or a path that can't be written.
    """
    checks.one_of('architecture', target.architecture, registry.VARIANTS)
    if not processes.is_first():
        return
    directory = pathlib.Path(directory).resolve()
    checks.require(
        not directory.is_file(), f'{directory}: found a file, expected a folder to write to'
    )
    variables = directory / 'variables'
    checks.require(
        not variables.exists() or _is_orbax(variables),
        f'{variables}: found something that is no checkpoint and would be replaced; expected another '
        'folder to write to',
    )
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise checks.InputError(f'{directory}: can not be made: {error.strerror}') from error
    # variables first and target.json last: a directory without target.json is no checkpoint.
    (directory / 'target.json').unlink(missing_ok=True)
    _save(variables, jax.device_get(target.variables))
    (directory / 'members.csv').unlink(missing_ok=True)
    if members is not None:
        tables.write(directory / 'members.csv', _MEMBER_COLUMNS, members)
    record = {
        'schema': SCHEMA,
        'name': target.name,
        'architecture': target.architecture,
        'config': dict(target.config),
        'input': dataclasses.asdict(target.input),
        'parameters': registry.count_parameters(target.variables),
        'recipe': target.recipe,
        'source': {'sha256': target.sha256, 'notes': list(target.notes)},
    }
    temporary = directory / 'target.json.tmp'
    temporary.write_text(json.dumps(record, indent=1) + '\n', encoding='utf-8')
    temporary.rename(directory / 'target.json')


def is_target(directory: str | os.PathLike) -> bool:
    """Whether `directory` looks like a native checkpoint."""
    return (pathlib.Path(directory) / 'target.json').is_file()


def load_target(directory: str | os.PathLike, *, dtype: str | None = None) -> Target:
    """Reads a native checkpoint.

    Args:
      directory: what `save_target` wrote.
      dtype: 'float32' or 'bfloat16' arithmetic in place of what the checkpoint says.

    Raises:
      InputError: when something is missing, damaged, or does not fit the architecture.
    """
    directory = pathlib.Path(directory).resolve()
    record = _read_record(directory / 'target.json')
    config = dict(record['config'])
    if dtype is not None:
        config['dtype'] = dtype
    try:
        module = registry.build(record['architecture'], **config)
    except checks.InputError as error:
        raise checks.InputError(f'{directory / "target.json"}: {_short(error)}') from error
    expected = registry.abstract_variables(module, record['input'])
    variables = _restore(directory / 'variables', expected)
    return registry.make_target(
        record['architecture'],
        variables,
        config=config,
        input=record['input'],
        name=record['name'],
        recipe=record['recipe'],
        sha256=digest(variables),
        notes=tuple(record['notes']),
    )


def read_members(directory: str | os.PathLike) -> list[str] | None:
    """Returns the SHA-256 digests of the images a native target was trained on, None if unknown."""
    rows = read_member_rows(directory)
    return None if rows is None else [digest for _, _, digest in rows]


def read_member_rows(directory: str | os.PathLike) -> list[tuple[str, str, str]] | None:
    """Returns (path, identity, sha256) of the images a native target was trained on, None if unknown.

    Raises:
      InputError: when the list is there and can't be read.
    """
    path = pathlib.Path(directory) / 'members.csv'
    if not os.path.isfile(path):
        return None
    found = tables.rows(path, _MEMBER_COLUMNS, str(path))
    return [(image, identity, digest) for _, (image, identity, digest) in found]


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
    return sorted(path for path in names if _is_orbax(path))


def _is_orbax(path):
    return (path / '_CHECKPOINT_METADATA').is_file()


def _save(path, tree):
    with _ORBAX, _checkpointer() as checkpointer:
        checkpointer.save(path, tree, force=True)
    # Orbax says there where on this machine it wrote; checkpoints are handed on.
    (path / 'commit_success.txt').unlink(missing_ok=True)


def _checkpointer():
    """This process reads or writes by itself, and waits for no other."""
    own = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f'process_{own}'
    )
    if jax.process_count() == 1:
        options = ocp.options.MultiprocessingOptions()
    return ocp.StandardCheckpointer(multiprocessing_options=options)


def _restore(path, expected):
    checks.require(path.is_dir(), f'{path}: not found, expected the Orbax part of a checkpoint')
    large = [
        file.name
        for file in path.iterdir()
        if file.is_file() and file.stat().st_size > _MAX_JSON_BYTES
    ]
    checks.require(
        not large, f'{path}: {", ".join(large[:3])} of over {_MAX_JSON_BYTES} bytes, not ours'
    )
    with _silence(), _checkpointer() as checkpointer:
        # Of a damaged checkpoint Orbax and TensorStore raise anything, a bare Exception among it.
        try:
            metadata = checkpointer.metadata(path).item_metadata
            if metadata is None:
                raise ValueError('what its arrays are can not be read')
            found = metadata.tree
        except Exception as error:
            raise checks.InputError(
                f'{path}: not a readable Orbax checkpoint: {_short(error)}'
            ) from error
        _compare(path, found, expected)
        wanted = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(expected))
        stored = sum(file.stat().st_size for file in path.rglob('*') if file.is_file())
        checks.require(
            wanted <= _MAX_EXPANSION * stored + (1 << 20),
            f'{path}: {stored} bytes on disk claim to hold {wanted} bytes of weights',
        )
        try:
            return checkpointer.restore(path, _on_one_device(expected))
        except Exception as error:
            raise checks.InputError(f'{path}: damaged Orbax checkpoint: {_short(error)}') from error


def _short(error):
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
    sharding = jax.sharding.SingleDeviceSharding(parallel.devices()[0])
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
    checks.report_mismatch(
        str(path),
        unmatched=sorted(found.keys() - expected.keys()),
        missing=sorted(expected.keys() - found.keys()),
        misshaped=shapes,
    )
    for key, leaf in found.items():
        # A chunk is allocated whole, however little of it is asked for.
        chunk = getattr(getattr(leaf, 'storage', None), 'chunk_shape', None) or ()
        checks.require(
            math.prod(chunk) <= math.prod(leaf.shape),
            f'{path}: {key} is stored in chunks of {list(chunk)}, larger than itself',
        )


def _form(leaf):
    shape = getattr(leaf, 'shape', None)
    return f'{getattr(leaf, "dtype", type(leaf).__name__)}{list(shape or ())}'


def _read_record(path):
    checks.require(path.is_file(), f'{path}: not found, expected a native checkpoint directory')
    checks.require(
        path.stat().st_size <= _MAX_JSON_BYTES, f'{path}: over {_MAX_JSON_BYTES} bytes, not ours'
    )
    try:
        record = parse_json(path.read_text(encoding='utf-8'))
        checks.require(
            record['schema'] == SCHEMA,
            f'found schema {record["schema"]!r:.80}, expected {SCHEMA}',
        )
        spec = record['input']
        return {
            'name': checks.shown(str(record.get('name') or record['architecture'])[:200]),
            'architecture': record['architecture'],
            'config': _options(record['config']),
            'input': InputSpec(
                height=int(spec['height']),
                width=int(spec['width']),
                mean=_triple(spec['mean']),
                std=_triple(spec['std']),
            ),
            'recipe': _recipe(record.get('recipe')),
            'notes': [
                checks.shown(str(note)[:1000])
                for note in record.get('source', {}).get('notes', ())[:100]
            ],
        }
    except checks.InputError as error:
        raise checks.InputError(f'{path}: {error}') from error
    except (
        *(ValueError, KeyError, TypeError, AttributeError, OSError),
        *(OverflowError, RecursionError),
    ) as error:
        raise checks.InputError(f'{path}: not a target description: {repr(error)[:200]}') from error


def parse_json(text: str) -> Any:
    """Reads a description; `ValueError` for what is no JSON, numbers that are not finite included."""
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def _refuse(constant):
    raise ValueError(f'the number {constant}, which is no JSON and would spoil every record of it')


def _finite(text):
    return float(text) if math.isfinite(float(text)) else _refuse(text[:20])


def _options(config):
    for name in config:
        checks.one_of('config', name, _OPTIONS)
    return dict(config)


def _recipe(recipe):
    if recipe is not None and not isinstance(recipe, dict):
        raise ValueError(f'a recipe {recipe!r:.80}, expected an object or null')
    return recipe


def _triple(values):
    first, second, third = (float(value) for value in values)
    if not all(math.isfinite(value) for value in (first, second, third)):
        raise ValueError('a mean or std that is not finite')
    return first, second, third
