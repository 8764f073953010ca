"""Native checkpoints.

A native target is a directory: `target.json` (architecture, hyper-parameters, input, recipe),
`variables/` (Orbax) and, when it was trained here, `members.csv` (path, identity and SHA-256 of every
training image).
"""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax

from fr_inference import checkpointing, errors, processes, tables
from fr_inference.models import registry
from fr_inference.models.target import InputSpec, Target

SCHEMA = 1
_MEMBER_COLUMNS = ('path', 'identity', 'sha256')
# What a description may say; the rest of a module's fields belong to the variant or to training.
_OPTIONS = ('depths', 'width', 'embedding', 'norm', 'dtype')


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
    errors.one_of('architecture', target.architecture, registry.VARIANTS)
    if not processes.is_first():
        return
    directory = pathlib.Path(directory).resolve()
    errors.require(
        not directory.is_file(), f'{directory}: found a file, expected a folder to write to'
    )
    variables = directory / 'variables'
    errors.require(
        not variables.exists() or checkpointing.is_tree(variables),
        f'{variables}: found something that is no checkpoint and would be replaced; expected another '
        'folder to write to',
    )
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.InputError(f'{directory}: can not be made: {error.strerror}') from error
    # variables first and target.json last: a directory without target.json is no checkpoint.
    (directory / 'target.json').unlink(missing_ok=True)
    checkpointing.save_tree(variables, jax.device_get(target.variables))
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
    except errors.InputError as error:
        raise errors.InputError(
            f'{directory / "target.json"}: {checkpointing.brief(error)}'
        ) from error
    expected = registry.abstract_variables(module, record['input'])
    variables = checkpointing.restore_tree(directory / 'variables', expected)
    return registry.make_target(
        record['architecture'],
        variables,
        config=config,
        input=record['input'],
        name=record['name'],
        recipe=record['recipe'],
        sha256=checkpointing.digest(variables),
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


def _read_record(path):
    errors.require(path.is_file(), f'{path}: not found, expected a native checkpoint directory')
    errors.require(
        path.stat().st_size <= checkpointing.MAX_JSON_BYTES,
        f'{path}: over {checkpointing.MAX_JSON_BYTES} bytes, not ours',
    )
    try:
        record = parse_json(path.read_text(encoding='utf-8'))
        errors.require(
            record['schema'] == SCHEMA,
            f'found schema {record["schema"]!r:.80}, expected {SCHEMA}',
        )
        spec = record['input']
        return {
            'name': errors.shown(str(record.get('name') or record['architecture'])[:200]),
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
                errors.shown(str(note)[:1000])
                for note in record.get('source', {}).get('notes', ())[:100]
            ],
        }
    except errors.InputError as error:
        raise errors.InputError(f'{path}: {error}') from error
    except (
        *(ValueError, KeyError, TypeError, AttributeError, OSError),
        *(OverflowError, RecursionError),
    ) as error:
        raise errors.InputError(f'{path}: not a target description: {repr(error)[:200]}') from error


def parse_json(text: str) -> Any:
    """Reads a description; `ValueError` for what is no JSON, numbers that are not finite included."""
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def _refuse(constant):
    raise ValueError(f'the number {constant}, which is no JSON and would spoil every record of it')


def _finite(text):
    return float(text) if math.isfinite(float(text)) else _refuse(text[:20])


def _options(config):
    for name in config:
        errors.one_of('config', name, _OPTIONS)
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
