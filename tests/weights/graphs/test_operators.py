"""Each operator against ONNX's own NumPy implementation, in both layouts of maps."""

import pathlib

import numpy as np
import pytest
from onnx import numpy_helper

from fr_inference.weights.graphs.operators import OPERATORS
from tests.weights.graphs import builder, test_quantized
from tests.weights.graphs.builder import Builder, floats, ints

SHAPE = (2, 6, 7, 5)


def compare(made, x, folder, outputs, *, channels_first=True):
    """One model with many results: one compilation."""
    model = made.model(*outputs)
    expected = builder.reference(model, x)
    found = builder.computed(model, x, folder, channels_first)
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        np.testing.assert_allclose(found[name], value, rtol=2e-5, atol=2e-5, err_msg=name)


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)


@pytest.mark.parametrize('channels_first', [True, False])
def test_of_one_array(x, tmp_path, channels_first):
    made = Builder(SHAPE, opset=20)
    positive = made.node('Add', made.node('Abs', 'image'), floats(0.1))
    outputs = [made.node(op, positive) for op in ('Log', 'Sqrt', 'Reciprocal')]
    for op in (
        *('Ceil', 'Exp', 'Floor', 'Neg', 'Round', 'Sign', 'Tanh', 'Sin', 'Cos', 'Relu', 'Sigmoid'),
        *('Erf', 'Softplus', 'Softsign', 'HardSwish', 'Mish', 'Identity', 'LeakyRelu', 'Elu'),
        *('Selu', 'Celu', 'HardSigmoid', 'Gelu', 'Dropout'),
    ):
        outputs.append(made.node(op, 'image'))
    outputs += [
        made.node('LeakyRelu', 'image', alpha=0.2),
        made.node('Elu', 'image', alpha=0.7),
        made.node('Celu', 'image', alpha=0.7),
        made.node('Selu', 'image', alpha=1.5, gamma=1.1),
        made.node('HardSigmoid', 'image', alpha=0.3, beta=0.4),
        made.node('Gelu', 'image', approximate='tanh'),
        made.node('Clip', 'image', floats(-0.5).reshape(()), floats(0.5).reshape(())),
        made.node('Clip', 'image', '', floats(0.5).reshape(())),
        made.node('PRelu', 'image', made.drawn(6, 1, 1)),
        made.node('PRelu', 'image', floats(0.25)),
        made.node('Cast', made.node('Cast', 'image', to=6), to=1),
        made.node('Cast', made.node('Cast', 'image', to=9), to=1),
    ]
    compare(made, x, tmp_path, outputs, channels_first=channels_first)


@pytest.mark.parametrize('channels_first', [True, False])
def test_of_several_arrays(x, tmp_path, channels_first):
    made = Builder(SHAPE)
    exponent = floats(2).reshape(())
    positive = made.node('Add', made.node('Abs', 'image'), floats(0.1))
    map_, vector, full = made.drawn(6, 1, 1), made.drawn(5), made.drawn(*SHAPE)
    other = made.node('Sin', 'image')
    outputs = []
    for op in ('Add', 'Sub', 'Mul', 'Div'):
        outputs += [made.node(op, 'image', second) for second in (map_, vector, full, other)]
        outputs.append(made.node(op, vector, positive))
    outputs += [
        made.node('Max', 'image', map_, other),
        made.node('Min', 'image', map_, other),
        made.node('Sum', 'image', map_, other),
        made.node('Mean', 'image', full, other),
        made.node('Pow', 'image', exponent),
        made.node('Pow', positive, floats(0.3)),
        made.node('Pow', positive, ints(3)),
        made.node('Mod', 'image', vector, fmod=1),
    ]
    tests = [
        made.node(op, 'image', vector)
        for op in ('Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual')
    ]
    tests += [made.node(op, tests[1], tests[3]) for op in ('And', 'Or', 'Xor')]
    tests.append(made.node('Not', tests[1]))
    outputs += [made.node('Where', one, 'image', map_) for one in tests]
    compare(made, x, tmp_path, outputs, channels_first=channels_first)


