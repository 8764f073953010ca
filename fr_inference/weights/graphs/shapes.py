"""Operators that move elements without computing with them. Source: https://onnx.ai/onnx/operators."""

import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from fr_inference import errors
from fr_inference.formats.onnx_file import Node
from fr_inference.weights.graphs.operation import (
    Operator,
    Tensor,
    axis_of,
    check_room,
    integers,
    known,
    library,
)


def _reshape(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    sizes = integers(shape, 'shape')
    if not node.attributes.get('allowzero'):
        sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return x.reshape(sizes)


def _flatten(node: Node, x: Tensor) -> Tensor:
    axis = node.attributes.get('axis', 1)
    axis = axis if axis == x.ndim else axis_of(axis, x.ndim)
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def _transpose(node: Node, x: Tensor) -> Tensor:
    return library(x).transpose(x, node.attributes.get('perm', tuple(range(x.ndim))[::-1]))


def _axes(node: Node, given: Tensor | None) -> list[int]:
    """Axes are an attribute up to opset 12, an input from 13 on."""
    return list(node.attributes.get('axes', ())) or integers(given, 'axes')


def _squeeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    chosen = [axis_of(axis, x.ndim) for axis in _axes(node, axes)]
    return library(x).squeeze(x, tuple(chosen) or None)


def _unsqueeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    return library(x).expand_dims(x, tuple(_axes(node, axes)))


def _concat(node: Node, *arrays: Tensor) -> Tensor:
    """Repeats arrays with one entry for all images, such as a class token exported for one image."""
    xp = library(*arrays)
    axis = axis_of(node.attributes['axis'], arrays[0].ndim)
    if xp is np:
        check_room([sum(array.size for array in arrays)])
    elif axis:
        count = max(array.shape[0] for array in arrays)
        arrays = tuple(
            xp.broadcast_to(array, (count, *array.shape[1:])) if array.shape[0] == 1 else array
            for array in arrays
        )
    return xp.concatenate(arrays, axis)


def _split(node: Node, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis = axis_of(node.attributes.get('axis', 0), x.ndim)
    parts = list(node.attributes.get('split', ())) or integers(sizes, 'split')
    if not parts:
        count = node.attributes.get('num_outputs', len(node.outputs))
        size = -(-x.shape[axis] // max(count, 1))
        parts = [size] * (count - 1) + [x.shape[axis] - size * (count - 1)]
    if min(parts) < 0 or sum(parts) != x.shape[axis] or len(parts) != len(node.outputs):
        raise errors.InputError('split', parts[:8], f'parts of {x.shape[axis]}')
    return tuple(library(x).split(x, np.cumsum(parts)[:-1], axis))


def _slice(
    node: Node,
    x: Tensor,
    starts: Tensor | None = None,
    ends: Tensor | None = None,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    first = list(node.attributes.get('starts', ())) or integers(starts, 'starts')
    last = list(node.attributes.get('ends', ())) or integers(ends, 'ends')
    chosen = _axes(node, axes) or list(range(len(first)))
    strides = integers(steps, 'steps') or [1] * len(first)
    cut: list[slice] = [slice(None)] * x.ndim
    for start, end, axis, step in zip(first, last, chosen, strides, strict=True):
        axis = axis_of(axis, x.ndim)
        cut[axis] = _cut(start, end, step, x.shape[axis])
    return x[tuple(cut)]


def _cut(start: int, end: int, step: int, size: int) -> slice:
    if step == 0:
        raise errors.InputError('steps', 0, 'another number')
    low, high = (0, size) if step > 0 else (-1, size - 1)
    start, end = (number + size if number < 0 else number for number in (start, end))
    start, end = (min(max(number, low), high) for number in (start, end))
    return slice(max(start, 0), None if end < 0 else end, step)


def _gather(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    xp = library(x, indices)
    axis = axis_of(node.attributes.get('axis', 0), x.ndim)
    size = x.shape[axis]
    if isinstance(indices, np.ndarray):
        if indices.size and not (-size <= indices.min() and indices.max() < size):
            raise errors.InputError(
                'indices', f'{indices.min()} to {indices.max()}', f'below {size}'
            )
        if xp is np:
            check_room([x.size // max(size, 1), indices.size], x)
    return xp.take(x, xp.where(indices < 0, indices + size, indices), axis)


def _shape(node: Node, x: Tensor) -> Tensor:
    start, end = node.attributes.get('start', 0), node.attributes.get('end', x.ndim)
    return np.array(x.shape, np.int64)[start:end]


def _size(node: Node, x: Tensor) -> Tensor:
    return np.array(x.size, np.int64)


def _constant_of_shape(node: Node, shape: Tensor) -> Tensor:
    sizes = integers(shape, 'shape')
    check_room(sizes)
    value = np.asarray(node.attributes.get('value', np.zeros(1, np.float32)))
    dtype = np.float32 if jnp.issubdtype(value.dtype, jnp.floating) else value.dtype
    return np.full(sizes, value.reshape(-1)[0], dtype)


def _expand(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    wanted = np.broadcast_shapes(x.shape, tuple(integers(shape, 'shape')))
    check_room(wanted, x)
    return library(x).broadcast_to(x, wanted)


def _tile(node: Node, x: Tensor, repeats: Tensor) -> Tensor:
    counts = integers(repeats, 'repeats')
    check_room([size * count for size, count in zip(x.shape, counts, strict=True)], x)
    return library(x).tile(x, counts)


def _range(node: Node, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    first, last, step = (known(value, 'range').item() for value in (start, limit, delta))
    check_room([max(math.ceil((last - first) / step), 0)])
    return np.arange(first, last, step, dtype=start.dtype)


_AXIS: Mapping[str, Any] = {'layout': 'either', 'axis': True, 'folds': True}

OPERATORS: Mapping[str, Operator] = {
    'Reshape': Operator(_reshape, 'allowzero', folds=True),
    'Flatten': Operator(_flatten, 'axis', folds=True),
    'Transpose': Operator(_transpose, 'perm', folds=True),
    'Squeeze': Operator(_squeeze, 'axes', folds=True),
    'Unsqueeze': Operator(_unsqueeze, 'axes', folds=True),
    'Concat': Operator(_concat, 'axis', **_AXIS),
    'Split': Operator(_split, 'axis split num_outputs', **_AXIS),
    'Slice': Operator(_slice, 'starts ends axes', folds=True),
    'Gather': Operator(_gather, 'axis', folds=True),
    'Shape': Operator(_shape, 'start end', folds=True),
    'Size': Operator(_size, folds=True),
    'ConstantOfShape': Operator(_constant_of_shape, 'value', folds=True),
    'Expand': Operator(_expand, folds=True),
    'Tile': Operator(_tile, folds=True),
    'Range': Operator(_range, static=(0, 1, 2), folds=True),
}
