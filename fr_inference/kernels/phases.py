"""StyleGAN2's resampling in phases: rows and columns of even and odd index are computed separately.

XLA on a CPU has no fast path for a convolution with a dilated input, for the gradient of one with a
stride, or for a grouped one. Here a transposed convolution at stride 2 is four small convolutions
with interleaved results, a convolution at stride 2 is four on every second pixel, and the low-pass
filter [1, 3, 3, 1] is shifts and adds. The plain operations are in `models/stylegan2_ops.py`.
"""

import jax
import jax.numpy as jnp

from fr_inference.kernels import even_kernels


def upsample(x: jax.Array) -> jax.Array:
    """Doubles the size: [N, H, W, C] -> [N, 2H, 2W, C]."""
    for axis in (1, 2):
        before, after = _shifted(x, axis, 1), _shifted(x, axis, -1)
        x = _interleave((before + 3 * x) / 4, (3 * x + after) / 4, axis)
    return x


def downsample(x: jax.Array) -> jax.Array:
    """Halves the size: [N, 2H, 2W, C] -> [N, H, W, C]."""
    for axis in (1, 2):
        even, odd = _cut(x, axis, 0, None, 2), _cut(x, axis, 1, None, 2)
        x = (_shifted(odd, axis, 1) + 3 * (even + odd) + _shifted(even, axis, -1)) / 8
    return x


def upsample_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A transposed 3x3 convolution at stride 2, then the filter.

    Args:
      x: [N, H, W, C].
      kernel: [3, 3, C, features].

    Returns:
      [N, 2H, 2W, features].
    """
    # Before the filter there are 2H + 1 rows: H + 1 of even index, which the outer taps reach, and H of
    # odd index, which the middle one reaches.
    taps = (slice(None, None, -2), slice(1, 2))
    pads = ((1, 1), (0, 0))
    rows = []
    for i in range(2):
        phases = [_convolve(x, kernel[taps[i], taps[j]], (pads[i], pads[j])) for j in range(2)]
        rows.append(_filter_phases(phases[0], phases[1], 2))
    return _filter_phases(rows[0], rows[1], 1)


def _filter_phases(even, odd, axis):
    """[..., 1, 3, 3, 1] / 4 over rows given as even ones (n + 1) and odd ones (n), to 2n rows."""
    first, second = _cut(even, axis, 0, -1), _cut(even, axis, 1, None)
    before, after = _shifted(odd, axis, 1), _shifted(odd, axis, -1)
    upper = (before + 3 * first + 3 * odd + second) / 4
    lower = (first + 3 * odd + 3 * second + after) / 4
    return _interleave(upper, lower, axis)


def downsample_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The filter, then a convolution at stride 2.

    Args:
      x: [N, 2H, 2W, C].
      kernel: [3, 3, C, features] or [1, 1, C, features].

    Returns:
      [N, H, W, features].
    """
    if kernel.shape[0] == 1:
        return _convolve(downsample(x), kernel, ((0, 0), (0, 0)))
    for axis in (1, 2):
        x = jnp.pad(x, [(2, 2) if i == axis else (0, 0) for i in range(4)])
        taps = [_cut(x, axis, i, x.shape[axis] - 3 + i) for i in range(4)]
        x = (taps[0] + 3 * (taps[1] + taps[2]) + taps[3]) / 8
    total: jax.Array | float = 0.0
    for i in range(2):  # of the 2H + 1 rows: H + 1 of even index, H of odd index
        for j in range(2):
            total += _convolve(x[:, i::2, j::2], kernel[i::2, j::2], ((0, 0), (0, 0)))
    return jnp.asarray(total)


def _convolve(x, kernel, padding):
    """A convolution at stride 1; a 1x1 kernel is a matrix product over the channels."""
    if kernel.shape[:2] == (1, 1):
        return x @ kernel[0, 0]
    return even_kernels.convolve(x, kernel, padding)


def _interleave(even, odd, axis):
    shape = (*even.shape[:axis], 2 * even.shape[axis], *even.shape[axis + 1 :])
    return jnp.stack([even, odd], axis=axis + 1).reshape(shape)


def _shifted(x, axis, by):
    """Shifts x by one row and fills with zeros."""
    pad = [(0, 0)] * x.ndim
    pad[axis] = (1, 0) if by > 0 else (0, 1)
    kept = _cut(x, axis, 0, -1) if by > 0 else _cut(x, axis, 1, None)
    return jnp.pad(kept, pad)


def _cut(x, axis, start, stop, step=1):
    return x[(slice(None),) * axis + (slice(start, stop, step),)]
