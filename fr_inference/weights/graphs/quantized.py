"""Operators of quantised networks: whole numbers times a scale. Source: https://onnx.ai/onnx/operators.

What is rounded between layers is kept as float32. Within the range, its gradient is that of the number
before rounding; outside it is zero ("straight-through", Bengio et al., arXiv 1308.3432). Rounding itself
has none, and a search for faces would stand still.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors
from fr_inference.formats import onnx_tensors
from fr_inference.formats.onnx_file import Node
from fr_inference.weights.graphs.operation import Operator, Tensor, axis_of, library


def _along(value: Tensor, x: Tensor, axis: int) -> Tensor:
    """Returns a scale for each slice of an axis in a shape that broadcasts; one number as it is."""
    if value.size == 1:
        return value.reshape(())
    shape = [1] * x.ndim
    shape[axis_of(axis, x.ndim)] = -1
    return value.reshape(shape)


def dequantize(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """(x - zero) * scale."""
    axis = node.attributes.get('axis', 1)
    y = x.astype(np.float32)
    if zero is not None:
        y = y - _along(zero.astype(np.float32), x, axis)
    return y * _along(scale, x, axis)


def quantize(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """round(x / scale) + zero, clipped to the range of the type of `zero`."""
    xp, axis = library(x, scale), node.attributes.get('axis', 1)
    kind = np.dtype(np.uint8) if zero is None else np.dtype(zero.dtype)
    if zero is None and node.attributes.get('output_dtype'):
        kind = onnx_tensors.dtype_of(node.attributes['output_dtype']) or np.dtype(object)
    if kind not in (np.int8, np.uint8, np.int16, np.uint16):
        raise errors.InputError('y_zero_point', f'type {kind}', '8 or 16 bits')
    limits = np.iinfo(kind)
    middle = 0 if zero is None else _along(zero.astype(np.float32), x, axis)
    exact = xp.clip(x / _along(scale, x, axis) + middle, float(limits.min), float(limits.max))
    if xp is np:
        return np.round(exact)
    return exact + jax.lax.stop_gradient(jnp.round(exact) - exact)


def expanded(node: Node) -> list[Node]:
    """Returns the operators that a quantised one stands for: its inputs as floats, itself, rounding.

    So the weights of quantised layers become float weights where the file is opened.
    """
    if node.op not in ('QLinearConv', 'QLinearMatMul'):
        return [node]
    if len(node.inputs) < 8:
        raise errors.InputError(node.op, f'{len(node.inputs)} inputs', '8 or 9')
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, *bias = node.inputs
    stem = f'{node.outputs[0]}/'
    conv = node.op == 'QLinearConv'
    whole = {'op': 'DequantizeLinear', 'name': node.name, 'attributes': {}}

    def made(inputs, output, **fields):
        return dataclasses.replace(node, inputs=inputs, outputs=(f'{stem}{output}',), **fields)

    parts = [
        made((x, x_scale, x_zero), 'x', **whole),
        made((w, w_scale, w_zero), 'w', **{**whole, 'attributes': {'axis': 0 if conv else 1}}),
    ]
    inputs = [f'{stem}x', f'{stem}w']
    if bias and bias[0]:
        parts.append(made((x_scale, w_scale), 'scale', op='Mul', attributes={}))
        parts.append(made((bias[0], f'{stem}scale'), 'b', **{**whole, 'attributes': {'axis': 0}}))
        inputs.append(f'{stem}b')
    parts.append(made(tuple(inputs), 'y', op='Conv' if conv else 'MatMul'))
    last = dataclasses.replace(
        node, op='QuantizeLinear', inputs=(f'{stem}y', y_scale, y_zero), attributes={}
    )
    return [*parts, last]


OPERATORS: Mapping[str, Operator] = {
    'DequantizeLinear': Operator(dequantize, 'axis', folds=True),
    'QuantizeLinear': Operator(quantize, 'axis saturate output_dtype', folds=True),
}
