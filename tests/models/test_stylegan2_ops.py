"""StyleGAN2's operations against independent formulations: values, gradients and tangents.

The forms of single platforms are compared with the plain ones in `tests/kernels`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_inference.models import stylegan2_ops as ops
from tests.kernels.agreement import agree, close, draw

EPSILON = 1e-8

COUNTS, SIDES, WIDTHS = st.integers(1, 2), st.integers(1, 7), st.integers(1, 4)
SHAPES = st.tuples(COUNTS, SIDES, SIDES, WIDTHS)
# Each new shape is compiled.
FEW = settings(max_examples=5)


def demodulated_conv(x, kernel, style, *, up=False):
    y = ops.modulated_conv(x, kernel, style, up=up)
    return y * ops.demodulation(kernel, style)[:, None, None, :]


def modulated_conv_ref(x, kernel, style, *, up=False, demodulate=True):
    """The convolution with a kernel of its own for each sample."""

    def one(x, style):
        weights = kernel * style[:, None]
        if demodulate:
            weights /= jnp.sqrt(jnp.sum(jnp.square(weights), axis=(0, 1, 2)) + EPSILON)
        if up:
            return ops.upsample_conv.__wrapped__(x[None], weights)[0]
        return jax.lax.conv_general_dilated(
            x[None], weights, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
        )[0]

    return jnp.stack([one(*pair) for pair in zip(x, style, strict=True)])


def minibatch_std_ref(x, group):
    """`minibatch_std` group by group."""
    group = min(group, len(x))
    stride = len(x) // group
    features = [
        jnp.full(
            x.shape[1:3], jnp.mean(jnp.sqrt(jnp.var(x[i % stride :: stride], axis=0) + EPSILON))
        )
        for i in range(len(x))
    ]
    return jnp.concatenate([x, jnp.stack(features)[..., None]], axis=-1)


def upfirdn(x, up, down, pad):
    """Zeros between pixels, padding, the filter and every `down`-th pixel, in NumPy."""
    count, height, width, channels = x.shape
    wide = np.zeros((count, height * up, width * up, channels))
    wide[:, ::up, ::up] = x
    wide = np.pad(wide, ((0, 0), pad, pad, (0, 0)))
    for axis in (1, 2):
        # The filter is its own mirror image; its gain makes up for the zeros.
        wide = np.apply_along_axis(
            np.convolve, axis, wide, np.array([1, 3, 3, 1]) / 8 * up, 'valid'
        )
    return wide[:, ::down, ::down]


@pytest.mark.parametrize('side', [1, 2, 5])
def test_the_filter(side):
    """NVIDIA's `upsample2d` and `downsample2d`, in NumPy."""
    x = draw(2, 2 * side, 2, 3)
    expected = upfirdn(x, up=2, down=1, pad=(2, 1)).astype(np.float32)
    close(np.asarray(jax.jit(ops.upsample)(x)), expected)
    close(np.asarray(ops.upsample.__wrapped__(x)), expected)
    expected = upfirdn(x, up=1, down=2, pad=(1, 1)).astype(np.float32)
    close(np.asarray(jax.jit(ops.downsample)(x)), expected)
    close(np.asarray(ops.downsample.__wrapped__(x)), expected)


@pytest.mark.parametrize(
    ('size', 'up', 'demodulate'),
    [(3, False, True), (3, True, True), (3, True, False), (1, False, True), (1, False, False)],
)
@FEW
@given(SHAPES, WIDTHS)
def test_modulated_conv(size, up, demodulate, shape, features):
    x, kernel = draw(*shape), draw(size, size, shape[-1], features)
    style = 1 + draw(shape[0], shape[-1])
    function = demodulated_conv if demodulate else ops.modulated_conv
    agree(
        lambda *args: function(*args, up=up),
        lambda *args: modulated_conv_ref(*args, up=up, demodulate=demodulate),
        *(x, kernel, style),
    )


@FEW
@given(st.integers(1, 4), st.integers(1, 3), SIDES, SIDES, WIDTHS)
def test_minibatch_std(group, groups, height, width, features):
    x = draw(group * groups, height, width, features)
    agree(lambda x: ops.minibatch_std(x, group), lambda x: minibatch_std_ref(x, group), x)


def test_wide_layers():
    """Where Winograd's form takes over (`kernels.winograd.pays`)."""
    x, kernel, style = draw(1, 8, 8, 128), draw(3, 3, 128, 128), 1 + draw(1, 128)
    for up in (False, True):
        agree(
            lambda *args, up=up: demodulated_conv(*args, up=up),
            lambda *args, up=up: modulated_conv_ref(*args, up=up),
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
    y = jax.jit(demodulated_conv)(x, kernel, style)[:, 1:-1, 1:-1]
    np.testing.assert_allclose(np.std(y, axis=(1, 2, 3)), 1, rtol=0.1)


def test_samples_do_not_meet():
    """Each has its own style: one's neighbour changes nothing."""
    x, kernel, style = draw(3, 4, 4, 5), draw(3, 3, 5, 6), 1 + draw(3, 5)
    double = jax.jit(functools.partial(demodulated_conv, up=True))
    close(double(x, kernel, style)[1:2], double(x[1:2], kernel, style[1:2]))
