"""Backbones as their exporters write them: ONNX graphs of random weights, under PyTorch's names."""

import numpy as np

from tests.weights.graphs.builder import Builder


def iresnet(
    depths=(1, 1, 1, 1), width=4, embedding=16, size=32, *, folded=True, se=False, **options
):
    """An IResNet; `folded` as insightface's own exports, whose convolutions hold the norms behind them.

    Source: insightface `arcface_torch/backbones/iresnet.py`; the squeeze-and-excitation of its `use_se`.
    """
    made = Builder((options.pop('batch', 1), 3, size, size), **options)

    def conv(x, outputs, inputs, kernel, name, norm, **how):
        spread = np.sqrt(2 / (outputs * kernel * kernel))
        how['pads'] = [kernel // 2] * 4
        if folded:
            weights = made.drawn(outputs, inputs, kernel, kernel, scale=spread)
            return made.node('Conv', x, weights, made.drawn(outputs, scale=0.1), **how)
        own = (outputs, inputs, kernel, kernel)
        weights = made.drawn(*own, scale=spread, name=f'{name}.weight')
        return made.norm(made.node('Conv', x, weights, **how), outputs, norm)

    def prelu(x, channels, name):
        return made.node('PRelu', x, made.drawn(channels, 1, 1, name=f'{name}.weight', scale=0.3))

    def gated(x, channels, name):
        y = made.conv(made.node('GlobalAveragePool', x), (max(channels // 16, 1), channels, 1, 1))
        y = made.node('PRelu', y, np.full((1, 1, 1), 0.25, np.float32))
        y = made.conv(y, (channels, max(channels // 16, 1), 1, 1))
        return made.node('Mul', x, made.node('Sigmoid', y))

    x = prelu(conv('image', width, 3, 3, 'conv1', 'bn1'), width, 'prelu')
    inputs = width
    for stage, depth in enumerate(depths, 1):
        outputs = width * 2 ** (stage - 1)
        for block in range(depth):
            name, strides = f'layer{stage}.{block}', [1 + (block == 0)] * 2
            y = made.norm(x, inputs, f'{name}.bn1')
            y = conv(y, outputs, inputs, 3, f'{name}.conv1', f'{name}.bn2')
            y = prelu(y, outputs, f'{name}.prelu')
            y = conv(y, outputs, outputs, 3, f'{name}.conv2', f'{name}.bn3', strides=strides)
            y = gated(y, outputs, name) if se else y
            if block == 0:
                down = f'{name}.downsample'
                x = conv(x, outputs, inputs, 1, f'{down}.0', f'{down}.1', strides=strides)
            x, inputs = made.node('Add', y, x), outputs
    x = made.node('Flatten', made.norm(x, inputs, 'bn2'))
    columns = inputs * (-(-size // 16)) ** 2
    weights = made.drawn(embedding, columns, name='fc.weight', scale=columns**-0.5)
    x = made.node('Gemm', x, weights, made.drawn(embedding, name='fc.bias'), transB=1)
    return made, made.norm(x, embedding, 'features')


def mobilefacenet(**options):
    """Inverted residuals with depthwise convolutions, the last one as large as the map."""
    made = Builder(('N', 3, 32, 32), **options)

    def unit(x, outputs, inputs, kernel, name, act=True, **how):
        y = made.conv(
            x, (outputs, inputs // how.get('group', 1), kernel, kernel), bias=False, **how
        )
        y = made.norm(y, outputs, name)
        return made.node('PRelu', y, made.drawn(outputs, 1, 1)) if act else y

    x = unit('image', 8, 3, 3, 'conv1', pads=[1] * 4, strides=[2, 2])
    x = unit(x, 8, 8, 3, 'conv2', pads=[1] * 4, group=8)
    for number in range(2):
        y = unit(x, 16, 8, 1, f'block{number}.expand')
        y = unit(y, 16, 16, 3, f'block{number}.depthwise', pads=[1] * 4, group=16)
        y = unit(y, 8, 16, 1, f'block{number}.project', act=False)
        x = made.node('Add', x, y)
    x = unit(x, 16, 8, 3, 'down', pads=[1] * 4, strides=[2, 2])
    x = unit(x, 16, 16, 8, 'whole', act=False, group=16)
    x = made.node('MatMul', made.node('Flatten', x), made.drawn(16, 12))
    return made, made.norm(x, 12, 'features')


def transformer(batch=1, *, decomposed=False, width=8, heads=2, **options):
    """A block of attention behind patches and a class token, for one image alone."""
    made = Builder((batch, 3, 16, 16), **options)

    def ints(*numbers):
        return np.array(numbers, np.int64)

    def layer_norm(x):
        scale, bias = made.drawn(width), made.drawn(width)
        if not decomposed:
            return made.node('LayerNormalization', x, scale, bias, epsilon=1e-6)
        centred = made.node('Sub', x, made.node('ReduceMean', x, axes=[-1]))
        two = np.array(2, np.float32)
        spread = made.node('ReduceMean', made.node('Pow', centred, two), axes=[-1])
        spread = made.node('Sqrt', made.node('Add', spread, np.array(1e-6, np.float32)))
        return made.node('Add', made.node('Mul', made.node('Div', centred, spread), scale), bias)

    def linear(x, inputs, outputs):
        y = made.node('MatMul', x, made.drawn(inputs, outputs, scale=inputs**-0.5))
        return made.node('Add', made.drawn(outputs), y)

    x = made.conv('image', (width, 3, 4, 4), strides=[4, 4])
    x = made.node('Transpose', made.node('Reshape', x, ints(1, width, 16)), perm=[0, 2, 1])
    token = made.node('Expand', made.drawn(1, 1, width), ints(1, 1, width))
    x = made.node('Add', made.node('Concat', token, x, axis=1), made.drawn(1, 17, width))
    y = linear(layer_norm(x), width, 3 * width)
    y = made.node('Reshape', y, ints(1, 17, 3, heads, width // heads))
    y = made.node('Transpose', y, perm=[2, 0, 3, 1, 4])
    query, key, value = (
        made.node('Gather', y, np.array(number, np.int64), axis=0) for number in range(3)
    )
    key = made.node('Transpose', key, perm=[0, 1, 3, 2])
    scale = np.array((width // heads) ** -0.5, np.float32)
    attention = made.node(
        'Softmax', made.node('Mul', made.node('MatMul', query, key), scale), axis=-1
    )
    y = made.node('Transpose', made.node('MatMul', attention, value), perm=[0, 2, 1, 3])
    x = made.node('Add', x, linear(made.node('Reshape', y, ints(1, 17, width)), width, width))
    y = linear(layer_norm(x), width, 2 * width)
    half = made.node('Erf', made.node('Div', y, np.array(2**0.5, np.float32)))
    half = made.node('Add', half, np.array(1, np.float32))
    y = made.node('Mul', made.node('Mul', y, half), np.array(0.5, np.float32))
    x = layer_norm(made.node('Add', x, linear(y, 2 * width, width)))
    x = made.node('Gather', x, np.array(0, np.int64), axis=1)
    return made, made.node('Gemm', x, made.drawn(16, width), made.drawn(16), transB=1)


def quantised(**options):
    """Convolutions whose weights and inputs are 8-bit numbers, rounded between layers."""
    made = Builder(('N', 3, 16, 16), opset=options.pop('opset', 19), **options)

    def rounded(x, step):
        step, zero = np.array(step, np.float32), np.array(3, np.int8)
        return made.node('DequantizeLinear', made.node('QuantizeLinear', x, step, zero), step, zero)

    x, inputs = 'image', 3
    for outputs in (8, 12):
        kernel = made.random.integers(-127, 127, (outputs, inputs, 3, 3)).astype(np.int8)
        scales = made.random.uniform(0.001, 0.003, outputs).astype(np.float32)
        kernel = made.node('DequantizeLinear', kernel, scales, np.zeros(outputs, np.int8), axis=0)
        x = made.node('Conv', rounded(x, 0.03), kernel, made.drawn(outputs), strides=[2, 2])
        x, inputs = made.node('Relu', x), outputs
    x = made.node('Flatten', made.node('GlobalAveragePool', x))
    return made, made.node('Gemm', x, made.drawn(12, 16))


def dynamically_quantised(**options):
    """A last layer whose inputs are rounded in the range that they have while it runs."""
    made = Builder(('N', 3, 16, 16), **options)
    x = made.node('Flatten', made.node('Relu', made.conv('image', (4, 3, 3, 3), strides=[3, 3])))
    small, scale, zero = made.node('DynamicQuantizeLinear', x, outputs=3)
    weights = made.random.integers(0, 255, (100, 16)).astype(np.uint8)
    total = made.node('MatMulInteger', small, weights, zero, np.uint8(128))
    x = made.node(
        'Mul', made.node('Cast', total, to=1), made.node('Mul', scale, np.float32([0.01]))
    )
    return made, made.node('Add', x, made.drawn(16))
