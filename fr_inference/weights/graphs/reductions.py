"""Operators that combine elements: reductions, products, normalisations within an image.

Source: https://onnx.ai/onnx/operators.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from fr_inference import errors
from fr_inference.formats.onnx_file import Node
from fr_inference.weights.graphs.operation import Operator, Tensor, axis_of, integers, library

_LETTERS = frozenset('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,-> ')


def _reduce(function: Callable[[Any, Tensor, tuple[int, ...], bool], Any]) -> Operator:
    """A reduction over `axes`, an attribute or (from opset 13 or 18) an input; all axes by default."""

    def compute(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
        chosen = list(node.attributes.get('axes', ())) or integers(axes, 'axes')
        if not chosen and node.attributes.get('noop_with_empty_axes'):
            return x
        over = tuple(axis_of(axis, x.ndim) for axis in chosen) or tuple(range(x.ndim))
        return function(library(x), x, over, bool(node.attributes.get('keepdims', 1)))

    return Operator(compute, 'axes keepdims noop_with_empty_axes', folds=True)


def _plain(name: str) -> Operator:
    return _reduce(lambda xp, x, axes, keep: getattr(xp, name)(x, axis=axes, keepdims=keep))


def _l1(xp: Any, x: Tensor, axes: tuple[int, ...], keep: bool) -> Any:
    return xp.sum(abs(x), axis=axes, keepdims=keep)


def _sum_square(xp: Any, x: Tensor, axes: tuple[int, ...], keep: bool) -> Any:
    return xp.sum(x * x, axis=axes, keepdims=keep)


def _l2(xp: Any, x: Tensor, axes: tuple[int, ...], keep: bool) -> Any:
    return xp.sqrt(_sum_square(xp, x, axes, keep))


def _log_sum_exp(xp: Any, x: Tensor, axes: tuple[int, ...], keep: bool) -> Any:
    return jax.nn.logsumexp(jnp.asarray(x), axes, keepdims=keep)


def _cumulative_sum(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    chosen = integers(axis, 'axis')
    if len(chosen) != 1:
        raise errors.InputError('axis', list(chosen), 'one axis')
    xp, along = library(x), axis_of(chosen[0], x.ndim)
    turned = xp.flip(x, along) if node.attributes.get('reverse') else x
    total = xp.cumsum(turned, along, dtype=x.dtype)
    if node.attributes.get('exclusive'):
        total = total - turned
    return xp.flip(total, along) if node.attributes.get('reverse') else total


def _softmax(function: Callable[..., jax.Array]) -> Operator:
    """Up to opset 12, all axes from `axis` on count as one."""

    def compute(node: Node, x: Tensor) -> Tensor:
        if node.opset >= 13:
            return function(jnp.asarray(x), axis=axis_of(node.attributes.get('axis', -1), x.ndim))
        axis = axis_of(node.attributes.get('axis', 1), x.ndim)
        flat = jnp.reshape(x, (math.prod(x.shape[:axis]), -1))
        return function(flat, axis=-1).reshape(x.shape)

    return Operator(compute, 'axis')


def _lp_normalization(node: Node, x: Tensor) -> Tensor:
    axis, p = axis_of(node.attributes.get('axis', -1), x.ndim), node.attributes.get('p', 2)
    errors.one_of('p', p, (1, 2))
    norm = (_l1 if p == 1 else _l2)(jnp, x, (axis,), True)
    return x / jnp.where(norm == 0, 1, norm)


def _layer_normalization(
    node: Node, x: Tensor, scale: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, ...]:
    axis = axis_of(node.attributes.get('axis', -1), x.ndim)
    over = tuple(range(axis, x.ndim))
    mean, centred, deviation = _standardised(x, over, node.attributes.get('epsilon', 1e-5))
    y = centred / deviation * scale
    y = y if bias is None else y + bias
    return (y, mean, 1 / deviation)[: len(node.outputs)]


def _instance_normalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Instance normalisation of maps with their channels last."""
    over = tuple(range(1, x.ndim - 1))
    _, centred, deviation = _standardised(x, over, node.attributes.get('epsilon', 1e-5))
    return centred / deviation * scale + bias


def _group_normalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    groups = node.attributes['num_groups']
    parts = x.reshape(x.shape[0], groups, -1)
    _, centred, deviation = _standardised(parts, (2,), node.attributes.get('epsilon', 1e-5))
    per = x.shape[1] // groups if node.opset < 21 else 1  # before 21, one scale for each group
    scale, bias = (
        jnp.repeat(jnp.asarray(value), per).reshape(-1, *(1,) * (x.ndim - 2))
        for value in (scale, bias)
    )
    return (centred / deviation).reshape(x.shape) * scale + bias


def _standardised(x: Tensor, over: tuple[int, ...], epsilon: float) -> tuple[Any, Any, Any]:
    """Returns the mean, the centred values, and their standard deviation with epsilon."""
    mean = jnp.mean(x, over, keepdims=True)
    centred = x - mean
    return mean, centred, jnp.sqrt(jnp.mean(centred * centred, over, keepdims=True) + epsilon)


def _gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.T if node.attributes.get('transA') else a
    b = b.T if node.attributes.get('transB') else b
    if a.ndim != 2 or b.ndim != 2:
        raise errors.InputError('Gemm', f'{a.ndim} and {b.ndim} axes', 'two matrices')
    alpha, beta = node.attributes.get('alpha', 1.0), node.attributes.get('beta', 1.0)
    y = jnp.matmul(a, b)
    y = y if alpha == 1 else alpha * y
    if c is None:
        return y
    return y + (c if beta == 1 else beta * c)


def _matmul(node: Node, a: Tensor, b: Tensor) -> Tensor:
    return jnp.matmul(a, b)


def _einsum(node: Node, *arrays: Tensor) -> Tensor:
    equation = str(node.attributes.get('equation', ''))
    if not _LETTERS.issuperset(equation) or len(equation) > 80 or not 1 <= len(arrays) <= 3:
        raise errors.InputError(
            'equation', repr(equation[:80]), 'an equation of at most three arrays'
        )
    return jnp.einsum(equation, *arrays)


OPERATORS: Mapping[str, Operator] = {
    'ReduceSum': _plain('sum'),
    'ReduceMean': _plain('mean'),
    'ReduceMax': _plain('max'),
    'ReduceMin': _plain('min'),
    'ReduceProd': _plain('prod'),
    'ReduceL1': _reduce(_l1),
    'ReduceL2': _reduce(_l2),
    'ReduceSumSquare': _reduce(_sum_square),
    'ReduceLogSumExp': _reduce(_log_sum_exp),
    'CumSum': Operator(_cumulative_sum, 'exclusive reverse', static=(1,), folds=True),
    'Softmax': _softmax(jax.nn.softmax),
    'LogSoftmax': _softmax(jax.nn.log_softmax),
    'LpNormalization': Operator(_lp_normalization, 'axis p'),
    'LayerNormalization': Operator(_layer_normalization, 'axis epsilon stash_type'),
    'InstanceNormalization': Operator(_instance_normalization, 'epsilon', layout='last'),
    'GroupNormalization': Operator(_group_normalization, 'epsilon num_groups stash_type'),
    'Gemm': Operator(_gemm, 'alpha beta transA transB'),
    'MatMul': Operator(_matmul),
    'Einsum': Operator(_einsum, 'equation'),
}
