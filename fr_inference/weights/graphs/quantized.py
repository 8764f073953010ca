"""Operators of quantised networks: whole numbers times a scale. Source: https://onnx.ai/onnx/operators.

Rounded values between layers are kept as float32. Their gradient is that of the number before rounding
within the range, and zero outside it (straight-through estimator, Bengio et al., arXiv 1308.3432). The
gradient of rounding itself is zero, with which a search for faces could not move.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors
from fr_inference.formats import onnx_tensors
from fr_inference.formats.onnx_file import Node
from fr_inference.weights.graphs.operation import Operator, Tensor, axis_of, library


def _along(value: Tensor, x: Tensor, axis: int) -> Tensor:
    """Reshapes a scale for each slice of an axis so that it broadcasts; a single number is unchanged."""
    if value.size == 1:
        return value.reshape(())
    shape = [1] * x.ndim
    shape[axis_of(axis, x.ndim)] = -1
    return value.reshape(shape)


def dequantize(node: Node, x: Tensor, scale: Tensor | None, zero: Tensor | None = None) -> Tensor:
    """(x - zero) * scale; the scale is 1 if `quantized_layers` leaves it out."""
    axis = node.attributes.get('axis', 1)
    y = x.astype(np.float32)
    if zero is not None:
        y = y - _along(zero.astype(np.float32), x, axis)
    return y if scale is None else y * _along(scale, x, axis)


def quantize(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """round(x / scale) + zero, clipped to the range of the type of `zero`."""
    axis = node.attributes.get('axis', 1)
    kind = np.dtype(np.uint8) if zero is None else np.dtype(zero.dtype)
    if zero is None and node.attributes.get('output_dtype'):
        kind = onnx_tensors.dtype_of(node.attributes['output_dtype']) or np.dtype(object)
    if kind not in (np.int8, np.uint8, np.int16, np.uint16):
        raise errors.InputError('y_zero_point', f'type {kind}', '8 or 16 bits')
    limits = np.iinfo(kind)
    middle = 0 if zero is None else _along(zero.astype(np.float32), x, axis)
    ratio = x / _along(scale, x, axis)
    return _rounded(ratio, middle, float(limits.min), float(limits.max))


def _rounded(ratio: Tensor, middle: Any, low: float, high: float) -> Tensor:
    """round(ratio) + middle, clipped, with the gradient of ratio + middle, clipped."""
    xp = library(ratio)
    whole = xp.clip(xp.round(ratio) + middle, low, high)
    if xp is np:
        return whole
    exact = jnp.clip(ratio + middle, low, high)
    return exact + jax.lax.stop_gradient(whole - exact)


def dynamic(node: Node, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns (integers from 0 to 255, scale, zero) for the range of all of x and 0.

    Scale and zero are treated as constants, so the gradient is that of the number before rounding.
    """
    low = jax.lax.stop_gradient(jnp.minimum(jnp.min(x), 0))
    high = jax.lax.stop_gradient(jnp.maximum(jnp.max(x), 0))
    scale = jnp.where(high > low, (high - low) / 255, 1)
    zero = jnp.round(jnp.clip(-low / scale, 0, 255))
    return _rounded(x / scale, zero, 0, 255), scale, zero


OPERATORS: Mapping[str, Operator] = {
    'DequantizeLinear': Operator(dequantize, 'axis', folds=True),
    'QuantizeLinear': Operator(quantize, 'axis saturate output_dtype', folds=True),
    'DynamicQuantizeLinear': Operator(dynamic),
}
