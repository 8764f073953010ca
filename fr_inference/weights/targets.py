"""The one door through which targets come in: any supported file, native directory or embedded name."""

import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from fr_inference import errors
from fr_inference.formats.state_dicts import read_tensors
from fr_inference.models import registry
from fr_inference.models.target import InputSpec, Target
from fr_inference.weights import ir_names, iresnet_names, mobilefacenet_names, native_targets, rules
from fr_inference.weights.rules import Match, grid_of

EMBEDDED = pathlib.Path(__file__).resolve().parent.parent / 'models' / 'embedded'
FAMILIES = (iresnet_names, ir_names, mobilefacenet_names)

# Names under which training code keeps the classification layer beside the backbone.
_HEAD = re.compile(
    r'(^|\.)(heads?|classifier|classification|margin|(arc|cos|sphere|ada|curricular)_?face|'
    r'arc_?margin|metric(_fc)?|logits|(am_?)?softmax|criterion|loss|product|fc_head|head_fc|'
    r'partial_fc)(\.|$)',
    re.IGNORECASE,
)

_MAX_PREFIXES = 16  # each is tried on all names


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
    flag: str = '--target',
) -> Target:
    """Opens a target, whatever it is.

    Args:
      source: a native checkpoint directory, a `.pt`/`.pth`/`.ckpt`/`.safetensors` file, or the name
        of an embedded target.
      arch: name in `registry.VARIANTS`, in place of what the names and shapes say.
      input: fields of its `InputSpec` (height, width, mean, std) in place of what the file says.
      dtype: 'float32' or 'bfloat16' arithmetic.
      flag: how errors call `source`.

    Raises:
      InputError: one line, when there is nothing to open or it does not fit.
    """
    path = locate(source)
    errors.require(
        os.path.exists(path),  # unlike Path.exists, False for a name too long for the system
        f'{flag}: {str(source)!r} not found; expected a checkpoint file, a native checkpoint '
        f'directory, or one of {", ".join(embedded_names()) or "(no embedded targets)"}',
    )
    if path.is_dir():
        errors.require(
            native_targets.is_target(path),
            f'{flag}: {path} is a directory without target.json, expected a native checkpoint',
        )
        target = _with_input(native_targets.load_target(path, dtype=dtype), input or {})
        errors.require(
            arch in (None, target.architecture),
            f'--arch: found {arch!r}, but {path} says {target.architecture!r}',
        )
    else:
        target = _convert(path, arch, input or {}, dtype)
    _check_values(target, path)
    return target


def _check_values(target, path):
    leaves = rules.by_path(target.variables)
    wrong = [key for key, leaf in leaves.items() if not np.isfinite(np.asarray(leaf)).all()]
    errors.require(
        not wrong,
        f'{path}: damaged: {len(wrong)} of {len(leaves)} tensors hold numbers that are not finite '
        f'({", ".join(wrong[:4])}{", ..." if len(wrong) > 4 else ""})',
    )
    wrong = [
        key
        for key, leaf in leaves.items()
        if key.startswith('batch_stats/') and key.endswith('/var') and np.min(leaf, initial=0) < 0
    ]
    errors.require(
        not wrong, f'{path}: damaged: {len(wrong)} running variances below 0, as {wrong[:1]}'
    )


def _with_input(target, changes):
    if not changes:
        return target
    spec = dataclasses.replace(target.input, **changes)
    expected = registry.abstract_variables(target.module, spec)
    errors.require(
        jax.tree.map(np.shape, expected) == jax.tree.map(np.shape, target.variables),
        f'{target.name}: made for {target.input.height}x{target.input.width} images, its weights do '
        f'not fit {spec.height}x{spec.width}',
    )
    return dataclasses.replace(target, input=spec)


def _convert(path, arch, changes, dtype):
    state = read_tensors(path)
    match, tensors, aside = recognise(state.tensors, str(path), arch)
    if changes:
        spec = dataclasses.replace(match.input, **changes)
        match, tensors, aside = recognise(state.tensors, str(path), arch, spec)
    config = match.config if dtype is None else {**match.config, 'dtype': dtype}
    try:
        module = registry.build(match.architecture, **config)
    except errors.InputError as error:
        raise errors.InputError(f'{path} (as {match.architecture}): {error}') from error
    expected = registry.abstract_variables(module, match.input)
    variables, heads = convert(match, tensors, expected, str(path))
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
        sha256=_file_digest(path),
        notes=tuple(notes),
    )


