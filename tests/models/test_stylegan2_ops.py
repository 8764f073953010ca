"""Every fast operation equals its plain `_ref`: values and gradients, odd and even sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_inference.models import stylegan2_ops as ops

RTOL = 1e-4
# What cancels to nearly zero is compared on the scale of the largest.
ATOL = 1e-5

COUNTS, SIDES, WIDTHS = st.integers(1, 2), st.integers(1, 7), st.integers(1, 4)
SHAPES = st.tuples(COUNTS, SIDES, SIDES, WIDTHS)
# Each new shape is compiled.
FEW = settings(max_examples=5)


def draw(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32)


def close(found, expected, scale=None):
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    scale = np.max(np.abs(expected)) if scale is None else scale
    np.testing.assert_allclose(found, expected, rtol=RTOL, atol=ATOL * scale)


def agree(fast, plain, *arguments):
    """Compares values, and the gradients of a random readout with respect to every argument."""
    readout = draw(*jax.eval_shape(plain, *arguments).shape, seed=9)

    @jax.jit  # one compilation an example, of both forms
    def both(*arguments):
        values, pulls = zip(
            *(jax.vjp(function, *arguments) for function in (fast, plain)), strict=True
        )
        return [(value, *pull(readout)) for value, pull in zip(values, pulls, strict=True)]

    fast_ones, plain_ones = jax.device_get(both(*arguments))
    # One feature's style has no effect once it is demodulated: a gradient of nothing but rounding.
    scale = max(np.max(np.abs(array)) for array in plain_ones)
    for found, wanted in zip(fast_ones, plain_ones, strict=True):
        close(found, wanted, scale)


@FEW
@given(SHAPES)
def test_upsample(shape):
    agree(ops.upsample, ops.upsample_ref, draw(*shape))


@FEW
@given(SHAPES)
def test_downsample(shape):
    count, height, width, features = shape
    agree(ops.downsample, ops.downsample_ref, draw(count, 2 * height, 2 * width, features))


@FEW
@given(SHAPES, WIDTHS)
def test_upsample_conv(shape, features):
    kernel = draw(3, 3, shape[-1], features)
    agree(ops.upsample_conv, ops.upsample_conv_ref, draw(*shape), kernel)


@pytest.mark.parametrize('size', [1, 3])
@FEW
@given(SHAPES, WIDTHS)
def test_downsample_conv(size, shape, features):
    count, height, width, inputs = shape
    x, kernel = draw(count, 2 * height, 2 * width, inputs), draw(size, size, inputs, features)
    agree(ops.downsample_conv, ops.downsample_conv_ref, x, kernel)


@pytest.mark.parametrize(
    ('size', 'up', 'demodulate'),
    [(3, False, True), (3, True, True), (3, True, False), (1, False, True), (1, False, False)],
)
@FEW
@given(SHAPES, WIDTHS)
def test_modulated_conv(size, up, demodulate, shape, features):
    x, kernel = draw(*shape), draw(size, size, shape[-1], features)
    style = 1 + draw(shape[0], shape[-1])
    options = {'up': up, 'demodulate': demodulate}
    agree(
        lambda *args: ops.modulated_conv(*args, **options),
        lambda *args: ops.modulated_conv_ref(*args, **options),
        *(x, kernel, style),
    )


@FEW
@given(st.integers(1, 4), st.integers(1, 3), SIDES, SIDES, WIDTHS)
def test_minibatch_std(group, groups, height, width, features):
    x = draw(group * groups, height, width, features)
    agree(lambda x: ops.minibatch_std(x, group), lambda x: ops.minibatch_std_ref(x, group), x)


def test_wide_layers():
    """Where Winograd's form takes over (`layers.convolve`)."""
    x, kernel, style = draw(2, 16, 16, 64), draw(3, 3, 64, 64), 1 + draw(2, 64)
    for up in (False, True):
        agree(
            lambda *args, up=up: ops.modulated_conv(*args, up=up),
            lambda *args, up=up: ops.modulated_conv_ref(*args, up=up),
            *(x, kernel, style),
        )


@pytest.mark.parametrize('side', [3, 4])
def test_constants_stay_constant(side):
    """But for the border, where zeros come in."""
    x = np.full((1, side, side, 1), 3, np.float32)
    np.testing.assert_allclose(ops.upsample(x)[:, 1:-1, 1:-1], 3, rtol=1e-6)
    x = np.full((1, 2 * side, 2 * side, 1), 3, np.float32)
    np.testing.assert_allclose(ops.downsample(x)[:, 1:-1, 1:-1], 3, rtol=1e-6)


def test_up_and_down_are_adjoint():
    """<up(x), y> = 4 <x, down(y)>: one is the transpose of the other."""
    x, y = draw(1, 5, 7, 2), draw(1, 10, 14, 2)
    up, down = jnp.sum(ops.upsample(x) * y), jnp.sum(x * ops.downsample(y))
    np.testing.assert_allclose(up, 4 * down, rtol=1e-4)


def test_demodulation_keeps_the_variance():
    """Section 2.2: inputs of variance 1 give outputs of variance 1 whatever the style."""
    x, kernel = draw(2, 32, 32, 16), draw(3, 3, 16, 32)
    style = np.exp(draw(2, 16))
    y = ops.modulated_conv(x, kernel, style)[:, 1:-1, 1:-1]
    np.testing.assert_allclose(np.std(y, axis=(1, 2, 3)), 1, rtol=0.1)


def test_samples_do_not_meet():
    """Each has its own style: one's neighbour changes nothing."""
    x, kernel, style = draw(3, 4, 4, 5), draw(3, 3, 5, 6), 1 + draw(3, 5)
    whole = ops.modulated_conv(x, kernel, style, up=True)
    alone = ops.modulated_conv(x[1:2], kernel, style[1:2], up=True)
    close(whole[1:2], alone)
