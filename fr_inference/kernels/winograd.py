"""Winograd's F(2x2, 3x3): a 3x3 convolution at stride 1 with 16 instead of 36 products per four pixels.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308, section 4.1:
y = A^T [(G g G^T) * (B^T d B)] A for every 4x4 tile d of the input; neighbouring tiles overlap by two
pixels. It is faster on a CPU with many channels: XLA's convolution already multiplies there at the
machine's rate, so only fewer products can save time.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from fr_inference.kernels.bilinear import bilinear

_INPUT = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))  # B^T
_KERNEL = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))  # G
_OUTPUT = ((1, 1, 1, 0), (0, 1, -1, -1))  # A^T


# Pixels times channels up to which all tiles stay in a CPU's caches.
_MOST_FEATURES = 2**20


def pays(x: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: int = 0) -> bool:
    """Whether this form was faster on a CPU for x [N, H, W, C] (results/notebook/speed.md)."""
    same = kernel.shape[:2] == (3, 3) and (stride, padding) == (1, 1)
    wide = min(kernel.shape[2:]) >= 128 and min(x.shape[1:3]) >= 8
    return same and x.dtype == jnp.float32 and wide and x.size <= _MOST_FEATURES


def convolve(x: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: int = 1) -> jax.Array:
    """`layers.convolve` of a 3x3 kernel at stride 1 with padding 1, the only supported case.

    The value is Winograd's. Both gradients are those of the direct convolution, which are faster: the
    input's takes 0.16 to 0.83 of the time of a Winograd convolution with the flipped kernel.

    Args:
      x: [N, H, W, C].
      kernel: [3, 3, C, features].
      stride: 1.
      padding: 1.

    Returns:
      [N, H, W, features], equal to the direct convolution to about 1e-6 of the largest in float32.
    """
    assert (stride, padding) == (1, 1)
    return bilinear(_winograd, of_input=_direct, of_kernel=_direct)(x, kernel)


def _winograd(x, kernel):
    count, height, width, channels = x.shape
    down, across = -(-height // 2), -(-width // 2)
    pad = ((0, 0), (1, 2 * down - height + 1), (1, 2 * across - width + 1), (0, 0))
    x = jnp.pad(x, pad)
    # Elements (i, j) of all tiles at once: every second pixel of the input.
    grid = [
        [x[:, i : i + 2 * down - 1 : 2, j : j + 2 * across - 1 : 2] for j in range(4)]
        for i in range(4)
    ]
    tiles = jnp.stack(_sandwich(_INPUT, grid)).reshape(16, -1, channels)
    filters = jnp.stack(_sandwich(_KERNEL, [list(row) for row in kernel]))
    products = jax.lax.dot_general(tiles, filters, (((2,), (1,)), ((0,), (0,))))
    products = products.reshape(4, 4, count, down, across, -1)
    corners = jnp.stack(_sandwich(_OUTPUT, [list(row) for row in products]), axis=3)
    corners = corners.reshape(count, down, across, 2, 2, -1).transpose(0, 1, 3, 2, 4, 5)
    return corners.reshape(count, 2 * down, 2 * across, -1)[:, :height, :width]


def _direct(x, kernel):
    order = ('NHWC', 'HWIO', 'NHWC')
    pad = ((1, 1), (1, 1))
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), pad, dimension_numbers=order)


def _sandwich(matrix: Sequence[Sequence[float]], grid) -> list[jax.Array]:
    """The elements of M X M^T, row by row, for a grid X of arrays."""
    rows = [[_weighted(m, column) for column in zip(*grid, strict=True)] for m in matrix]
    return [_weighted(m, row) for row in rows for m in matrix]


def _weighted(weights, arrays):
    """The sum of the weighted arrays, zeros left out."""
    total = None
    for weight, array in zip(weights, arrays, strict=True):
        if weight:
            term = array if weight == 1 else -array if weight == -1 else weight * array
            total = term if total is None else total + term
    return total
