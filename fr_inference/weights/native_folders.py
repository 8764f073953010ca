"""Native folders: a description in JSON, and all variables in one `variables.safetensors`.

The names in the file are the paths of the variables, joined by '/' ('params/conv1/kernel').
The description holds the SHA-256 of itself, of the variables (`checkpointing.digest`) and of every file
beside them, so a damaged or exchanged file is an error. Earlier versions wrote an Orbax folder,
`variables/`, without a digest; it can still be read.
"""

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from fr_inference import checkpointing, errors, files, local_copies, runs
from fr_inference.formats import safetensors_file
from fr_inference.weights import rules

VARIABLES = 'variables.safetensors'
SCHEMA = 2
SCHEMAS = (1, SCHEMA)  # 1: variables in an Orbax folder
OLD_FORMAT = (
    'weights in the Orbax folder of earlier versions; the program convert_weights makes one '
    '.safetensors file of them'
)
_ORBAX = 'variables'
_METADATA = {'format': 'fr_inference'}
_BESIDE = 'files_sha256'


@runs.first_only
def save(
    directory: str | os.PathLike,
    name: str,
    record: dict[str, Any],
    variables: Any,
    *,
    beside: dict[str, Callable[[pathlib.Path], None] | None] | None = None,
) -> None:
    """Writes a native folder. A reader sees the earlier one, the new one or none, never a mixture.

    All files are written under temporary names. Then the old description is removed and the new files
    are renamed, the description last. Only process 0 writes.

    Args:
      directory: created if absent; a native folder there is replaced.
      name: file name of the description, such as 'target.json'.
      record: the contents of the description; 'schema' and all digests are added.
      variables: pytree of arrays, dtypes preserved.
      beside: further files by name, with a function that writes each to a path; None removes an
        earlier one.

    Raises:
      InputError: for a path that cannot be written to, or that holds a file of another program.
      OSError: with the file's name, when the disk is full.
    """
    directory = local_copies.here(directory, 'directory').resolve()
    _check_place(directory, name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.InputError(
            str(directory),
            f'a folder that cannot be created: {error.strerror}',
            hint='choose another',
        ) from error
    variables = jax.device_get(variables)
    record = {'schema': SCHEMA, **record, 'variables_sha256': checkpointing.digest(variables)}
    leaves = {path: np.asarray(leaf) for path, leaf in rules.by_path(variables).items()}
    others = beside or {}
    with contextlib.ExitStack() as stack:
        # Files are renamed in reverse order, so the description comes last.
        temporary = {
            file: stack.enter_context(files.replacing(directory / file))
            for file in (name, *(file for file, write in others.items() if write), VARIABLES)
        }
        safetensors_file.write(temporary[VARIABLES], leaves, _METADATA)
        for file, write in others.items():
            if write is not None:
                write(temporary[file])
                record.setdefault(_BESIDE, {})[file] = files.sha256(temporary[file])
        text = json.dumps(files.sealed(record), indent=1) + '\n'
        temporary[name].write_text(text, encoding='utf-8')
        (directory / name).unlink(missing_ok=True)
        for file, write in others.items():
            if write is None:
                (directory / file).unlink(missing_ok=True)
    if checkpointing.is_tree(directory / _ORBAX):
        shutil.rmtree(directory / _ORBAX)


def load_variables(
    directory: pathlib.Path, record: dict[str, Any], expected: Any
) -> tuple[Any, str, tuple[str, ...]]:
    """Reads the variables of a native folder of any version.

    Args:
      directory: the folder.
      record: its description, of a schema in `SCHEMAS`.
      expected: abstract variables of the module; nothing is allocated for tensors that do not fit.

    Returns:
      (variables as NumPy arrays in the structure and dtypes of `expected`, the SHA-256 of the stored
      ones, notes about the format). The file may hold float16 where float32 is expected.

    Raises:
      InputError: for a file that is absent or damaged, or has other numbers or shapes than described;
        its field is the file.
    """
    if record['schema'] == 1:
        folder = directory / _ORBAX
        _check_regular(folder)
        variables = jax.device_get(checkpointing.restore_tree(folder, expected))
        return variables, checkpointing.digest(variables), (OLD_FORMAT,)
    path = directory / VARIABLES
    found = safetensors_file.read(path)
    _compare(found, rules.by_path(expected), str(path))
    views = jax.tree_util.tree_map_with_path(lambda key, _: found[rules.path_of(key)], expected)
    digest = checkpointing.digest(views)
    if digest != record.get('variables_sha256'):
        raise errors.InputError(
            str(path),
            "numbers whose SHA-256 differs from the description's",
            'the file that was written with it',
            'copy or download the folder again',
        )
    return jax.tree.map(lambda view, like: np.array(view, like.dtype), views, expected), digest, ()


def check_beside(path: pathlib.Path, record: dict[str, Any]) -> None:
    """Compares a file beside the variables with the digest that the description holds.

    Args:
      path: a file that `save` wrote as one of `beside`.
      record: the description; one of an earlier version has no digest.

    Raises:
      InputError: when the two differ or the file cannot be read; its field is the file.
    """
    held = record.get(_BESIDE)
    expected = held.get(path.name) if isinstance(held, dict) else None
    try:
        whole = expected is None or expected == files.sha256(path)
    except OSError as error:
        raise errors.InputError(
            str(path), f'a file that cannot be read ({error.strerror})'
        ) from error
    if not whole:
        raise errors.InputError(
            str(path),
            "a file whose SHA-256 differs from the description's",
            'the file that was written with it',
            'copy or download the folder again',
        )


def _compare(found, expected, source):
    """Raises an `InputError` that lists the missing, unexpected and misshaped tensors of the file."""
    errors.report_mismatch(
        source,
        unmatched=sorted(found.keys() - expected.keys()),
        missing=sorted(expected.keys() - found.keys()),
        misshaped=[
            f'{key} is {_form(found[key])} instead of {_form(expected[key])}'
            for key in sorted(found.keys() & expected.keys())
            if not _serves(found[key], expected[key])
        ],
    )


def _serves(found, expected):
    halved = (found.dtype, expected.dtype) == (np.float16, np.float32)
    return found.shape == expected.shape and (found.dtype == expected.dtype or halved)


def _form(leaf):
    return f'{leaf.dtype}{list(leaf.shape)}'


def _check_place(directory, name):
    """Raises `InputError` if writing would replace something that this module did not write."""
    if directory.is_file():
        raise errors.InputError(str(directory), 'a file', 'a folder to write to')
    file = directory / VARIABLES
    ours = (directory / name).is_file() or safetensors_file.metadata(file) == _METADATA
    if os.path.lexists(file) and not (file.is_file() and ours):
        raise errors.InputError(
            str(file),
            'a file that fr_inference did not write and that would be replaced',
            'another folder to write to',
        )


def _check_regular(folder):
    """Raises `InputError` for an Orbax folder that contains a pipe, a device or a link to a folder."""
    for entry in folder.rglob('*'):
        plain = entry.is_file() or (entry.is_dir() and not entry.is_symlink())
        if not plain:
            raise errors.InputError(
                str(entry), 'not a regular file', 'regular files and folders only'
            )
