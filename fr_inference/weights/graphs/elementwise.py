"""Elementwise operators. Source: https://onnx.ai/onnx/operators."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors
from fr_inference.formats import onnx_tensors
from fr_inference.formats.onnx_file import Node
from fr_inference.weights.graphs.operation import Operator, Tensor, check_room, library


def _of_one(function: Callable[[Any], Any]) -> Operator:
    return Operator(lambda node, x: function(jnp.asarray(x)), layout='either')


def _shared(name: str) -> Operator:
    """A function of one array that has the same name in NumPy and JAX."""
    return Operator(lambda node, x: getattr(library(x), name)(x), layout='either', folds=True)


def _reduced(function: Callable[[Any], Callable[..., Any]]) -> Operator:
    """A function of two arrays, applied from the left to any number of them."""

    def compute(node: Node, *arrays: Tensor) -> Tensor:
        xp = library(*arrays)
        if xp is np:
            check_room(np.broadcast_shapes(*(array.shape for array in arrays)), *arrays)
        return functools.reduce(function(xp), arrays)

    return Operator(compute, layout='either', folds=True)


def _binary(name: str) -> Operator:
    return _reduced(lambda xp: getattr(xp, name))


def _divide(xp: Any) -> Callable[..., Any]:
    def divide(x: Any, y: Any) -> Any:
        if not np.issubdtype(x.dtype, np.integer):
            return xp.divide(x, y)
        return xp.sign(x) * xp.sign(y) * (abs(x) // abs(y))  # rounds towards zero, as C does

    return divide


def _power(node: Node, x: Tensor, exponent: Tensor) -> Tensor:
    xp = library(x, exponent)
    if xp is np:
        check_room(np.broadcast_shapes(x.shape, exponent.shape), x, exponent)
    elif isinstance(exponent, np.ndarray) and exponent.size == 1:
        number = float(exponent.reshape(()))
        if number.is_integer() and abs(number) <= 64 and exponent.ndim <= x.ndim:
            return jax.lax.integer_pow(x, int(number))  # its gradient is right at 0 and below
    return xp.power(x, xp.asarray(exponent).astype(x.dtype))


def _mean(node: Node, *arrays: Tensor) -> Tensor:
    return _TABLE['Sum'].compute(node, *arrays) / len(arrays)


def _modulo(node: Node, x: Tensor, y: Tensor) -> Tensor:
    xp = library(x, y)
    return (xp.fmod if node.attributes.get('fmod') else xp.mod)(x, y)


def _clip(node: Node, x: Tensor, low: Any = None, high: Any = None) -> Tensor:
    """Bounds are attributes up to opset 10, inputs from 11 on."""
    low = node.attributes.get('min', low)
    high = node.attributes.get('max', high)
    xp = library(x, *(bound for bound in (low, high) if not isinstance(bound, float)))
    if low is not None:
        x = xp.maximum(x, low)
    return x if high is None else xp.minimum(x, high)


def _prelu(node: Node, x: Tensor, slope: Tensor) -> Tensor:
    return jnp.maximum(x, 0) + slope * jnp.minimum(x, 0)


def _leaky_relu(node: Node, x: Tensor) -> Tensor:
    return jnp.where(x >= 0, x, node.attributes.get('alpha', 0.01) * x)


def _elu(node: Node, x: Tensor) -> Tensor:
    return jax.nn.elu(x, node.attributes.get('alpha', 1.0))


def _selu(node: Node, x: Tensor) -> Tensor:
    alpha = node.attributes.get('alpha', 1.6732632423543772)
    return node.attributes.get('gamma', 1.0507009873554805) * jax.nn.elu(x, alpha)


def _celu(node: Node, x: Tensor) -> Tensor:
    return jax.nn.celu(x, node.attributes.get('alpha', 1.0))


def _hard_sigmoid(node: Node, x: Tensor) -> Tensor:
    alpha, beta = node.attributes.get('alpha', 0.2), node.attributes.get('beta', 0.5)
    return jnp.clip(alpha * x + beta, 0, 1)


def _gelu(node: Node, x: Tensor) -> Tensor:
    how = node.attributes.get('approximate', 'none')
    errors.one_of('approximate', how, ('none', 'tanh'))
    return jax.nn.gelu(x, approximate=how == 'tanh')


def _where(node: Node, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    xp = library(condition, x, y)
    if xp is np:
        check_room(np.broadcast_shapes(condition.shape, x.shape, y.shape), condition, x, y)
    return xp.where(condition, x, y)


def _cast(node: Node, x: Tensor) -> Tensor:
    """Every floating-point type is computed as float32."""
    return _converted(x, onnx_tensors.dtype_of(node.attributes.get('to', 0)))


def _converted(x: Tensor, dtype: np.dtype | None) -> Tensor:
    xp = library(x)
    if dtype is None:
        raise errors.InputError('to', 'a type that is not supported', 'a type of numbers')
    if jnp.issubdtype(dtype, jnp.floating):
        return x.astype(np.float32)
    if dtype.kind == 'b':
        return x != 0
    if xp is np:
        return x.astype(dtype)
    if dtype.itemsize < 4:
        raise errors.InputError(
            'to', f'{dtype}, of values that depend on the image', 'float or int32'
        )
    return jnp.asarray(x).astype(jnp.int32)


def _dropout(node: Node, x: Tensor, *_: Tensor | None) -> Any:
    """Always in eval mode, whatever the graph says: returns x and a mask that keeps everything."""
    return (x, np.ones(x.shape, bool))[: len(node.outputs)] if len(node.outputs) > 1 else x


def _softplus(x: jax.Array) -> jax.Array:
    return jnp.logaddexp(x, 0)


_TABLE: dict[str, Operator] = {
    **{
        op: _shared(name)
        for op, name in {
            **{'Abs': 'abs', 'Ceil': 'ceil', 'Exp': 'exp', 'Floor': 'floor', 'Log': 'log'},
            **{'Neg': 'negative', 'Not': 'logical_not', 'Reciprocal': 'reciprocal'},
            **{'Round': 'round', 'Sign': 'sign', 'Sqrt': 'sqrt', 'Tanh': 'tanh'},
            **{'Sin': 'sin', 'Cos': 'cos'},
        }.items()
    },
    **{
        op: _binary(name)
        for op, name in {
            **{'Add': 'add', 'Sub': 'subtract', 'Mul': 'multiply', 'Sum': 'add'},
            **{'Max': 'maximum', 'Min': 'minimum', 'Equal': 'equal', 'Greater': 'greater'},
            **{'GreaterOrEqual': 'greater_equal', 'Less': 'less', 'LessOrEqual': 'less_equal'},
            **{'And': 'logical_and', 'Or': 'logical_or', 'Xor': 'logical_xor'},
        }.items()
    },
    **{
        op: _of_one(function)
        for op, function in {
            'Relu': jax.nn.relu,
            'Sigmoid': jax.nn.sigmoid,
            'Erf': jax.scipy.special.erf,
            'Softplus': _softplus,
            'Softsign': jax.nn.soft_sign,
            'HardSwish': lambda x: x * jnp.clip(x / 6 + 0.5, 0, 1),
            'Mish': lambda x: x * jnp.tanh(_softplus(x)),
        }.items()
    },
    'Div': _reduced(_divide),
    'Identity': Operator(lambda node, x: x, layout='either', folds=True),
    'Dropout': Operator(_dropout, 'ratio seed', layout='either', folds=True),
    'Pow': Operator(_power, layout='either', folds=True),
    'Mean': Operator(_mean, layout='either', folds=True),
    'Mod': Operator(_modulo, 'fmod', layout='either', folds=True),
    'Clip': Operator(_clip, 'min max', layout='either', folds=True),
    'PRelu': Operator(_prelu, layout='either'),
    'LeakyRelu': Operator(_leaky_relu, 'alpha', layout='either'),
    'Elu': Operator(_elu, 'alpha', layout='either'),
    'Selu': Operator(_selu, 'alpha gamma', layout='either'),
    'Celu': Operator(_celu, 'alpha', layout='either'),
    'HardSigmoid': Operator(_hard_sigmoid, 'alpha beta', layout='either'),
    'Gelu': Operator(_gelu, 'approximate', layout='either'),
    'Where': Operator(_where, layout='either', folds=True),
    'Cast': Operator(_cast, 'to saturate', layout='either', folds=True),
}

OPERATORS: Mapping[str, Operator] = _TABLE
