"""Resize and Upsample: a table of weights for each axis. Source: https://onnx.ai/onnx/operators."""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np

from fr_inference import errors
from fr_inference.formats.onnx_file import Node
from fr_inference.weights.graphs.operation import Operator, Tensor, axis_of, integers, known

_MAX_SIZE = 1 << 14  # of an axis

# Name -> function of (positions in the result, scale, size before, size after) to positions before.
_COORDINATES: Mapping[str, Callable[..., np.ndarray]] = {
    'asymmetric': lambda x, scale, before, after: x / scale,
    'half_pixel': lambda x, scale, before, after: (x + 0.5) / scale - 0.5,
    'pytorch_half_pixel': lambda x, scale, before, after: (
        (x + 0.5) / scale - 0.5 if after > 1 else 0 * x
    ),
    'align_corners': lambda x, scale, before, after: (
        x * (before - 1) / (after - 1) if after > 1 else 0 * x
    ),
}
_NEAREST: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    'floor': np.floor,
    'ceil': np.ceil,
    'round_prefer_floor': lambda x: np.ceil(x - 0.5),
    'round_prefer_ceil': lambda x: np.floor(x + 0.5),
}


def _resize(
    node: Node,
    x: Tensor,
    roi: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
) -> Tensor:
    """Resizes x; opset 10 has the scales as its second input, and no choice of coordinates."""
    if node.opset < 11 or node.op == 'Upsample':
        roi, scales = None, roi
    where = 'asymmetric' if node.opset < 11 else 'half_pixel'
    rounding = 'floor' if node.opset < 11 else 'round_prefer_floor'
    where = node.attributes.get('coordinate_transformation_mode', where)
    rounding = node.attributes.get('nearest_mode', rounding)
    mode = node.attributes.get('mode', 'nearest')
    errors.one_of('mode', mode, ('nearest', 'linear'))
    errors.one_of('coordinate_transformation_mode', where, _COORDINATES)
    errors.one_of('nearest_mode', rounding, _NEAREST)
    errors.one_of('antialias', node.attributes.get('antialias', 0), (0,))
    policy = node.attributes.get('keep_aspect_ratio_policy', 'stretch')
    errors.one_of('keep_aspect_ratio_policy', policy, ('stretch',))
    chosen = node.attributes.get('axes', range(x.ndim))
    axes = [axis_of(axis, x.ndim) for axis in chosen]
    for axis, scale, after in zip(axes, *_targets(node, x, axes, scales, sizes), strict=True):
        if not 0 < after <= _MAX_SIZE or not scale > 0:
            raise errors.InputError('sizes', after, f'1 to {_MAX_SIZE}')
        before = x.shape[axis]
        if (after, scale) == (before, 1):
            continue
        place = _COORDINATES[where](np.arange(after, dtype=np.float64), scale, before, after)
        if mode == 'nearest':
            index = np.clip(_NEAREST[rounding](place), 0, before - 1).astype(np.int32)
            x = jnp.take(x, index, axis)
        else:
            x = jnp.moveaxis(jnp.moveaxis(x, axis, -1) @ _table(place, before), -1, axis)
    return x


def _targets(node, x, axes, scales, sizes):
    """Returns (scale, size of the result) of each axis."""
    before = [x.shape[axis] for axis in axes]
    after = integers(sizes, 'sizes')
    if after:
        return [new / old for new, old in zip(after, before, strict=True)], after
    given = node.attributes.get('scales') or known(scales, 'scales').reshape(-1).tolist()
    factors = [float(scale) for scale in given]
    return factors, [int(old * scale) for old, scale in zip(before, factors, strict=True)]


def _table(place: np.ndarray, before: int) -> np.ndarray:
    """Returns [size before, size after] weights of linear interpolation; edge pixels are repeated."""
    low = np.floor(place)
    table = np.zeros((before, len(place)), np.float32)
    columns = np.arange(len(place))
    for index, weight in ((low, 1 - (place - low)), (low + 1, place - low)):
        np.add.at(table, (np.clip(index, 0, before - 1).astype(int), columns), weight)
    return table


OPERATORS: Mapping[str, Operator] = {
    'Resize': Operator(
        _resize,
        'mode coordinate_transformation_mode nearest_mode axes antialias keep_aspect_ratio_policy '
        'cubic_coeff_a exclude_outside extrapolation_value',
        static=(1, 2, 3),
    ),
    'Upsample': Operator(_resize, 'mode scales', static=(1,)),
}