@pytest.mark.parametrize('channels_first', [True, False])
def test_that_move_elements(x, tmp_path, channels_first):
    made = Builder(SHAPE, opset=18)
    big = np.iinfo(np.int64)
    left, right = made.node('Split', 'image', ints(2, 4), outputs=2, axis=1)
    parts = made.node('Split', 'image', outputs=2, axis=2, num_outputs=2)
    chunks = made.node('Split', 'image', ints(1, 1, 3), outputs=3, axis=-1)
    outputs = [
        made.node('Concat', right, left, 'image', axis=1),
        made.node('Concat', *parts, axis=-2),
        made.node('Concat', chunks[2], chunks[0], axis=3),
        made.node('Concat', 'image', made.drawn(1, *SHAPE[1:]), axis=0),
        made.node('Reshape', 'image', ints(0, -1)),
        made.node('Reshape', 'image', ints(2, 2, 3, -1)),
        made.node('Flatten', 'image'),
        made.node('Flatten', 'image', axis=2),
        made.node('Flatten', 'image', axis=0),
        made.node('Flatten', 'image', axis=-1),
        made.node('Transpose', 'image', perm=[0, 2, 3, 1]),
        made.node('Transpose', 'image'),
        made.node('Squeeze', made.node('Unsqueeze', 'image', ints(0, -1)), ints(0, 5)),
        made.node('Squeeze', made.node('Unsqueeze', 'image', ints(1))),
        made.node('Slice', 'image', ints(1), ints(5), ints(1)),
        made.node('Slice', 'image', ints(0, -1), ints(big.max, big.min), ints(1, 2), ints(2, -1)),
        made.node('Slice', 'image', ints(-3), ints(-1), ints(-1)),
        made.node('Slice', 'image', ints(0, 1)[:1], ints(1)),
        made.node('Gather', 'image', ints(0, -1, 2), axis=1),
        made.node('Gather', 'image', np.array(3), axis=2),
        made.node('Gather', 'image', ints(0, 1).reshape(1, 2), axis=-1),
        made.node(
            'Expand', made.node('Slice', 'image', ints(0), ints(1), ints(1)), ints(1, 4, 1, 1)
        ),
        made.node('Tile', 'image', ints(1, 2, 1, 3)),
    ]
    compare(made, x, tmp_path, outputs, channels_first=channels_first)


def test_shapes_are_numbers(x, tmp_path):
    """What a graph computes of its shapes, and uses as shapes."""
    made = Builder(('N', 6, 'H', 'W'), opset=15)
    shape = made.node('Shape', 'image')
    batch = made.node('Unsqueeze', made.node('Gather', shape, np.array(0)), ints(0))
    rest = made.node('Shape', 'image', start=2)
    pixels = made.node('ReduceProd', rest, keepdims=1)
    size = made.node('Div', made.node('Size', 'image'), ints(4))
    ones = made.node('ConstantOfShape', rest, value=numpy_helper.from_array(floats(3)))
    steps = made.node('Range', np.array(0), made.node('Squeeze', pixels), np.array(2))
    half = made.node('Cast', made.node('Sqrt', made.node('Cast', pixels, to=1)), to=7)
    outputs = [
        made.node('Reshape', 'image', made.node('Concat', batch, ints(-1), axis=0)),
        made.node('Reshape', 'image', made.node('Concat', batch, ints(6), pixels, axis=0)),
        made.node('Mul', 'image', ones),
        made.node('Gather', made.node('Reshape', 'image', ints(-1)), steps),
        made.node('Expand', floats(2), made.node('Mul', shape, ints(1))),
        *(made.node('Cast', one, to=1) for one in (size, half, steps)),
    ]
    compare(made, x, tmp_path, outputs)


@pytest.mark.parametrize('channels_first', [True, False])
def test_reductions_and_products(x, tmp_path, channels_first):
    made = Builder(SHAPE, opset=18)
    outputs = []
    for op in (
        *('ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceL1'),
        *('ReduceL2', 'ReduceSumSquare', 'ReduceLogSumExp'),
    ):
        outputs += [
            made.node(op, 'image', ints(2, -1)),
            made.node(op, 'image', ints(1), keepdims=0),
        ]
    tokens = made.node('Reshape', 'image', ints(2, 6, 35))
    turned = made.node('Transpose', tokens, perm=[0, 2, 1])
    flat = made.node('Flatten', 'image')
    outputs += [
        *(made.node('CumSum', 'image', np.array(axis)) for axis in (1, -1)),
        made.node('CumSum', tokens, np.array(2), exclusive=1, reverse=1),
        made.node('ReduceSum', 'image'),
        made.node('ReduceSum', 'image', noop_with_empty_axes=1),
        made.node('Softmax', tokens),
        made.node('Softmax', 'image', axis=1),
        made.node('LogSoftmax', tokens, axis=-2),
        made.node('LpNormalization', flat),
        made.node('LayerNormalization', tokens, made.drawn(35), made.drawn(35), epsilon=1e-3),
        made.node('LayerNormalization', 'image', made.drawn(7, 5), axis=2),
        made.node('InstanceNormalization', 'image', made.drawn(6), made.drawn(6), epsilon=1e-3),
        made.node('MatMul', tokens, turned),
        made.node('MatMul', tokens, made.drawn(35, 4)),
        made.node('Einsum', tokens, tokens, equation='bij,bkj->bik'),
        made.node('Gemm', flat, made.drawn(210, 3)),
        made.node('Gemm', flat, made.drawn(3, 210), made.drawn(3), transB=1),
        made.node('Gemm', flat, made.drawn(2, 3), made.drawn(1, 3), transA=1, alpha=0.3, beta=0.7),
        made.norm('image', 6, 'bn', epsilon=1e-3),
        made.norm(flat, 210, 'features'),
        made.norm(tokens, 6, 'tokens'),
    ]
    compare(made, x, tmp_path, outputs, channels_first=channels_first)


