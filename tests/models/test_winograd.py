"""Winograd's convolution against XLA's direct one, and where it is taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_inference.kernels import winograd
from fr_inference.models import layers


def direct(x, kernel):
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )


def draw(seed, shape, features):
    keys = jax.random.split(jax.random.key(seed))
    x = jax.random.normal(keys[0], shape)
    return x, jax.random.normal(keys[1], (3, 3, shape[-1], features))


@settings(deadline=None, max_examples=10)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5)),
    st.integers(1, 5),
    st.integers(0, 2**31),
)
def test_equals_the_direct_one(shape, features, seed):
    x, kernel = draw(seed, shape, features)
    expected = jax.jit(direct)(x, kernel)
    found = jax.jit(winograd.conv3x3)(x, kernel)
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-6 * (1 + np.abs(expected).max()))


@pytest.mark.parametrize('size', [(8, 8), (7, 10)])
def test_gradients_equal_those_of_the_direct_one(size):
    x, kernel = draw(0, (2, *size, 6), 5)

    def gradients(convolve):
        return jax.grad(lambda x, k: jnp.sum(jnp.sin(convolve(x, k))), (0, 1))(x, kernel)

    for ours, theirs in zip(gradients(winograd.conv3x3), gradients(direct), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def test_the_layer_takes_it_where_it_pays_and_gives_the_same(monkeypatch):
    x, _ = draw(1, (2, 8, 8, 128), 1)
    layer = layers.conv(128, 3, padding=1)
    variables = layer.init(jax.random.key(0), x)
    calls = []
    fast = winograd.conv3x3
    monkeypatch.setattr(winograd, 'conv3x3', lambda x, k: calls.append(x.shape) or fast(x, k))
    found = layer.apply(variables, x)
    assert calls == [x.shape]
    expected = direct(x, variables['params']['kernel'])
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    calls.clear()
    layers.conv(128, 3, padding=1, stride=2).apply(variables, x)
    layers.conv(128, 3, padding=1, dtype=jnp.bfloat16).apply(variables, x)
    layers.conv(128, 3, padding=0).apply(variables, x)
    assert calls == []
