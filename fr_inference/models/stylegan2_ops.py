"""StyleGAN2's resampling and modulated convolutions.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", arXiv 1912.04958, sections 2.2
and B; numbers and padding as in NVIDIA's stylegan2-ada-pytorch (`conv2d_resample.py`, `upfirdn2d.py`).
The low-pass filter is [1, 3, 3, 1] in both directions.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference.kernels import seam
from fr_inference.models import layers

_EPSILON = 1e-8
_GAIN = math.sqrt(2)
_FILTER = np.array([1, 3, 3, 1], np.float32)
_ORDER = ('NHWC', 'HWIO', 'NHWC')


def _filter(x, *, up=1, down=1, pad=(0, 0), gain=1.0):
    """Zeros between the pixels, padding, the filter, every `down`-th pixel (`upfirdn2d`)."""
    channels = x.shape[-1]
    few = min(channels, 1)  # an untrusted file may describe a network with none
    taps = np.outer(_FILTER, _FILTER) / _FILTER.sum() ** 2 * gain
    kernel = jnp.broadcast_to(jnp.asarray(taps, x.dtype)[:, :, None, None], (4, 4, few, channels))
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (down, down),
        (pad, pad),
        lhs_dilation=(up, up),
        dimension_numbers=_ORDER,
        feature_group_count=max(channels, 1),
    )


@seam.operation
def upsample(x: jax.Array) -> jax.Array:
    """Doubles the size by zeros between pixels, then the filter: [N, H, W, C] -> [N, 2H, 2W, C]."""
    return _filter(x, up=2, pad=(2, 2), gain=4)


@seam.operation
def downsample(x: jax.Array) -> jax.Array:
    """Halves the size by the filter and then every second pixel: [N, 2H, 2W, C] -> [N, H, W, C]."""
    return _filter(x, down=2, pad=(1, 1))


@seam.operation
def upsample_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A transposed 3x3 convolution at stride 2, then the filter.

    Args:
      x: [N, H, W, C].
      kernel: [3, 3, C, features]; its taps have the order of PyTorch's `conv_transpose2d`.

    Returns:
      [N, 2H, 2W, features].
    """
    turned = jnp.flip(kernel, (0, 1))
    wide = jax.lax.conv_general_dilated(
        x, turned, (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2), dimension_numbers=_ORDER
    )
    return _filter(wide, pad=(1, 1), gain=4)


@seam.operation
def downsample_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The filter, then a convolution at stride 2.

    Args:
      x: [N, 2H, 2W, C].
      kernel: [3, 3, C, features] or [1, 1, C, features].

    Returns:
      [N, H, W, features].
    """
    pad = (2, 2) if kernel.shape[0] == 3 else (1, 1)
    return jax.lax.conv_general_dilated(
        _filter(x, pad=pad), kernel, (2, 2), 'VALID', dimension_numbers=_ORDER
    )


def convolve_same(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves at the same size: [N, H, W, C], [k, k, C, features] -> [N, H, W, features]; k is odd."""
    if kernel.shape[0] == 1:  # a matrix product over the channels
        return x @ kernel[0, 0]
    return layers.convolve(x, kernel, padding=kernel.shape[0] // 2)


def modulated_conv(
    x: jax.Array, kernel: jax.Array, style: jax.Array, *, up: bool = False
) -> jax.Array:
    """Convolves each sample with the kernel scaled by its style, section 2.2, equation 1.

    Args:
      x: [N, H, W, C].
      kernel: [k, k, C, features], k = 1 or 3.
      style: [N, C] float32, scale of each input feature.
      up: whether to double the size (k = 3).

    Returns:
      [N, H, W, features], or twice the height and width, in x's dtype.
    """
    scaled = x * style.astype(x.dtype)[:, None, None, :]
    weights = kernel.astype(x.dtype)
    return upsample_conv(scaled, weights) if up else convolve_same(scaled, weights)


def demodulation(kernel: jax.Array, style: jax.Array) -> jax.Array:
    """Returns the inverse norm of each sample's modulated kernel, section 2.2, equation 3.

    The output of `modulated_conv` times this factor has the variance of its input.

    Args:
      kernel: [k, k, C, features].
      style: [N, C] float32.

    Returns:
      [N, features] float32.
    """
    energy = jnp.sum(jnp.square(kernel), axis=(0, 1))
    return jax.lax.rsqrt(jnp.square(style) @ energy + _EPSILON)


def activate(x: jax.Array, gain: float = 1.0, clamp: float | None = None) -> jax.Array:
    """Leaky ReLU of slope 0.2, times sqrt(2) times `gain`, clipped to +-`clamp` times `gain`."""
    x = jnp.where(x >= 0, x, 0.2 * x) * jnp.asarray(_GAIN * gain, x.dtype)
    return x if clamp is None else jnp.clip(x, -clamp * gain, clamp * gain)


@seam.operation
def finish(
    x: jax.Array, norm: jax.Array, noise: jax.Array, bias: jax.Array, *, clamp: float | None = None
) -> jax.Array:
    """Returns activate(x * norm + noise + bias), [N, H, W, C].

    Args:
      x: [N, H, W, C], of `modulated_conv`.
      norm: [N, 1, 1, C], of `demodulation`.
      noise: [N or 1, H or 1, W or 1, 1].
      bias: [C].
      clamp: bound of the result, None for none.
    """
    return activate(x * norm + noise + bias, clamp=clamp)


def minibatch_std(x: jax.Array, group: int = 4) -> jax.Array:
    """Appends one feature: the standard deviation of the features within a group of samples.

    Args:
      x: [N, H, W, C]; N is a multiple of min(group, N). Samples i, i + N / group, ... are one group.
      group: samples in each.

    Returns:
      [N, H, W, C + 1].
    """
    count = len(x)
    group = min(group, count)
    groups = x.reshape(group, count // group, *x.shape[1:])
    spread = jnp.sqrt(jnp.var(groups, axis=0) + _EPSILON).mean(axis=(1, 2, 3))
    feature = jnp.broadcast_to(jnp.tile(spread, group)[:, None, None, None], (*x.shape[:3], 1))
    return jnp.concatenate([x, feature.astype(x.dtype)], axis=-1)
