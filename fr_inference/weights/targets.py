"""The one door through which targets come in: any supported file, native folder or embedded name."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from fr_inference import errors
from fr_inference.formats.onnx_file import is_onnx
from fr_inference.formats.state_dicts import read_tensors
from fr_inference.models import registry
from fr_inference.models.target import Target
from fr_inference.weights import families, native_targets, rules
from fr_inference.weights.descriptions import naming
from fr_inference.weights.graphs import onnx_targets

EMBEDDED = pathlib.Path(__file__).resolve().parent.parent / 'models' / 'embedded'


def embedded_names() -> list[str]:
    """Returns the names of the targets that come with the package."""
    return sorted(path.name for path in EMBEDDED.glob('*') if native_targets.is_target(path))


def locate(source: str | os.PathLike) -> pathlib.Path:
    """Returns the path of a target, that of an embedded one for its name."""
    path = pathlib.Path(source)
    if not os.path.exists(path) and str(source) in embedded_names():
        return EMBEDDED / str(source)
    return path


def open_target(
    source: str | os.PathLike,
    *,
    arch: str | None = None,
    input: Mapping[str, Any] | None = None,
    dtype: str | None = None,
    field: str = 'target',
) -> Target:
    """Opens a target, whatever it is.

    >>> target = open_target('demo_easy')
    >>> target.architecture, target.input.height, target.input.width
    ('iresnet18', 32, 32)

    Args:
      source: a native folder, a `.pt`/`.pth`/`.ckpt`/`.safetensors`/`.onnx` file, or the name of an
        embedded target.
      arch: name in `registry.VARIANTS`, in place of what the names and shapes say.
      input: fields of its `InputSpec` (height, width, mean, std) in place of what the file says.
      dtype: 'float32' or 'bfloat16' arithmetic.
      field: the argument that `source` came from, as errors call it.

    Returns:
      The target, its variables float32 NumPy arrays (of a native folder: of the dtypes that were saved).

    Raises:
      InputError: of `field`, when there is nothing to open or it does not fit; of 'arch', 'input' or
        'dtype', when these do not.
    """
    if arch is not None:
        errors.one_of('arch', arch, registry.VARIANTS)
    if dtype is not None:
        errors.one_of('dtype', dtype, registry.DTYPES)
    path = locate(source)
    # Unlike Path.exists, os.path.exists is False for a name too long for the system.
    if not str(source) or not os.path.exists(path):
        raise errors.InputError(
            field,
            f'{str(source)[:200]!r}, which does not exist',
            'a checkpoint file, a native folder, or one of '
            f'{", ".join(embedded_names()) or "(no embedded targets)"}',
        )
    if path.is_dir():
        target = _open_native(path, arch, input or {}, dtype, field)
    elif is_onnx(path):
        target = onnx_targets.read(path, arch, input or {}, dtype, field)
        target = dataclasses.replace(target, sha256=file_digest(path))
    else:
        target = _convert(path, arch, input or {}, dtype, field)
    with naming(field):
        rules.check_finite(target.variables, str(path))
        _check_variances(target.variables, str(path))
    return target


def _open_native(path, arch, changes, dtype, field):
    if not native_targets.is_target(path):
        raise errors.InputError(
            field, f'{path}, a directory without target.json', 'a native folder or a file'
        )
    with naming(field):
        target = native_targets.load_target(path, dtype=dtype)
    if arch not in (None, target.architecture):
        raise errors.InputError('arch', repr(arch), f'{target.architecture!r}, as {path} says')
    return _with_input(target, changes)


def _with_input(target, changes):
    if not changes:
        return target
    spec = dataclasses.replace(target.input, **changes)
    expected = registry.abstract_variables(target.module, spec)
    if jax.tree.map(np.shape, expected) != jax.tree.map(np.shape, target.variables):
        raise errors.InputError(
            'input',
            f'{spec.height}x{spec.width}',
            f'{target.input.height}x{target.input.width}, which the weights of {target.name} fit',
        )
    return dataclasses.replace(target, input=spec)


def _convert(path, arch, changes, dtype, field):
    source = str(path)
    with naming(field):
        state = read_tensors(path)
        match, tensors, aside = families.recognise(state.tensors, source)
    if arch is not None or changes:
        spec = dataclasses.replace(match.input, **changes) if changes else None
        match, tensors, aside = families.recognise(state.tensors, source, arch, spec)
    config = match.config if dtype is None else {**match.config, 'dtype': dtype}
    with naming(field):
        with naming(source), naming(f'as {match.architecture}'):
            module = registry.build(match.architecture, **config)
        expected = registry.abstract_variables(module, match.input)
        variables, heads = families.convert(match, tensors, expected, source)
    aside = [*aside, *heads]
    notes = list(state.notes)
    if aside:
        listed = ', '.join(aside[:6]) + (', ...' if len(aside) > 6 else '')
        notes.append(f'set aside (not part of the backbone): {listed}')
    return registry.make_target(
        match.architecture,
        variables,
        config=config,
        input=match.input,
        name=path.stem,
        sha256=file_digest(path),
        notes=tuple(notes),
    )


def file_digest(path: pathlib.Path) -> str:
    """Returns the SHA-256 (hex) of a file."""
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def _check_variances(variables, source):
    wrong = [
        key
        for key, leaf in rules.by_path(variables).items()
        if key.startswith('batch_stats/') and key.endswith('/var') and np.min(leaf, initial=0) < 0
    ]
    if wrong:
        raise errors.InputError(
            source, f'{len(wrong)} running variances below 0, as {wrong[0]}', '0 or more'
        )
