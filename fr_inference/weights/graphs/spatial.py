"""Operators that slide a window over maps. Maps have their channels last: [N, H, W, C].

One-dimensional maps [N, L, C] and maps with more axes work in the same way. Source: https://onnx.ai/onnx/operators.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors
from fr_inference.formats.onnx_file import Node
from fr_inference.models import layers
from fr_inference.weights.graphs.operation import Operator, Tensor, integers, known

Pads = list[tuple[int, int]]

_ORDERS = {1: ('NWC', 'WIO', 'NWC'), 2: ('NHWC', 'HWIO', 'NHWC'), 3: ('NDHWC', 'DHWIO', 'NDHWC')}


def conv(node: Node, x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolution of x [N, H, W, C] with a kernel [features, C / groups, h, w]."""
    # Weights are stored transposed: the compiler cancels the two transpositions.
    kernel = jnp.transpose(kernel, (*range(2, kernel.ndim), 1, 0))
    window, groups = kernel.shape[:-2], node.attributes.get('group', 1)
    given = node.attributes.get('kernel_shape', window)
    if tuple(given) != window or x.shape[-1] != kernel.shape[-2] * groups:
        raise errors.InputError(
            'weights', list(kernel.shape), f'kernel {list(given)} of {x.shape[-1]} channels'
        )
    strides, dilations, pads = _sliding(node, x.shape[1:-1], window)
    y = _convolved(x, kernel, strides, dilations, pads, groups)
    return y if bias is None else y + bias


def _convolved(x, kernel, strides, dilations, pads, groups):
    """Computes the convolution as the registered backbones do, so that the same kernels apply."""
    plain = len(strides) == 2 and len(set(strides)) == 1 and set(dilations) == {1}
    (low, high), *rest = pads
    if plain and groups == 1 and kernel.shape[:2] == (1, 1) and not any(map(any, pads)):
        return x[:, :: strides[0], :: strides[1]] @ kernel[0, 0]
    if plain and groups == 1 and low == high and rest == [(low, low)]:
        return layers.convolve(x, kernel, stride=strides[0], padding=low)
    if plain and groups == x.shape[-1] == kernel.shape[-1]:
        return layers.depthwise(
            jnp.pad(x, ((0, 0), *pads, (0, 0))), jnp.asarray(kernel), stride=strides[0]
        )
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        strides,
        pads,
        rhs_dilation=dilations,
        dimension_numbers=_ORDERS[len(strides)],
        feature_group_count=groups,
    )


