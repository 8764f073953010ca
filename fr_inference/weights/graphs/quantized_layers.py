"""Rewrites quantised layers as float layers: dequantised inputs, the layer, rounding.

The weights of quantised layers become float weights when the file is opened, and gradients pass as
`quantized` describes. Sources: https://onnx.ai/onnx/operators; for `com.microsoft`, ContribOperators.md
in the documentation of onnxruntime.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from fr_inference import errors
from fr_inference.formats.onnx_file import Node

_OWN = 'com.microsoft.'

# Quantised layer -> the layer of floats, and how many quantised inputs it has.
_ROUNDED: Mapping[str, tuple[str, int]] = {
    'QLinearConv': ('Conv', 2),
    'QLinearMatMul': ('MatMul', 2),
    f'{_OWN}QGemm': ('Gemm', 2),
    f'{_OWN}QLinearAdd': ('Add', 2),
    f'{_OWN}QLinearMul': ('Mul', 2),
    f'{_OWN}QLinearGlobalAveragePool': ('GlobalAveragePool', 1),
    f'{_OWN}QLinearAveragePool': ('AveragePool', 1),
    f'{_OWN}QLinearLeakyRelu': ('LeakyRelu', 1),
    f'{_OWN}QLinearSigmoid': ('Sigmoid', 1),
}
_SUMS = {'ConvInteger': 'Conv', 'MatMulInteger': 'MatMul'}
_RENAMED = {f'{_OWN}{op}': op for op in ('QuantizeLinear', 'DequantizeLinear')}


def expanded(node: Node) -> list[Node]:
    """Returns the operators that a quantised layer stands for; other operators unchanged.

    Raises:
      InputError: of the operator, for missing inputs.
    """
    node = dataclasses.replace(node, op=_RENAMED.get(node.op, node.op))
    if node.op == 'DequantizeLinear':
        _given(node, 0, 1)
    if node.op in _ROUNDED:
        return _rounded(node)
    if node.op in _SUMS:
        return _sum(node)
    if node.op == f'{_OWN}QLinearConcat':
        return _concatenated(node)
    return [node]


def _rounded(node):
    """Splits inputs: (tensor, scale, zero) of each, those of the result, a bias before or after them."""
    op, count = _ROUNDED[node.op]
    _given(node, *range(3 * count))
    rest = list(node.inputs[3 * count :])
    if op == 'Gemm':
        bias, rest = rest[:1], rest[1:]
        if node.attributes.get('alpha', 1.0) != 1:
            raise errors.InputError(node.op, f'alpha {node.attributes["alpha"]!s:.40}', '1')
    else:
        bias, rest = rest[2:], rest[:2]
    parts, inputs = [], []
    for place in range(count):
        parts.append(
            _floats(node, node.inputs[3 * place : 3 * place + 3], place, _axis(node, op, place))
        )
        inputs.append(parts[-1].outputs[0])
    if any(bias):
        parts.append(_made(node, 'Mul', (node.inputs[1], node.inputs[4]), 'scale'))
        parts.append(_floats(node, (bias[0], parts[-1].outputs[0]), 'b', -1))
        inputs.append(parts[-1].outputs[0])
    given = dict(node.attributes)
    if not given.get('channels_last'):  # an attribute of pools, unsupported if set
        given.pop('channels_last', None)
    if op == 'Gemm' and not any(rest):
        return [*parts, dataclasses.replace(node, op=op, inputs=tuple(inputs), attributes=given)]
    return [*parts, *_rounding(node, _made(node, op, inputs, 'y', given), rest)]


def _sum(node):
    """Integer products, which a later operator multiplies by the scale."""
    op = _SUMS[node.op]
    _given(node, 0, 1)
    zeros = [*node.inputs[2:4], '', ''][:2]
    parts = [
        _floats(node, (node.inputs[place], '', zeros[place]), place, _axis(node, op, place))
        for place in range(2)
    ]
    inputs = tuple(part.outputs[0] for part in parts)
    return [*parts, dataclasses.replace(node, op=op, inputs=inputs)]


def _concatenated(node):
    rest = node.inputs[2:]
    _given(node, *range(len(node.inputs)))
    parts = [
        _floats(node, rest[start : start + 3], start // 3, 1) for start in range(0, len(rest), 3)
    ]
    inputs = [part.outputs[0] for part in parts]
    joined = _made(node, 'Concat', inputs, 'y', dict(node.attributes))
    return [*parts, *_rounding(node, joined, node.inputs[:2])]


def _axis(node, op, place):
    """Returns the axis along which scales may differ: of the results for weights, of rows otherwise."""
    if op == 'Conv':
        return 0 if place else 1
    if op == 'MatMul':
        return -1 if place else -2
    return 0 if op == 'Gemm' and place and node.attributes.get('transB') else -1


def _given(node: Node, *places: int) -> None:
    absent = [place for place in places if place >= len(node.inputs) or not node.inputs[place]]
    if absent:
        raise errors.InputError(
            node.op, f'no input number {absent[0] + 1}', 'tensors, each with scale and zero point'
        )


def _made(node: Node, op: str, inputs: Sequence[str], name: Any, attributes: Any = None) -> Node:
    return dataclasses.replace(
        node,
        op=op,
        inputs=tuple(inputs),
        outputs=(f'{node.outputs[0]}/{name}',),
        attributes=attributes or {},
    )


def _floats(node, inputs, name, axis):
    return _made(node, 'DequantizeLinear', inputs, name, {'axis': axis})


def _rounding(node, layer, result):
    """A layer, and the operator that rounds its output to `result`, a scale and a zero point."""
    if len(result) != 2 or not all(result):
        raise errors.InputError(
            node.op, 'a result without scale and zero point', 'a result with both'
        )
    inputs = (layer.outputs[0], *result)
    return [layer, dataclasses.replace(node, op='QuantizeLinear', inputs=inputs, attributes={})]
