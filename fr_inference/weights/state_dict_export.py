"""Exports a backbone's weights under its family's names, for PyTorch's `load_state_dict`."""

import math
import os
from collections.abc import Mapping
from typing import cast

import flax.linen as nn
import numpy as np

from fr_inference import errors
from fr_inference.formats import safetensors_file
from fr_inference.models import registry
from fr_inference.models.target import Target
from fr_inference.weights import families, rules


def state_dict(target: Target, epsilons: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Returns the float32 tensors of a registered backbone under its family's names.

    If statistics were folded away, the running mean becomes 0 and the variance 1 - epsilon, so that the
    family's own code computes the same.

    Args:
      target: of an architecture that a family has a table of names for.
      epsilons: of each BatchNorm layer, by its path.

    Raises:
      InputError: of 'state_dict', for a backbone that would not be the same when it is read again.
    """
    if target.answers:
        raise errors.InputError(
            'state_dict',
            'a backbone whose answers are changed',
            'one without: only a native folder records that',
        )
    layers = families.layers_of(cast(nn.Module, target.module), target.input)
    if layers is None:
        raise _cannot(f'{target.architecture}, which has no table of names')
    leaves = rules.by_path(target.variables)
    tensors, written = {}, set()
    for layer in layers:
        for suffix, (collection, leaf, transform) in layer.weights().items():
            path = f'{collection}/{layer.target}/{leaf}'
            if path in leaves:
                value = np.asarray(leaves[path], np.float32)
                written.add(path)
            elif collection == 'batch_stats' and not target.statistics:
                size = leaves[f'params/{layer.target}/bias'].shape
                stands = 0 if leaf == 'mean' else 1 - epsilons[layer.target]
                value = np.full(size, stands, np.float32)
            else:
                raise _cannot(f'no {path}')
            tensors[layer.key(suffix)] = _undone(transform, value, layer.kind)
    left = sorted(set(leaves) - written)
    if left:
        raise _cannot(f'{left[0]}, which has no name there')
    _check(target, leaves, tensors)
    return tensors


def save(path: str | os.PathLike, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes a state dict as a `.safetensors` file.

    Raises:
      InputError: of 'state_dict', when it cannot be written.
    """
    try:
        safetensors_file.write(path, tensors, {'format': 'pt'})
    except OSError as error:
        raise errors.InputError(
            'state_dict', f'{path}, which cannot be written: {error.strerror}', 'a file to write to'
        ) from error


def _undone(transform, value, kind):
    """Returns the array that `transform` maps to `value`; transforms only move numbers."""
    shape = value.shape
    if value.ndim == 4:
        shape = (shape[3], shape[2], shape[0], shape[1])
    elif value.ndim == 2:
        shape = (*shape[::-1], *((1, 1) if kind.startswith('pointwise') else ()))
    moved = transform(np.arange(math.prod(shape)).reshape(shape))
    if moved.shape != value.shape:
        raise _cannot(f'{kind} of shape {list(value.shape)}')
    found = np.empty(value.size, value.dtype)
    found[moved.ravel()] = value.ravel()
    return found.reshape(shape)


def _check(target, leaves, tensors):
    """Checks that the family reads the tensors as the same variables."""
    match, own, _ = families.recognise(tensors, target.name, input=target.input)
    module = registry.build(match.architecture, **match.config)
    found, _ = families.convert(
        match, own, registry.abstract_variables(module, match.input), target.name, module
    )
    read = rules.by_path(found)
    if not all(path in read and np.array_equal(read[path], leaves[path]) for path in leaves):
        raise _cannot('other weights when they are read again')


def _cannot(why):
    return errors.InputError(
        'state_dict', why, 'a backbone whose family has a name for every tensor'
    )
