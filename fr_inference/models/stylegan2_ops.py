"""StyleGAN2's resampling and modulated convolutions, formulated for XLA.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", arXiv 1912.04958, sections 2.2
and B; numbers and padding as in NVIDIA's stylegan2-ada-pytorch (`conv2d_resample.py`, `upfirdn2d.py`).
The low-pass filter is [1, 3, 3, 1] in both directions. Every operation stands beside a plain `_ref`.

There is no grouped convolution (samples differ in scales of the features before and after one shared
convolution), none with a dilated input, which XLA has no fast path for on CPU, and none with a stride,
whose gradient has one: what is resampled is computed in phases, the rows and columns of even and of odd
index, and the filter is shifts and adds of phases.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference.models import layers

_EPSILON = 1e-8
_FILTER = np.array([1, 3, 3, 1], np.float32)


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
    """Transposed 3x3 convolution at stride 2, then the filter.

    Args:
      x: [N, H, W, C].
      kernel: [3, 3, C, features]; its taps meet the input as in PyTorch's `conv_transpose2d`.

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


def modulated_conv(
    x: jax.Array, kernel: jax.Array, style: jax.Array, *, up: bool = False, demodulate: bool = True
) -> jax.Array:
    """Convolves each sample with the kernel scaled by its style, section 2.2, equations 1 and 3.

    Args:
      x: [N, H, W, C].
      kernel: [k, k, C, features], k = 1 or 3.
      style: [N, C] float32, scale of each input feature.
      up: doubles the size (k = 3).
      demodulate: divides by the norm of each sample's kernel, so that the output keeps its variance.

    Returns:
      [N, H, W, features], or twice the height and width, in x's dtype.
    """
    scaled = x * style.astype(x.dtype)[:, None, None, :]
    weights = kernel.astype(x.dtype)
    y = upsample_conv(scaled, weights) if up else convolve_same(scaled, weights)
    if not demodulate:
        return y
    energy = jnp.sum(jnp.square(kernel), axis=(0, 1))
    norm = jax.lax.rsqrt(jnp.square(style) @ energy + _EPSILON)
    return y * norm.astype(x.dtype)[:, None, None, :]


