"""A convolution with a fast gradient for kernels of even height or width.

XLA on a CPU has no fast path for the gradient of such a kernel.
"""

import functools

import jax
import jax.numpy as jnp

from fr_inference.kernels.bilinear import bilinear

Padding = tuple[tuple[int, int], tuple[int, int]]


def convolve(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """A convolution at stride 1 whose kernel gradient is one matrix product per tap.

    Args:
      x: [N, H, W, C].
      kernel: [h, w, C, features].
      padding: zeros (above, below), (left, right).

    Returns:
      [N, H', W', features].
    """
    direct = functools.partial(_direct, padding=padding)
    return bilinear(
        direct, of_input=direct, of_kernel=functools.partial(_tap_by_tap, padding=padding)
    )(x, kernel)


def _direct(x, kernel, padding):
    order = ('NHWC', 'HWIO', 'NHWC')
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=order)


def _tap_by_tap(x, kernel, padding):
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    rows, columns = kernel.shape[:2]
    height, width = x.shape[1] - rows + 1, x.shape[2] - columns + 1
    taps = [
        x[:, i : i + height, j : j + width] @ kernel[i, j]
        for i in range(rows)
        for j in range(columns)
    ]
    return sum(taps[1:], taps[0])
