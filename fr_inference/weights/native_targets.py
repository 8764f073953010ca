"""Native targets: a folder of `target.json`, `variables.safetensors` and, if known, `members.csv`.

`target.json` holds architecture, hyper-parameters, input and recipe; `members.csv` lists path,
identity and SHA-256 of every training image.
"""

import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from fr_inference import errors, tables
from fr_inference.formats import bounds
from fr_inference.models import registry
from fr_inference.models.answers import Answers
from fr_inference.models.target import ORIGINS, InputSpec, Target, origins
from fr_inference.weights import descriptions, native_folders

RECORD = 'target.json'
MEMBERS = 'members.csv'
_MEMBER_COLUMNS = ('path', 'identity', 'sha256')


def save_target(
    directory: str | os.PathLike,
    target: Target,
    *,
    members: Sequence[tuple[str, str, str]] | None = None,
) -> None:
    """Writes `target` as a native folder. A reader sees all of it or nothing.

    Only process 0 writes.

    Args:
      directory: created if absent; an earlier native target there is replaced.
      target: of a registered architecture.
      members: (path, identity, sha256) of every image it was trained on.

    Raises:
      InputError: for an architecture that is not registered, or a path that cannot be written to.
      OSError: with the file's name, when the disk is full.
    """
    errors.one_of('architecture', target.architecture, registry.VARIANTS)
    record = {
        'name': target.name,
        'architecture': target.architecture,
        'config': dict(target.config),
        'input': target.convention,
        'parameters': registry.count_parameters(target.variables),
        'recipe': target.recipe,
        **({} if target.statistics else {'statistics': False}),
        **({'answers': target.answers.to_json()} if target.answers else {}),
        'source': {
            'sha256': target.sha256,
            'notes': [note for note in target.notes if note != native_folders.OLD_FORMAT],
        },
    }

    def write_members(path):
        tables.fill(path, _MEMBER_COLUMNS, members or ())

    beside = {MEMBERS: write_members if members is not None else None}
    native_folders.save(directory, RECORD, record, target.variables, beside=beside)


def is_target(directory: str | os.PathLike) -> bool:
    """Whether `directory` looks like a native target."""
    return (pathlib.Path(directory) / RECORD).is_file()


def load_target(directory: str | os.PathLike, *, dtype: str | None = None) -> Target:
    """Reads a native target, of this version or an earlier one.

    Args:
      directory: a folder that `save_target` wrote.
      dtype: 'float32' or 'bfloat16' arithmetic, overriding the description.

    Returns:
      The target, its variables as NumPy arrays of the dtypes that were saved. For a folder of an
      earlier version the last note says how to convert it.

    Raises:
      InputError: when something is missing, damaged, or does not fit the architecture (the field is a
        file); for an unknown 'dtype'.
    """
    directory = pathlib.Path(directory).resolve()
    if dtype is not None:
        errors.one_of('dtype', dtype, registry.DTYPES)
    path = directory / RECORD
    record = descriptions.read(path, native_folders.SCHEMAS)
    with descriptions.describing(path):
        architecture = record['architecture']
        config = dict(record['config'])
        if dtype is not None:
            config['dtype'] = dtype
        module = registry.build(architecture, **config)
        spec = _input(record['input'], architecture)
        known = _origins(record['input'])
        name = errors.shown(str(record.get('name') or architecture)[: bounds.MAX_NAME])
        recipe = descriptions.recipe(record)
        notes = descriptions.notes(record)
        expected = registry.abstract_variables(module, spec)
        statistics = bool(record.get('statistics', True))
        if not statistics:
            expected = registry.without_statistics(expected)
        answers = Answers(**record.get('answers', {}))
    variables, digest, format_notes = native_folders.load_variables(directory, record, expected)
    return registry.make_target(
        architecture,
        variables,
        config=config,
        input=spec,
        origins=known,
        name=name,
        recipe=recipe,
        sha256=digest,
        notes=(*notes, *format_notes),
        statistics=statistics,
        answers=answers,
    )


def read_members(directory: str | os.PathLike) -> list[str] | None:
    """Returns the SHA-256 digests of the images a native target was trained on, None if unknown."""
    rows = read_member_rows(directory)
    return None if rows is None else [digest for _, _, digest in rows]


def read_member_rows(directory: str | os.PathLike) -> list[tuple[str, str, str]] | None:
    """Returns (path, identity, sha256) of the images a native target was trained on, None if unknown.

    Raises:
      InputError: when the list exists but cannot be read, or was changed.
    """
    path = pathlib.Path(directory) / MEMBERS
    if not os.path.isfile(path):
        return None
    if is_target(directory):
        record = descriptions.read(path.with_name(RECORD), native_folders.SCHEMAS)
        native_folders.check_beside(path, record)
    found = tables.rows(path, _MEMBER_COLUMNS, str(path))
    return [(image, identity, digest) for _, (image, identity, digest) in found]


def _input(found: dict[str, Any], architecture: str) -> InputSpec:
    return InputSpec(
        height=int(found['height']),
        width=int(found['width']),
        mean=_triple(found['mean']),
        std=_triple(found['std']),
        colour=found.get('colour', 'rgb'),
        mirror=found.get('mirror', registry.VARIANTS[architecture].input.mirror),
    )


def _origins(found: dict[str, Any]) -> dict[str, str]:
    """How each field is known: from the description, unless that records it as assumed.

    A field that was given when the folder was written was not given by the present user. Folders of
    earlier versions hold no origins, and not every field.
    """
    held = found.get('origins')
    if held is None:
        held = {name: 'layout' if name in found else 'assumed' for name in origins('assumed')}
    known = {name: held[name] for name in origins('assumed')}
    if any(how not in ORIGINS for how in known.values()):
        raise ValueError(f'origins other than {", ".join(ORIGINS)}')
    return {name: 'assumed' if how == 'assumed' else 'layout' for name, how in known.items()}


def _triple(values):
    first, second, third = (float(value) for value in values)
    if not all(math.isfinite(value) for value in (first, second, third)):
        raise ValueError('a mean or std that is not finite')
    return first, second, third