def minibatch_std(x: jax.Array, group: int = 4) -> jax.Array:
    """Appends one feature: the spread of the features among the samples of a group.

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


def convolve_same(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """[N, H, W, C], [k, k, C, features] -> [N, H, W, features]; k is odd."""
    pad = (kernel.shape[0] // 2,) * 2
    return _convolve(x, kernel, (pad, pad))


def _convolve(x, kernel, padding):
    """At stride 1; a 1x1 kernel is a product over the channels."""
    if kernel.shape[:2] == (1, 1):
        pad = ((0, 0), *padding, (0, 0))
        return (jnp.pad(x, pad) if any(map(any, padding)) else x) @ kernel[0, 0]
    if kernel.shape[:2] == (3, 3):
        order = ('NHWC', 'HWIO', 'NHWC')
        return layers.convolve(x, kernel, (1, 1), list(padding), dimension_numbers=order)
    return _small_convolve(x, kernel, tuple(padding))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _small_convolve(x, kernel, padding):
    order = ('NHWC', 'HWIO', 'NHWC')
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=order)


def _small_forward(x, kernel, padding):
    return _small_convolve(x, kernel, padding), (x, kernel)


def _small_backward(padding, saved, cotangent):
    x, kernel = saved
    plain = functools.partial(_small_convolve.__wrapped__, padding=padding)  # type: ignore[attr-defined]
    (x_gradient,) = jax.vjp(lambda x: plain(x, kernel), x)[1](cotangent)
    # One product for each tap: XLA on CPU has no fast path for this gradient with an even kernel.
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    height, width = cotangent.shape[1:3]
    taps = [
        jnp.einsum('nhwc,nhwk->ck', x[:, i : i + height, j : j + width], cotangent)
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    ]
    return x_gradient, jnp.stack(taps).reshape(kernel.shape)


_small_convolve.defvjp(_small_forward, _small_backward)


def _interleave(even, odd, axis):
    shape = (*even.shape[:axis], 2 * even.shape[axis], *even.shape[axis + 1 :])
    return jnp.stack([even, odd], axis=axis + 1).reshape(shape)


def _shifted(x, axis, by):
    """x moved by one row, a row of zeros coming in."""
    pad = [(0, 0)] * x.ndim
    pad[axis] = (1, 0) if by > 0 else (0, 1)
    kept = _cut(x, axis, 0, -1) if by > 0 else _cut(x, axis, 1, None)
    return jnp.pad(kept, pad)


def _cut(x, axis, start, stop, step=1):
    return x[(slice(None),) * axis + (slice(start, stop, step),)]


# The plain forms: what the fast ones above must equal, one line of mathematics after the other.


def _filter_ref(x, *, up=1, down=1, pad=(0, 0), gain=1.0):
    """Zeros between the pixels, padding, the filter, every `down`-th pixel (`upfirdn2d`)."""
    channels = x.shape[-1]
    taps = np.outer(_FILTER, _FILTER) / _FILTER.sum() ** 2 * gain
    kernel = jnp.broadcast_to(jnp.asarray(taps, x.dtype)[:, :, None, None], (4, 4, 1, channels))
    count, height, width, _ = x.shape
    spread = jnp.zeros((count, height * up, width * up, channels), x.dtype)
    spread = spread.at[:, ::up, ::up].set(x)
    return jax.lax.conv_general_dilated(
        spread,
        kernel,
        (down, down),
        (pad, pad),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=channels,
    )


def upsample_ref(x: jax.Array) -> jax.Array:
    """`upsample` as zeros between pixels, then one convolution."""
    return _filter_ref(x, up=2, pad=(2, 1), gain=4)


def downsample_ref(x: jax.Array) -> jax.Array:
    """`downsample` as one strided convolution."""
    return _filter_ref(x, down=2, pad=(1, 1))


def upsample_conv_ref(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`upsample_conv` as a convolution with a dilated input, then the filter."""
    order = ('NHWC', 'HWIO', 'NHWC')
    turned = jnp.flip(kernel, (0, 1))
    wide = jax.lax.conv_general_dilated(
        x, turned, (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2), dimension_numbers=order
    )
    return _filter_ref(wide, pad=(1, 1), gain=4)


def downsample_conv_ref(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`downsample_conv` as the filter, then a strided convolution."""
    order = ('NHWC', 'HWIO', 'NHWC')
    pad = (2, 2) if kernel.shape[0] == 3 else (1, 1)
    return jax.lax.conv_general_dilated(
        _filter_ref(x, pad=pad), kernel, (2, 2), 'VALID', dimension_numbers=order
    )


def modulated_conv_ref(
    x: jax.Array, kernel: jax.Array, style: jax.Array, *, up: bool = False, demodulate: bool = True
) -> jax.Array:
    """`modulated_conv` with a kernel of its own for each sample."""

    def one(x, style):
        weights = kernel * style[:, None]
        if demodulate:
            weights /= jnp.sqrt(jnp.sum(jnp.square(weights), axis=(0, 1, 2)) + _EPSILON)
        if up:
            return upsample_conv_ref(x[None], weights)[0]
        return jax.lax.conv_general_dilated(
            x[None], weights, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
        )[0]

    return jnp.stack([one(*pair) for pair in zip(x, style, strict=True)])


def minibatch_std_ref(x: jax.Array, group: int = 4) -> jax.Array:
    """`minibatch_std` group by group."""
    group = min(group, len(x))
    stride = len(x) // group
    features = [
        jnp.full(
            x.shape[1:3], jnp.mean(jnp.sqrt(jnp.var(x[i % stride :: stride], axis=0) + _EPSILON))
        )
        for i in range(len(x))
    ]
    return jnp.concatenate([x, jnp.stack(features)[..., None]], axis=-1)
