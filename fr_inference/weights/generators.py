"""The one door through which generators come in: files of others, native directories, embedded names.

A native generator is a directory: `generator.json` (hyper-parameters, recipe) and `variables/` (Orbax).
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from fr_inference import checkpointing, errors, processes
from fr_inference.models import stylegan2
from fr_inference.models.stylegan2 import Trained
from fr_inference.weights import native_targets
from fr_inference.weights import stylegan2_names as files
from fr_inference.weights.targets import EMBEDDED

SCHEMA = 1
_RECORD = 'generator.json'
_MAX_JSON_BYTES = 1 << 20
# Largest whole numbers that a description may hold; of published generators 512, 32768 and 8.
_LARGEST = {'z_dim': 4096, 'w_dim': 4096, 'channel_max': 4096, 'mapping_layers': 64}
_LARGEST |= {'channel_base': 1 << 20, 'image_channels': 3, 'low_precision_from': 1024}


def embedded_names() -> list[str]:
    """Returns the names of the generators that come with the package."""
    return sorted(path.parent.name for path in EMBEDDED.glob(f'*/{_RECORD}'))


def save_generator(directory: str | os.PathLike, generator: Trained) -> None:
    """Writes a native generator; a reader sees all of it or nothing."""
    if not processes.is_first():
        return
    directory = pathlib.Path(directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / _RECORD).unlink(missing_ok=True)
    checkpointing.save_tree(directory / 'variables', jax.device_get(generator.variables))
    record = {
        'schema': SCHEMA,
        'name': generator.name,
        'stylegan2': stylegan2.options_of(generator.module),
        'recipe': generator.recipe,
        'source': {'sha256': generator.sha256, 'notes': list(generator.notes)},
    }
    temporary = directory / f'{_RECORD}.tmp'
    temporary.write_text(json.dumps(record, indent=1) + '\n', encoding='utf-8')
    temporary.rename(directory / _RECORD)


def open_generator(source: str | os.PathLike, flag: str = '--generator') -> Trained:
    """Opens a generator, whatever it is.

    Args:
      source: NVIDIA's `.pkl`, rosinality's `.pt`, a native directory, or the name of an embedded one.
      flag: how errors call `source`.

    Raises:
      InputError: one line, when there is nothing to open or it does not fit.
    """
    errors.require(str(source), f'{flag}: found an empty name, expected a generator')
    path = pathlib.Path(source)
    if not os.path.exists(path) and str(source) in embedded_names():
        path = EMBEDDED / str(source)
    errors.require(
        os.path.exists(path),
        f'{flag}: {str(source)[:200]!r} not found; expected a StyleGAN2 .pkl (NVIDIA) or .pt '
        f'(rosinality), a native directory, or one of {", ".join(embedded_names()) or "(none)"}',
    )
    if path.is_dir():
        return _open_native(path, flag)
    try:
        module, variables, notes = files.open_generator(path)
    except errors.InputError as error:
        raise errors.InputError(f'{flag}: {error}') from error
    errors.require(
        module.image_channels == 3,
        f'{flag}: {path} makes images of {module.image_channels} channels, expected 3 (RGB)',
    )
    with open(path, 'rb') as file:
        digest = hashlib.file_digest(file, 'sha256').hexdigest()
    return Trained(name=path.stem, module=module, variables=variables, sha256=digest, notes=notes)


def _open_native(path, flag):
    record_path = path / _RECORD
    errors.require(
        record_path.is_file(),
        f'{flag}: {path} is a directory without {_RECORD}, expected a native generator',
    )
    errors.require(
        record_path.stat().st_size <= _MAX_JSON_BYTES, f'{record_path}: over 1 MiB, not ours'
    )
    try:
        record = native_targets.parse_json(record_path.read_text(encoding='utf-8'))
        errors.require(
            record['schema'] == SCHEMA,
            f'found schema {record["schema"]!r:.80}, expected {SCHEMA}',
        )
        module = stylegan2.Generator(**_options(record['stylegan2']))
        name = errors.shown(str(record['name'])[:200])
        recipe = record.get('recipe')
        errors.require(recipe is None or isinstance(recipe, dict), f'found recipe {recipe!r:.80}')
    except errors.InputError as error:
        raise errors.InputError(f'{record_path}: {error}') from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise errors.InputError(
            f'{record_path}: not a generator description: {repr(error)[:200]}'
        ) from error
    expected = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, module.z_dim)))
    variables = checkpointing.restore_tree(path / 'variables', expected)
    return Trained(
        name=name,
        module=module,
        variables=variables,
        sha256=checkpointing.digest(variables),
        recipe=recipe,
    )


def _options(found: dict[str, Any]) -> dict[str, Any]:
    """Returns a description's hyper-parameters once each is one that a generator can have."""
    known = [field.name for field in dataclasses.fields(stylegan2.Generator)]
    for name, value in found.items():
        errors.one_of('hyper-parameter', name, [n for n in known if n not in ('parent', 'name')])
        if name == 'resolution':
            stylegan2.resolutions(value)
        elif name == 'clamp':
            fits = value is None or (isinstance(value, int | float) and value > 0)
            errors.require(fits, f'clamp: found {value!r:.80}, expected a number above 0')
        elif value is not None or name != 'low_precision_from':
            errors.require(
                type(value) is int and 1 <= value <= _LARGEST[name],
                f'{name}: found {value!r:.80}, expected a whole number from 1 to {_LARGEST[name]}',
            )
    return dict(found)
