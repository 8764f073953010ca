"""Gradients of a network from a graph."""

import jax
import numpy as np
import pytest

from tests.weights.graphs import builder
from tests.weights.graphs.builder import Builder, floats, ints


def test_gradients(tmp_path):
    """Against differences, at points where every function is smooth."""
    made = Builder((1, 3, 8, 8))
    y = made.conv('image', (4, 3, 3, 3), pads=[1, 1, 1, 1])
    y = made.node('PRelu', made.norm(y, 4, 'bn'), made.drawn(4, 1, 1))
    gate = made.node('Sigmoid', made.conv(made.node('GlobalAveragePool', y), (4, 4, 1, 1)))
    y = made.node('Mul', made.node('MaxPool', y, kernel_shape=[2, 2], strides=[2, 2]), gate)
    tokens = made.node('Reshape', y, ints(0, 4, -1))
    tokens = made.node('LayerNormalization', tokens, made.drawn(16), made.drawn(16))
    tokens = made.node('Softmax', made.node('MatMul', tokens, made.drawn(16, 5)))
    y = made.node('LpNormalization', made.node('Flatten', tokens))
    network, variables = builder.planned(made.model(y), tmp_path, True)
    image = np.random.default_rng(3).standard_normal((1, 8, 8, 3)).astype(np.float32)
    weights = np.random.default_rng(4).standard_normal(20).astype(np.float32)

    @jax.jit
    def total(image):
        return (network.apply(variables, image)[0] * weights).sum()

    gradient = np.asarray(jax.jit(jax.grad(total))(image))
    assert np.isfinite(gradient).all()
    for seed in range(3):
        way = np.random.default_rng(seed).standard_normal(image.shape).astype(np.float32)
        ahead, behind = (float(total(image + sign * way)) for sign in (3e-3, -3e-3))
        slope = float((gradient * way).sum())
        assert slope == pytest.approx((ahead - behind) / 6e-3, rel=2e-2, abs=2e-3)


def test_rounding_passes_gradients(tmp_path):
    """Within the range of the 8 bits the gradient is one, outside it is zero."""
    made = Builder((1, 4))
    step = floats(0.1).reshape(())
    small = made.node('QuantizeLinear', 'image', step, np.array(0, np.int8))
    model = made.model(made.node('DequantizeLinear', small, step, np.array(0, np.int8)))
    network, variables = builder.planned(model, tmp_path)
    x = floats(0.123, -3.21, 50, -50).reshape(1, 4)
    gradient = jax.grad(lambda x: network.apply(variables, x).sum())(x)
    np.testing.assert_allclose(gradient, [[1, 1, 0, 0]], atol=1e-6)
