"""Ways to change an ONNX model that stays a model: its operators, attributes, constants and links."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

_OPERATORS = (
    *('Add', 'Cast', 'Concat', 'ConstantOfShape', 'Conv', 'Einsum', 'Expand', 'Flatten', 'Gather'),
    *('Gemm', 'MatMul', 'MaxPool', 'Mul', 'Pad', 'Pow', 'Range', 'Reshape', 'Resize', 'Shape'),
    *('Slice', 'Split', 'Squeeze', 'Tile', 'Transpose', 'Unsqueeze', 'Where', 'If', 'Loop', 'Scan'),
    *('Custom', ''),
)
_NUMBERS = (-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 7, 1000, 2**20, 2**31 - 1, 2**40, 2**63 - 1)
_NAMES = (
    *('axis', 'axes', 'group', 'strides', 'pads', 'dilations', 'kernel_shape', 'to', 'perm'),
    *('keepdims', 'ceil_mode', 'auto_pad', 'transB'),
)
_FLOATS = (0.0, -1.0, 1e30, float('inf'), float('nan'), 1e-45)


def graph(draw: np.random.Generator, data: bytes, _: Sequence[bytes]) -> bytes:
    """One to three changes."""
    model = onnx.ModelProto.FromString(data)
    for _turn in range(draw.integers(1, 4)):
        _CHANGES[draw.integers(len(_CHANGES))](draw, model.graph)
    return model.SerializeToString()


def _one(draw, values):
    return values[draw.integers(len(values))]


def _operator(draw, held):
    _one(draw, held.node).op_type = _one(draw, _OPERATORS)


def _attribute(draw, held):
    entry = _one(draw, _one(draw, [node for node in held.node if node.attribute]).attribute)
    if entry.ints:
        entry.ints[draw.integers(len(entry.ints))] = _one(draw, _NUMBERS)
    else:
        entry.i, entry.f = _one(draw, _NUMBERS), _one(draw, _FLOATS)


def _new_attribute(draw, held):
    numbers = [int(_one(draw, _NUMBERS)) for _ in range(draw.integers(1, 5))]
    made = helper.make_attribute(_one(draw, _NAMES), _one(draw, (numbers, numbers[0])))
    _one(draw, held.node).attribute.append(made)


def _shape(draw, held):
    constant = _one(draw, held.initializer)
    if constant.dims and draw.integers(2):
        constant.dims[draw.integers(len(constant.dims))] = _one(draw, _NUMBERS)
    else:
        constant.dims.append(_one(draw, _NUMBERS))


def _kind(draw, held):
    _one(draw, held.initializer).data_type = int(draw.integers(0, 24))


def _elsewhere(draw, held):
    """Data in another file."""
    constant = _one(draw, held.initializer)
    constant.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (
        ('location', _one(draw, ('../x', '/etc/passwd', 'file.onnx', 'x\0y', ''))),
        ('offset', str(_one(draw, _NUMBERS))),
        ('length', str(_one(draw, _NUMBERS))),
    ):
        entry = constant.external_data.add()
        entry.key, entry.value = key, value


def _link(draw, held):
    node = _one(draw, held.node)
    names = [name for other in held.node for name in other.output] + ['', 'nowhere', 'image']
    if node.input:
        node.input[draw.integers(len(node.input))] = _one(draw, names)


def _result(draw, held):
    node = _one(draw, held.node)
    node.output[draw.integers(len(node.output))] = _one(draw, held.node).output[0]


def _grown(draw, held):
    """A node whose result would be huge: numbers that a reader may compute by itself."""
    sizes = np.array([_one(draw, _NUMBERS) for _ in range(draw.integers(1, 5))], np.int64)
    name = f'grown{len(held.node)}'
    held.initializer.append(numpy_helper.from_array(sizes, name))
    operator = _one(
        draw, ('ConstantOfShape', 'Expand', 'Tile', 'Range', 'Reshape', 'Pad', 'Resize')
    )
    inputs = [name] if operator == 'ConstantOfShape' else [_one(draw, held.node).output[0], name]
    if operator == 'Range':
        inputs = [name, name, name]
    made = helper.make_node(operator, inputs, [f'{name}_out'])
    at = int(draw.integers(len(held.node)))
    held.node.insert(at, made)
    if draw.integers(2):
        held.node[-1].input[0] = f'{name}_out'


def _size(draw, held):
    dims = held.input[0].type.tensor_type.shape.dim
    _one(draw, dims).dim_value = _one(draw, _NUMBERS)


_CHANGES: tuple[Callable, ...] = (
    *(
        _operator,
        _attribute,
        _new_attribute,
        _shape,
        _kind,
        _elsewhere,
        _link,
        _result,
        _grown,
        _size,
    ),
)
