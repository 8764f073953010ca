"""Opens generators: files of other projects, native folders, and embedded ones by name.

A native generator is a folder of `generator.json` (hyper-parameters, recipe) and
`variables.safetensors`.
"""

import dataclasses
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from fr_inference import errors, files, local_copies
from fr_inference.formats import bounds
from fr_inference.models import stylegan2
from fr_inference.models.stylegan2 import Trained
from fr_inference.weights import descriptions, native_folders, rules, stylegan2_files
from fr_inference.weights.descriptions import naming
from fr_inference.weights.targets import EMBEDDED

RECORD = 'generator.json'
# Largest integers in a description; published generators have 512, 32768 and 8.
_LARGEST = {'z_dim': 4096, 'w_dim': 4096, 'channel_max': 4096, 'mapping_layers': 64}
_LARGEST |= {'channel_base': 1 << 20, 'image_channels': 3, 'low_precision_from': 1024}
_LARGEST_CLAMP = 1e30  # far below the largest float32


def embedded_names() -> list[str]:
    """Returns the names of the generators that come with the package."""
    return sorted(path.name for path in EMBEDDED.glob('*') if is_generator(path))


def is_generator(directory: str | os.PathLike) -> bool:
    """Whether `directory` looks like a native generator."""
    return (pathlib.Path(directory) / RECORD).is_file()


def locate(source: str | os.PathLike, field: str = 'generator') -> pathlib.Path:
    """Returns the path of a generator; an embedded one is found by name, an address by its local copy.

    Raises:
      InputError: of `field`, for an address that cannot be copied.
    """
    path = local_copies.path_of(source, field)
    if not os.path.exists(path) and str(source) in embedded_names():
        return EMBEDDED / str(source)
    return path


def save_generator(directory: str | os.PathLike, generator: Trained) -> None:
    """Writes a native generator. A reader sees all of it or nothing. Only process 0 writes.

    Args:
      directory: created if absent; an earlier native generator there is replaced.
      generator: the generator, with its variables in their own dtypes.

    Raises:
      InputError: for a path that cannot be written to.
      OSError: with the file's name, when the disk is full.
    """
    record = {
        'name': generator.name,
        'stylegan2': stylegan2.options_of(generator.module),
        'recipe': generator.recipe,
        'source': {
            'sha256': generator.sha256,
            'notes': [note for note in generator.notes if note != native_folders.OLD_FORMAT],
        },
    }
    native_folders.save(directory, RECORD, record, generator.variables)


def open_generator(source: str | os.PathLike, *, field: str = 'generator') -> Trained:
    """Opens a generator of any kind.

    >>> open_generator('demo_generator').module.resolution
    32

    Args:
      source: NVIDIA's `.pkl`, rosinality's `.pt`, a native folder, or the name of an embedded one.
      field: the argument that `source` came from, as errors call it.

    Returns:
      The generator of RGB images, its variables as NumPy arrays.

    Raises:
      InputError: of `field`, when it does not exist, cannot be read, or is not an RGB generator.
    """
    path = locate(source, field)
    if not str(source) or not os.path.exists(path):
        raise errors.InputError(
            field,
            f'{str(source)[:200]!r}, which does not exist',
            'a StyleGAN2 .pkl (NVIDIA) or .pt (rosinality), a native folder, or one of '
            f'{", ".join(embedded_names()) or "(no embedded generators)"}',
            errors.near(str(source), embedded_names()),
        )
    with naming(field):
        return _open_native(path) if path.is_dir() else _open_file(path)


def _open_file(path):
    module, variables, notes = stylegan2_files.open_generator(path)
    if module.image_channels != 3:
        raise errors.InputError(
            str(path), f'images of {module.image_channels} channels', '3 channels (RGB)'
        )
    return Trained(
        name=path.stem, module=module, variables=variables, sha256=files.sha256(path), notes=notes
    )


def _open_native(directory):
    if not is_generator(directory):
        raise errors.InputError(
            str(directory), f'a directory without {RECORD}', 'a native generator or a file'
        )
    path = directory / RECORD
    record = descriptions.read(path, native_folders.SCHEMAS)
    with descriptions.describing(path):
        module = stylegan2.Generator(**_options(record['stylegan2']))
        name = errors.shown(str(record['name'])[: bounds.MAX_NAME])
        recipe = descriptions.recipe(record)
        notes = descriptions.notes(record)
        z = jax.ShapeDtypeStruct((1, module.z_dim), jnp.float32)
        expected = jax.eval_shape(module.init, jax.random.key(0), z)
    variables, digest, format_notes = native_folders.load_variables(directory, record, expected)
    rules.check_finite(variables, str(directory))
    return Trained(
        name=name,
        module=module,
        variables=variables,
        sha256=digest,
        recipe=recipe,
        notes=(*notes, *format_notes),
    )


def _options(found: dict[str, Any]) -> dict[str, Any]:
    """Returns a description's hyper-parameters after checking their values."""
    known = [field.name for field in dataclasses.fields(stylegan2.Generator)]
    for name, value in found.items():
        errors.one_of('hyper-parameter', name, [n for n in known if n not in ('parent', 'name')])
        if name == 'resolution':
            stylegan2.resolutions(value)
        elif name == 'clamp':
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and 0 < value <= _LARGEST_CLAMP):
                raise errors.InputError('clamp', repr(value)[:80], 'a number above 0, to 1e30')
        elif value is not None or name != 'low_precision_from':
            most = _LARGEST[name]
            if type(value) is not int or not 1 <= value <= most:
                raise errors.InputError(name, repr(value)[:80], f'a whole number from 1 to {most}')
    return dict(found)
