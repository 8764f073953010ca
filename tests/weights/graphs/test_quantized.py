"""Quantised operators and layers: against ONNX's own implementation, or their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from fr_inference.weights.graphs.network import Network, first
from tests.weights.graphs import builder
from tests.weights.graphs.builder import Builder, floats

SHAPE = (2, 6, 7, 5)


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)


def test_quantised(x, tmp_path):
    """Rounding to steps may differ by one where a sum lies between two: outputs are some steps apart."""
    made = Builder(SHAPE, opset=19)
    step, zero = floats(0.02).reshape(()), np.array(3, np.int8)
    small = made.node('QuantizeLinear', 'image', step, zero)
    back = made.node('DequantizeLinear', small, step, zero)
    plain = made.node('DequantizeLinear', made.node('QuantizeLinear', 'image', step), step)
    weights = made.weight(np.random.default_rng(2).integers(-99, 99, (4, 6, 3, 3)).astype(np.int8))
    scales, zeros = floats(0.01, 0.02, 0.03, 0.01), np.zeros(4, np.int8)
    kernel = made.node('DequantizeLinear', weights, scales, zeros, axis=0)
    bias = made.node('DequantizeLinear', np.array([5, -9, 100, 3], np.int32), floats(0.001), axis=0)
    outputs = [back, plain, made.node('Conv', back, kernel, bias)]
    model = made.model(*outputs)
    expected, found = builder.reference(model, x), builder.computed(model, x, tmp_path, True)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-5, atol=2e-5, err_msg=name)


def test_quantised_layers(x, tmp_path):
    made = Builder(SHAPE, opset=19)
    random = np.random.default_rng(2)
    step, zero = floats(0.02).reshape(()), np.array(3, np.uint8)
    small = made.node('QuantizeLinear', 'image', step, zero)
    weights = random.integers(-99, 99, (4, 6, 3, 3)).astype(np.int8)
    scales, zeros = floats(0.001, 0.002, 0.003, 0.001), np.zeros(4, np.int8)
    bias = np.array([500, -900, 100, 3], np.int32)
    coarse, middle = floats(0.05).reshape(()), np.array(120, np.uint8)
    one = made.node('QLinearConv', small, step, zero, weights, scales, zeros, coarse, middle, bias)
    flat = made.node('Flatten', one)
    matrix = random.integers(-99, 99, (60, 3)).astype(np.int8)
    fine = floats(0.001).reshape(()), np.array(0, np.int8)
    two = made.node('QLinearMatMul', flat, coarse, middle, matrix, *fine, coarse, middle)
    outputs = [made.node('DequantizeLinear', part, coarse, middle) for part in (one, two)]
    model = made.model(*outputs)
    expected, found = builder.reference(model, x), builder.computed(model, x, tmp_path, True)
    for name, value in expected.items():
        steps = np.abs(found[name] - value) / 0.05
        assert steps.max() < 1.5, name
        assert (steps > 0.5).mean() < 0.02, name
    _, variables = builder.planned(model, tmp_path, True)
    assert sorted(leaf.shape for leaf in variables['params'].values()) == [
        (3, 3, 6, 4),
        (4,),
        (60, 3),
    ]


def test_dynamic_range(tmp_path):
    """Weights of 8 bits; the range of the inputs is taken while it runs."""
    made, random = Builder((1, 6, 7, 5)), np.random.default_rng(2)

    def whole(*shape):
        return random.integers(0, 255, shape).astype(np.uint8)

    def layer(op, x, weights, zero, scale, **how):
        small, step, middle = made.node('DynamicQuantizeLinear', x, outputs=3)
        total = made.node(op, small, weights, middle, zero, **how)
        total = made.node('Cast', total, to=1)
        return made.node('Mul', total, made.node('Mul', step, floats(scale).reshape(())))

    y = layer('ConvInteger', 'image', whole(4, 6, 3, 3), np.uint8(120), 0.002, pads=[1, 1, 1, 1])
    flat = made.node('Flatten', made.node('Relu', y))
    z = layer('MatMulInteger', flat, whole(140, 5), whole(5), 0.001)
    model = made.model(y, z)
    x = random.standard_normal((1, 6, 7, 5)).astype(np.float32)
    expected = builder.reference(model, x)
    found = builder.computed(model, x, tmp_path, True)
    np.testing.assert_allclose(found[y], expected[y], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found[z], expected[z], rtol=1e-2, atol=1e-2 * np.ptp(expected[z]))
    network, variables = builder.planned(model, tmp_path, True)
    assert sorted(leaf.shape for leaf in variables['params'].values()) == [(3, 3, 6, 4), (140, 5)]
    # The gradient is that of the same layers without rounding.
    kernel, matrix = (variables['params'][key] for key in sorted(variables['params']))

    def plain(x):
        y = jax.nn.relu(jax.lax.conv(x, kernel.transpose(3, 2, 0, 1) * 0.002, (1, 1), 'SAME'))
        return (y.reshape(1, -1) @ matrix * 0.001).sum()

    def ours(x):
        values = network.apply(variables, jnp.moveaxis(x, 1, -1), method=Network.values)
        return first(values[z]).sum()

    one, other = (jax.jit(jax.grad(function))(x) for function in (ours, plain))
    assert np.corrcoef(np.ravel(one), np.ravel(other))[0, 1] > 0.99
    np.testing.assert_allclose(np.linalg.norm(one), np.linalg.norm(other), rtol=0.05)


def test_rounded_layers(x, tmp_path):
    """Of onnxruntime's own domain, by their definitions: floats, the layer, a multiple of a step."""
    made, random = Builder(SHAPE), np.random.default_rng(2)
    fine, coarse = (
        (floats(0.02).reshape(()), np.uint8(110)),
        (floats(0.05).reshape(()), np.uint8(9)),
    )
    a, b = (made.node('QuantizeLinear', one, *fine) for one in ('image', made.drawn(*SHAPE)))
    matrix = random.integers(-99, 99, (3, 210)).astype(np.int8)
    steps = floats(0.001, 0.002, 0.001), np.zeros(3, np.int8)
    bias = np.array([500, -900, 100], np.int32)

    def own(op, *inputs, **how):
        return made.node(op, *inputs, domain='com.microsoft', **how)

    flat = made.node('Flatten', a)
    gemm = (flat, *fine, matrix, *steps, bias)
    layers = {
        'QLinearAdd': own('QLinearAdd', a, *fine, b, *fine, *coarse),
        'QLinearMul': own('QLinearMul', a, *fine, b, *fine, *coarse),
        'GlobalAverage': own('QLinearGlobalAveragePool', a, *fine, *coarse, channels_last=0),
        'Average': own('QLinearAveragePool', a, *fine, *coarse, kernel_shape=[7, 5]),
        'LeakyRelu': own('QLinearLeakyRelu', a, *fine, *coarse, alpha=0.2),
        'Sigmoid': own('QLinearSigmoid', a, *fine, *coarse),
        'Concat': own('QLinearConcat', *coarse, a, *fine, b, *fine, axis=1),
        'QGemm': own('QGemm', *gemm, *coarse, transB=1),
    }
    plain = own('QGemm', *gemm, transB=1)
    outputs = {name: own('DequantizeLinear', layer, *coarse) for name, layer in layers.items()}
    model = made.model(*outputs.values(), plain)
    model.opset_import.append(onnx.helper.make_opsetid('com.microsoft', 1))
    found = builder.computed(model, x, tmp_path, True)

    second = np.asarray(numpy_helper.to_array(made.weights[0]))
    small, other = (
        (np.clip(np.round(one / np.float32(0.02)) + 110, 0, 255) - 110) * 0.02
        for one in (x, second)
    )
    product = small.reshape(2, -1) @ (matrix * steps[0][:, None]).T + bias * steps[0] * 0.02
    expected = {
        'QLinearAdd': small + other,
        'QLinearMul': small * other,
        'GlobalAverage': small.mean((2, 3), keepdims=True),
        'Average': small.mean((2, 3), keepdims=True),
        'LeakyRelu': np.where(small >= 0, small, 0.2 * small),
        'Sigmoid': 1 / (1 + np.exp(-small)),
        'Concat': np.concatenate([small, other], 1),
        'QGemm': product,
    }
    np.testing.assert_allclose(found[plain], product, rtol=1e-4, atol=1e-4)
    for name, value in expected.items():
        value = np.clip(value, -9 * 0.05, 246 * 0.05)
        away = np.abs(found[outputs[name]] - value) / 0.05
        assert away.max() < 0.501, name
        multiples = found[outputs[name]] / 0.05
        np.testing.assert_allclose(multiples, np.round(multiples), atol=1e-3, err_msg=name)
