"""Opens targets: any supported file, a native folder, or an embedded one by name."""

import collections
import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from fr_inference import errors, files, local_copies
from fr_inference.formats import bounds, checkpoint_folders, kinds, onnx_file
from fr_inference.models import registry
from fr_inference.models.target import Target, origins
from fr_inference.weights import families, native_targets, rules
from fr_inference.weights.descriptions import naming
from fr_inference.weights.graphs import onnx_targets

_MOST_NAMED = 6
EMBEDDED = pathlib.Path(__file__).resolve().parent.parent / 'models' / 'embedded'


def embedded_names() -> list[str]:
    """Returns the names of the targets that come with the package."""
    return sorted(path.name for path in EMBEDDED.glob('*') if native_targets.is_target(path))


def locate(source: str | os.PathLike, field: str = 'target') -> pathlib.Path:
    """Returns the path of a target; an embedded one is found by name, an address by its local copy.

    Raises:
      InputError: of `field`, for an address that cannot be copied.
    """
    path = local_copies.path_of(source, field, _beside)
    if not os.path.exists(path) and str(source) in embedded_names():
        return EMBEDDED / str(source)
    return path


def _beside(path):
    """Returns the names of the files that belong to a checkpoint."""
    return [*onnx_file.named_in(path), *checkpoint_folders.named_in(path)]


def open_target(
    source: str | os.PathLike,
    *,
    arch: str | None = None,
    input: Mapping[str, Any] | None = None,
    dtype: str | None = None,
    part: str | None = None,
    field: str = 'target',
) -> Target:
    """Opens a target of any kind.

    >>> target = open_target('demo_easy')
    >>> target.architecture, target.input.height, target.input.width
    ('iresnet18', 32, 32)

    Args:
      source: a native folder, a checkpoint in any format of `state_dicts.read_tensors`, a `.onnx` file,
        or the name of an embedded target.
      arch: name in `registry.VARIANTS`, instead of the recognised one.
      input: fields of its `InputSpec` that override the file, such as {'colour': 'bgr'}.
      dtype: 'float32' or 'bfloat16' arithmetic.
      part: the backbone in a file with several, as the prefix of its names or the end of it; for an ONNX
        graph, the tensor that is the embedding.
      field: the argument that `source` came from, as errors call it.

    Returns:
      The target, its variables as float32 NumPy arrays (from a native folder: in the saved dtypes). Its
      `origins` say which fields of its input were given, which come from the file, which are assumed.

    Raises:
      InputError: of `field`, when it does not exist or cannot be read; of 'arch', 'input', 'input_size',
        'dtype' or 'part', when these do not fit; of 'part' also for a file with several backbones
        when it is None.
    """
    if arch is not None:
        errors.one_of('arch', arch, registry.VARIANTS)
    if dtype is not None:
        errors.one_of('dtype', dtype, registry.DTYPES)
    path = locate(source, field)
    # Unlike Path.exists, os.path.exists is False for a name too long for the system.
    if not str(source) or not os.path.exists(path):
        raise errors.InputError(
            field,
            f'{str(source)[:200]!r}, which does not exist',
            'a checkpoint file, a native folder, or one of '
            f'{", ".join(embedded_names()) or "(no embedded targets)"}',
            errors.near(str(source), embedded_names()),
        )
    if native_targets.is_target(path):
        target = _open_native(path, arch, input or {}, dtype, part, field)
    elif onnx_file.is_onnx(path):
        target = onnx_targets.read(path, arch, input or {}, dtype, part, field)
    else:
        with naming(field):
            _check_folder(path)
        target = _convert(path, arch, input or {}, dtype, part, field)
    with naming(field):
        rules.check_finite(target.variables, str(path))
        _check_variances(target.variables, str(path))
    return target


def _no_part(part, path):
    if part is not None:
        raise errors.InputError(
            'part', repr(part)[:200], f'none, because {path} holds one backbone'
        )


def _open_native(path, arch, changes, dtype, part, field):
    with naming(field):
        target = native_targets.load_target(path, dtype=dtype)
    if arch not in (None, target.architecture):
        raise errors.InputError('arch', repr(arch), f'{target.architecture!r}, as {path} says')
    _no_part(part, path)
    return _with_input(target, changes)


def _check_folder(path):
    if path.is_dir() and checkpoint_folders.main_file(path) is None:
        try:
            raise kinds.of_folder(path, 'a native folder, a Hugging Face folder or a file')
        except OSError as error:
            raise errors.InputError(str(path), bounds.brief(error)) from error


def _with_input(target, changes):
    if not changes:
        return target
    spec = target.input.changed(changes)
    expected = registry.abstract_variables(target.module, spec)
    if jax.tree.map(np.shape, expected) != jax.tree.map(np.shape, target.variables):
        raise errors.InputError(
            'input_size',
            f'{spec.height}x{spec.width}',
            f'{target.input.height}x{target.input.width}, which fits the weights of {target.name}',
        )
    known = {**target.origins, **origins('given', changes)}
    return dataclasses.replace(target, input=spec, origins=known)


def _convert(path, arch, changes, dtype, part, field):
    source = str(path)
    with naming(field):
        state, paths = checkpoint_folders.read(path)

    def recognised(**given):
        try:
            return families.recognise(state.tensors, source, part=part, **given)
        except errors.InputError as error:
            # Other arguments have no option to choose a part.
            chosen = error.field == 'part' and field in ('target', 'source', 'init')
            raise error if chosen or error.field == 'arch' else error.within(field) from error

    match, tensors, aside = recognised()
    if arch is not None or changes:
        spec = match.input.changed(changes) if changes else None
        match, tensors, aside = recognised(arch=arch, input=spec)
    config = match.config if dtype is None else {**match.config, 'dtype': dtype}
    with naming(field):
        with naming(source), naming(f'as {match.architecture}'):
            module = registry.build(match.architecture, **config)
        families.check_told(match, module, state, source)
        expected = registry.abstract_variables(module, match.input)
        variables, heads = families.convert(match, tensors, expected, source, module)
    aside = [*aside, *heads]
    notes = [*state.notes, *match.remarks]
    if aside:
        notes.append(f'set aside (not part of the backbone): {_listed(aside, match.prefix)}')
    return registry.make_target(
        match.architecture,
        variables,
        config=config,
        input=match.input,
        origins={
            **origins('layout'),
            **origins('assumed', match.assumed),
            **origins('given', changes),
        },
        name=path.stem,
        sha256=files.sha256(*paths),
        notes=tuple(notes),
    )


def _listed(names, prefix):
    """Returns some names or, for many names, the branches below `prefix` with their counts."""
    if len(names) > _MOST_NAMED:
        groups = collections.Counter(_parting(name, prefix) for name in names)
        names = [f'{name} ({count} tensors)' for name, count in groups.items()]
    more = f' and {len(names) - _MOST_NAMED} more' if len(names) > _MOST_NAMED else ''
    return ', '.join(name[-80:] for name in names[:_MOST_NAMED]) + more


def _parting(name, prefix):
    found = ''
    for level in re.findall('[^./]*[./]?', name):
        found += level
        if not prefix.startswith(found):
            break
    return found.rstrip('./')


def _check_variances(variables, source):
    wrong = [
        key
        for key, leaf in rules.by_path(variables).items()
        if key.startswith('batch_stats/') and key.endswith('/var') and np.min(leaf, initial=0) < 0
    ]
    if wrong:
        raise errors.InputError(
            source, f'{len(wrong)} running variances below 0, such as {wrong[0]}', '0 or more'
        )