def recognise(
    tensors: Mapping[str, np.ndarray],
    source: str,
    arch: str | None = None,
    input: InputSpec | None = None,
) -> tuple[Match, dict[str, np.ndarray], list[str]]:
    """Recognises family and variant from names and shapes, below any common prefix.

    Args:
      tensors: state dict.
      source: how errors call it.
      arch: the variant to expect, in place of the one found.
      input: what images it expects; by default square ones as the head's shape says.

    Returns:
      (the match, the tensors below the prefix with the prefix removed, names of all others).

    Raises:
      InputError: when no family fits, or `arch` names another family.
    """
    if arch is not None:
        errors.one_of('--arch', arch, registry.VARIANTS)
    for prefix in _prefixes(tensors):
        inside = {
            name.removeprefix(prefix): value
            for name, value in tensors.items()
            if name.startswith(prefix)
        }
        shapes = {name: tuple(value.shape) for name, value in inside.items()}
        found = (family.recognise(shapes, input) for family in FAMILIES)
        matches = [match for match in found if match]
        if not matches:
            continue
        match = matches[0]
        if arch is not None and arch != match.architecture:
            match = _override(match, arch)
        others = [name for name in tensors if not name.startswith(prefix)]
        return match, inside, others
    some = ', '.join(list(tensors)[:3])
    raise errors.InputError(
        f'{source}: no known backbone in these {len(tensors)} tensors ({some}, ...); expected one of '
        f'{", ".join(registry.VARIANTS)}'
    )


def _prefixes(tensors):
    """Returns '' and every prefix under which a family's signature is found, shortest first."""
    signatures = (
        iresnet_names.SIGNATURE,
        ir_names.SIGNATURE,
        *mobilefacenet_names.SIGNATURES.values(),
    )
    found = {
        name.removesuffix(signature)
        for name in tensors
        for signature in signatures
        if name.endswith(f'.{signature}') or name == signature
    }
    return sorted(found, key=len)[:_MAX_PREFIXES]


def _override(match: Match, arch: str) -> Match:
    """Returns the rules of `arch`, so that the mismatch with the file is listed key by key."""
    module: Any = registry.build(arch)
    spec = registry.sized(registry.VARIANTS[arch].input, match.input.height, match.input.width)
    if arch.startswith('mobilefacenet'):
        layers = mobilefacenet_names.layers(module.form)
    elif arch.startswith(('ir5', 'ir1', 'irse')):
        layers = ir_names.layers(tuple(module.depths), module.squeeze_excite, grid_of(spec))
    else:
        layers = iresnet_names.layers(tuple(module.depths), grid_of(spec))
    return Match(arch, {}, spec, layers)


def convert(
    match: Match, tensors: Mapping[str, np.ndarray], expected: Any, source: str
) -> tuple[Any, list[str]]:
    """Applies a family's rules.

    Args:
      match: what `recognise` found.
      tensors: state dict without prefix.
      expected: abstract variables of the module.
      source: how errors call the file.

    Returns:
      ({'params', 'batch_stats'} as float32 NumPy arrays, names of set-aside head tensors).

    Raises:
      InputError: that lists every unmatched, missing and misshaped tensor.
    """
    entries = {
        f'{layer.source}.{suffix}': (f'{collection}/{layer.target}/{leaf}', transform)
        for layer in match.layers
        for suffix, (collection, leaf, transform) in layer.weights().items()
    }
    variables, missing, misshaped = rules.fill(entries, tensors, expected)
    used = entries.keys()
    rest = [key for key in tensors if key not in used and not key.endswith('num_batches_tracked')]
    heads = [key for key in rest if _HEAD.search(key)]
    statistics = [key for key in missing if key.rsplit('.', 1)[-1].startswith('running_')]
    errors.require(
        not statistics or any(name.endswith('.running_mean') for name in tensors),
        f'{source}: recognised as {match.architecture}, but it has no BatchNorm statistics '
        f'({len(statistics)} missing, as {", ".join(statistics[:2])}), to which the attack on images '
        'measures distances: export the checkpoint with its buffers (state_dict(), not '
        'parameters()). Folded into the weights they are lost, and only people can be attacked, by '
        'their embeddings: from Python, with fr_inference.audit(apply, variables, ...)',
    )
    errors.report_mismatch(
        f'{source} (as {match.architecture})',
        unmatched=[key for key in rest if key not in heads],
        missing=missing,
        misshaped=misshaped,
    )
    return variables, heads


def _file_digest(path):
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
