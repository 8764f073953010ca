"""A depthwise convolution as a sum of shifted, weighted copies of its input.

XLA on a CPU has no fast path for a grouped convolution.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from fr_inference.kernels.bilinear import bilinear


def pays(x: jax.Array, kernel: jax.Array, *, stride: int = 1) -> bool:
    """Whether this form is faster; a filter as large as its input is one weighted sum anyway."""
    return x.shape[1:3] != kernel.shape[:2]


def depthwise(x: jax.Array, kernel: jax.Array, *, stride: int = 1) -> jax.Array:
    """`layers.depthwise` as a sum of shifts.

    Args:
      x: [N, H, W, C].
      kernel: [h, w, 1, C].
      stride: in pixels.

    Returns:
      [N, (H - h) // stride + 1, (W - w) // stride + 1, C].
    """
    shifted = functools.partial(_shifted, stride=stride)
    one_by_one = functools.partial(_one_image_at_a_time, stride=stride)
    return bilinear(shifted, of_input=shifted, of_kernel=one_by_one)(x, kernel)


def _shifted(x, kernel, stride):
    rows, columns = kernel.shape[:2]
    height = (x.shape[-3] - rows) // stride
    width = (x.shape[-2] - columns) // stride
    total = jnp.zeros((), x.dtype)
    for i in range(rows):
        for j in range(columns):
            down = slice(i, i + stride * height + 1, stride)
            across = slice(j, j + stride * width + 1, stride)
            total = total + x[..., down, across, :] * kernel[i, j, 0]
    return total


def _one_image_at_a_time(x, kernel, stride):
    """The same for one image at a time: XLA transposes a whole batch's shifts two to four times slower.

    Without the checkpoint, every image's shifts would be kept for the backward pass. JAX 0.9 can
    transpose a scan only if it linearised the scan itself.
    """
    one = jax.checkpoint(functools.partial(_shifted, stride=stride), prevent_cse=False)

    def all_of_them(kernel):
        return jax.lax.map(lambda image: one(image, kernel), x)

    along: Any = jax.linearize(all_of_them, jnp.zeros_like(kernel))[1]
    return along(kernel)