def test_l1_normalization(x, tmp_path):
    """Against its definition: the reference sums the numbers with their signs."""
    made = Builder(SHAPE)
    model = made.model(made.node('LpNormalization', 'image', axis=2, p=1))
    (found,) = builder.computed(model, x, tmp_path, True).values()
    np.testing.assert_allclose(found, x / np.abs(x).sum(2, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize('opset', [18, 21])
def test_group_normalization(x, tmp_path, opset):
    """Against its definition: the reference reads opset 18's scale as one a channel."""
    made, length = Builder(SHAPE, opset=opset), 3 if opset < 21 else 6
    scale, bias = made.drawn(length, name='scale'), made.drawn(length, name='bias')
    model = made.model(made.node('GroupNormalization', 'image', scale, bias, num_groups=3))
    (found,) = builder.computed(model, x, tmp_path, True).values()
    groups = x.reshape(2, 3, -1).astype(np.float64)
    centred = groups - groups.mean(2, keepdims=True)
    y = (centred / np.sqrt(groups.var(2, keepdims=True) + 1e-5)).reshape(SHAPE)
    own = [np.frombuffer(one.raw_data, np.float32).repeat(6 // length) for one in made.weights[:2]]
    expected = y * own[0].reshape(6, 1, 1) + own[1].reshape(6, 1, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('channels_first', [True, False])
def test_convolutions(x, tmp_path, channels_first):
    made = Builder(SHAPE)
    outputs = [
        made.conv('image', (4, 6, 1, 1), strides=[2, 2]),
        made.conv('image', (4, 6, 3, 3), pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        made.conv('image', (4, 6, 3, 3), False, pads=[1, 1, 1, 1], strides=[2, 2]),
        made.conv('image', (4, 6, 3, 2), pads=[2, 0, 1, 1], strides=[2, 1]),
        made.conv('image', (4, 6, 3, 3), dilations=[2, 1]),
        made.conv('image', (6, 1, 3, 3), group=6, pads=[1, 1, 1, 1], strides=[2, 2]),
        made.conv('image', (6, 1, 3, 3), group=6, pads=[1, 0, 0, 1]),
        made.conv('image', (6, 1, 7, 5), False, group=6),
        made.conv('image', (12, 1, 3, 3), group=6),
        made.conv('image', (4, 3, 3, 3), group=2, pads=[1, 1, 1, 1]),
        made.conv('image', (4, 6, 3, 3), auto_pad='SAME_UPPER', strides=[2, 2]),
        made.conv('image', (4, 6, 2, 2), auto_pad='SAME_LOWER'),
        made.conv('image', (4, 6, 2, 2), auto_pad='VALID'),
    ]
    row = made.node('Reshape', 'image', ints(2, 6, 35))
    outputs.append(made.conv(row, (4, 6, 3), pads=[1, 1], strides=[2]))
    weights = made.drawn(2, 6, 5, 5)  # not a convolution's alone
    outputs += [made.node('Conv', 'image', weights), made.node('MatMul', 'image', weights)]
    compare(made, x, tmp_path, outputs, channels_first=channels_first)


@pytest.mark.parametrize('channels_first', [True, False])
def test_pools(x, tmp_path, channels_first):
    made = Builder(SHAPE)
    windows = [
        {'kernel_shape': [2, 2], 'strides': [2, 2]},
        {'kernel_shape': [3, 2], 'strides': [1, 2], 'pads': [1, 0, 1, 1]},
        {'kernel_shape': [3, 3], 'strides': [2, 2], 'pads': [1, 1, 1, 1]},
        {'kernel_shape': [2, 2], 'strides': [2, 2], 'ceil_mode': 1},
        {'kernel_shape': [7, 5]},
        {'kernel_shape': [2, 2], 'strides': [2, 2], 'auto_pad': 'SAME_UPPER'},
    ]
    outputs = [made.node('MaxPool', 'image', **window) for window in windows]
    outputs.append(made.node('MaxPool', 'image', kernel_shape=[2, 2], dilations=[2, 1]))
    outputs += [made.node('AveragePool', 'image', **window) for window in windows[:5]]
    outputs.append(made.node('AveragePool', 'image', count_include_pad=1, **windows[2]))
    outputs += [made.node(op, 'image') for op in ('GlobalAveragePool', 'GlobalMaxPool')]
    compare(made, x, tmp_path, outputs, channels_first=channels_first)


@pytest.mark.parametrize('channels_first', [True, False])
def test_padding_and_resizing(x, tmp_path, channels_first):
    made = Builder(SHAPE, opset=18)
    number = floats(0.5).reshape(())
    outputs = [
        made.node('Pad', 'image', ints(0, 0, 1, 2, 0, 1, 0, 3)),
        made.node('Pad', 'image', ints(0, 0, 1, 2, 0, 1, 0, 3), number),
        made.node('Pad', 'image', ints(0, 0, 1, 2, 0, 0, 2, 1), mode='reflect'),
        made.node('Pad', 'image', ints(0, 0, 1, 2, 0, 0, 2, 1), mode='edge'),
        made.node('Pad', 'image', ints(1, 2), '', ints(-1)),
    ]
    for mode in ('nearest', 'linear'):
        for where in ('asymmetric', 'half_pixel', 'pytorch_half_pixel', 'align_corners'):
            how = {'mode': mode, 'coordinate_transformation_mode': where}
            outputs += [
                made.node('Resize', 'image', '', floats(1, 1, 2, 2), **how),
                made.node('Resize', 'image', '', '', ints(2, 6, 4, 9), **how),
            ]
    for rounding in ('floor', 'ceil', 'round_prefer_floor', 'round_prefer_ceil'):
        outputs.append(
            made.node('Resize', 'image', '', floats(1, 1, 0.6, 1.7), nearest_mode=rounding)
        )
    outputs.append(made.node('Resize', 'image', '', floats(2, 2), axes=[2, 3]))
    compare(made, x, tmp_path, outputs, channels_first=channels_first)


def old(opset, *nodes):
    """Operators whose options became inputs later."""
    made = Builder(SHAPE, opset=opset)
    return made, [made.node(op, 'image', **options) for op, options in nodes]


def test_options_as_attributes(x, tmp_path):
    made, outputs = old(
        9,
        ('Clip', {'min': -0.5, 'max': 0.5}),
        ('Clip', {}),
        ('Slice', {'starts': [1, 0], 'ends': [3, 2], 'axes': [1, 2]}),
        ('Unsqueeze', {'axes': [0, 2]}),
        ('ReduceMean', {'axes': [2, 3], 'keepdims': 0}),
        ('ReduceSum', {'axes': [1]}),
        ('Softmax', {'axis': 1}),
        ('Softmax', {'axis': 2}),
        ('Pad', {'pads': [0, 0, 1, 1, 0, 0, 2, 0], 'value': 0.5}),
        ('Dropout', {'ratio': 0.3}),
    )
    outputs.append(made.node('Squeeze', outputs[3], axes=[0, 2]))
    outputs += made.node('Split', 'image', outputs=2, axis=1, split=[2, 4])
    outputs.append(made.node('Upsample', 'image', floats(1, 1, 2, 2), mode='nearest'))
    model = made.model(*outputs)
    # Opset 9's softmax over all axes from one on, and its upsampling, by their definitions.
    expected = {}
    for name, axis in ((outputs[6], 1), (outputs[7], 2)):
        flat = np.exp(x.reshape(int(np.prod(SHAPE[:axis])), -1))
        expected[name] = (flat / flat.sum(1, keepdims=True)).reshape(SHAPE)
    expected[outputs[-1]] = x.repeat(2, 2).repeat(2, 3)
    expected[outputs[8]] = np.pad(x, ((0, 0), (0, 0), (1, 2), (1, 0)), constant_values=0.5)
    others = [name for name in outputs if name not in expected]
    expected |= builder.reference(made.model(*others), x)
    found = builder.computed(model, x, tmp_path, True)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-5, atol=1e-5, err_msg=name)


def test_every_operator_stands_in_a_test():
    files = (__file__, builder.__file__, test_quantized.__file__)
    text = ''.join(pathlib.Path(one).read_text() for one in files)
    assert not [op for op in OPERATORS if f"'{op}'" not in text]