def _sliding(
    node: Node, sizes: Sequence[int], window: Sequence[int]
) -> tuple[list[int], list[int], Pads]:
    """Returns strides, dilations and padding of each axis of the map."""
    rank = len(sizes)
    strides = list(node.attributes.get('strides', (1,) * rank))
    dilations = list(node.attributes.get('dilations', (1,) * rank))
    ends = list(node.attributes.get('pads', (0,) * 2 * rank))
    lengths = [len(strides), len(dilations), len(window), len(ends) // 2]
    if rank not in _ORDERS or lengths != [rank] * 4 or min(*strides, *dilations, *window) < 1:
        raise errors.InputError('strides', strides, f'{rank} numbers above 0, for 1 to 3 axes')
    if min(ends) < 0:
        raise errors.InputError('pads', ends[:8], '0 or more')
    how = node.attributes.get('auto_pad', 'NOTSET')
    errors.one_of('auto_pad', how, ('NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER'))
    if how == 'NOTSET':
        return strides, dilations, list(zip(ends[:rank], ends[rank:], strict=True))
    pads = []
    for size, step, dilation, width in zip(sizes, strides, dilations, window, strict=True):
        reach = (-(-size // step) - 1) * step + (width - 1) * dilation + 1
        total = max(reach - size, 0) if how.startswith('SAME') else 0
        less, more = total // 2, total - total // 2
        pads.append((less, more) if how != 'SAME_LOWER' else (more, less))
    return strides, dilations, pads


def _pooling(node: Node, x: Tensor) -> tuple[list[int], list[int], list[int], Pads, Pads]:
    """Returns window, strides, dilations, padding, and the padding that `ceil_mode` extends."""
    window = list(node.attributes['kernel_shape'])
    strides, dilations, pads = _sliding(node, x.shape[1:-1], window)
    extended = []
    for axis, (size, (low, high)) in enumerate(zip(x.shape[1:-1], pads, strict=True)):
        reach, step = (window[axis] - 1) * dilations[axis] + 1, strides[axis]
        room = size + low + high - reach
        if node.attributes.get('ceil_mode') and room % step:
            places = -(-room // step)
            # Leave out a window that would start after the end of the map and its leading padding.
            places -= places * step >= size + low
            high = max(places * step + reach - size - low, high)
        extended.append((low, high))
    return window, strides, dilations, pads, extended


def max_pool(node: Node, x: Tensor) -> Tensor:
    """The largest value in each window."""
    if len(node.outputs) > 1:
        raise errors.InputError('outputs', 'positions of the largest values', 'only the values')
    window, strides, dilations, _, pads = _pooling(node, x)
    return jax.lax.reduce_window(
        jnp.asarray(x),
        -jnp.inf,
        jax.lax.max,
        (1, *window, 1),
        (1, *strides, 1),
        [(0, 0), *pads, (0, 0)],
        window_dilation=(1, *dilations, 1),
    )


def average_pool(node: Node, x: Tensor) -> Tensor:
    """The mean of each window over the map or, with `count_include_pad`, also over its padding."""
    window, strides, dilations, pads, extended = _pooling(node, x)
    total = jax.lax.reduce_window(
        jnp.asarray(x),
        0.0,
        jax.lax.add,
        (1, *window, 1),
        (1, *strides, 1),
        [(0, 0), *extended, (0, 0)],
        window_dilation=(1, *dilations, 1),
    )
    count = np.ones((), np.float32)
    for axis, size in enumerate(x.shape[1:-1]):
        low, high = pads[axis] if node.attributes.get('count_include_pad') else (0, 0)
        starts = np.arange(total.shape[axis + 1]) * strides[axis] - pads[axis][0]
        where = starts[:, None] + np.arange(window[axis]) * dilations[axis]
        inside = ((where >= -low) & (where < size + high)).sum(1).astype(np.float32)
        count = count[..., None] * inside
    return total / count[..., None]


def global_average_pool(node: Node, x: Tensor) -> Tensor:
    """The mean of each channel."""
    return jnp.mean(x, tuple(range(1, x.ndim - 1)), keepdims=True)


def global_max_pool(node: Node, x: Tensor) -> Tensor:
    """The largest value of each channel."""
    return jnp.max(x, tuple(range(1, x.ndim - 1)), keepdims=True)


def pad(
    node: Node,
    x: Tensor,
    pads: Tensor | None = None,
    value: Tensor | None = None,
    axes: Tensor | None = None,
) -> Tensor:
    """Padding of any axis of any tensor; amounts are an attribute up to opset 10."""
    ends = list(node.attributes.get('pads', ())) or integers(pads, 'pads')
    rank, modes = x.ndim, {'constant': 'constant', 'reflect': 'reflect', 'edge': 'edge'}
    chosen = [axis % rank for axis in integers(axes, 'axes')] if axes is not None else range(rank)
    if len(ends) != 2 * len(chosen) or min(ends, default=0) < 0:
        raise errors.InputError('pads', ends[:8], f'{2 * len(chosen)} numbers, 0 or more')
    widths = [(0, 0)] * rank
    for place, axis in enumerate(chosen):
        widths[axis] = (ends[place], ends[place + len(chosen)])
    mode = node.attributes.get('mode', 'constant')
    errors.one_of('mode', mode, modes)
    if mode != 'constant':
        return jnp.pad(x, widths, mode)
    number = node.attributes.get('value', known(value, 'constant_value').sum().item())
    return jnp.pad(x, widths, constant_values=np.asarray(number, x.dtype))


_WINDOW = 'auto_pad dilations pads strides kernel_shape'


def _last(compute: Any, attributes: str = '') -> Operator:
    return Operator(compute, attributes, layout='last')


OPERATORS: Mapping[str, Operator] = {
    'Conv': _last(conv, f'{_WINDOW} group'),
    'MaxPool': _last(max_pool, f'{_WINDOW} ceil_mode storage_order'),
    'AveragePool': _last(average_pool, f'{_WINDOW} ceil_mode count_include_pad'),
    'GlobalAveragePool': _last(global_average_pool),
    'GlobalMaxPool': _last(global_max_pool),
    'Pad': Operator(pad, 'mode pads value', static=(1, 2, 3)),
}
