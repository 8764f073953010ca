"""The mean of a convolution's output from sums of its input, against the mean of the output itself."""

import jax
import jax.numpy as jnp
import pytest

from fr_inference.kernels import window_sums
from fr_inference.measuring import channel_means
from fr_inference.models import layers
from tests.kernels.agreement import agree, draw


@pytest.mark.parametrize(
    ('height', 'width', 'kernel', 'padding'),
    [(6, 5, 3, 1), (6, 5, 3, 0), (7, 7, 5, 2), (4, 4, 1, 0), (5, 6, 3, 2), (3, 3, 3, 1)],
)
def test_is_the_mean_of_the_output(height, width, kernel, padding):
    """Values, gradients and tangents, with respect to all that goes in."""

    def through(form):
        def mean(x, scale, shift, kernel):
            convolved = layers.convolve(x * scale + shift, kernel, padding=padding)
            means = jnp.mean(x, axis=(1, 2))
            return form(convolved, x, means, scale, shift, kernel, padding=padding)

        return mean

    arrays = draw(2, height, width, 3), draw(3), draw(3), draw(kernel, kernel, 3, 4)
    agree(through(window_sums.convolved_mean), through(channel_means.convolved_mean), *arrays)


def test_a_tpu_takes_it_for_large_maps_alone():
    """What is lowered for a TPU holds no convolution where only its mean is asked for."""

    def mean(x, kernel):
        ones = jnp.ones(x.shape[-1])
        convolved = layers.convolve(x, kernel, padding=1)
        return channel_means.convolved_mean(
            convolved, x, jnp.mean(x, axis=(1, 2)), ones, 0 * ones, kernel, padding=1
        )

    def lowered(platform, size):
        arrays = draw(1, size, size, 3), draw(3, 3, 3, 4)
        return jax.export.export(jax.jit(mean), platforms=[platform])(*arrays).mlir_module()

    assert 'dot_general' in lowered('tpu', 28)
    assert 'dot_general' not in lowered('tpu', 14)
    assert 'dot_general' not in lowered('cuda', 28)
