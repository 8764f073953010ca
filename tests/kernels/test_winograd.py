"""Winograd's convolution against XLA's direct one, and where it is taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_inference.kernels import seam, winograd
from fr_inference.models import layers
from tests.kernels.agreement import agree, draw


def direct(x, kernel):
    return layers.convolve.__wrapped__(x, kernel, padding=1)


@settings(max_examples=10)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5)),
    st.integers(1, 5),
    st.integers(0, 2**31),
)
def test_equals_the_direct_one(shape, features, seed):
    x, kernel = draw(*shape, seed=seed), draw(3, 3, shape[-1], features, seed=seed)
    both = jax.jit(lambda *arrays: (winograd.convolve(*arrays), direct(*arrays)))
    found, expected = both(x, kernel)
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-6 * (1 + np.abs(expected).max()))


@pytest.mark.parametrize('size', [(8, 8), (7, 10)])
def test_derivatives_equal_those_of_the_direct_one(size):
    agree(winograd.convolve, direct, draw(2, *size, 6), draw(3, 3, 6, 5))


def test_the_layer_takes_it_where_it_pays_and_gives_the_same(monkeypatch):
    x = draw(2, 8, 8, 128)
    layer = layers.conv(128, 3, padding=1)
    variables = layer.init(jax.random.key(0), x)
    calls = []

    def fast(x, kernel, **options):
        calls.append(x.shape)
        return winograd.convolve(x, kernel, **options)

    monkeypatch.setitem(seam.FORMS['convolve'], 'cpu', seam.Form(fast, winograd.pays))
    found = layer.apply(variables, x)
    assert calls == [x.shape]
    expected = direct(x, variables['params']['kernel'])
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    calls.clear()
    layers.conv(128, 3, padding=1, stride=2).apply(variables, x)
    layers.conv(128, 3, padding=1, dtype=jnp.bfloat16).apply(variables, x)
    layers.conv(128, 3, padding=0).apply(variables, x)
    layers.conv(128, 3, padding=1).apply(variables, draw(2, 7, 7, 128))
    layers.conv(128, 3, padding=1).apply(variables, draw(65, 8, 16, 128))
    assert calls == []
