"""StyleGAN2's resampling convolutions with the low-pass filter folded into the kernel.

A filter of one channel at a time does four multiplications for each number it reads and writes, which no
matrix unit can do. With the filter folded into the kernel, a transposed 3x3 convolution at stride 2
becomes one 3x3 convolution to four times as many features, one for each position in a square of 2 x 2
pixels, and a convolution at stride 2 becomes one with a 6x6 or 4x4 kernel. On an H200 that is 4 to 12
times as fast, with its gradient (`bash launch/gpu_check.sh --parts=resampling`). The plain operations
are in `models/stylegan2_ops.py`.
"""

import jax
import jax.numpy as jnp
import numpy as np

_TAPS = np.array([1, 3, 3, 1], np.float32) / 8
_ORDER = ('NHWC', 'HWIO', 'NHWC')


def fold(kernel: jax.Array, gain: float = 1.0) -> jax.Array:
    """Returns the kernel that includes the filter.

    Args:
      kernel: [h, w, C, features].
      gain: of the filter.

    Returns:
      [h + 3, w + 3, C, features] in the kernel's dtype, summed in float32: the full convolution with
      [1, 3, 3, 1] / 8 along both axes, times the gain.
    """
    wide = kernel.astype(jnp.float32) * gain
    for axis in (0, 1):
        pads = [
            [(i, len(_TAPS) - 1 - i) if a == axis else (0, 0) for a in range(4)]
            for i in range(len(_TAPS))
        ]
        wide = sum(
            (jnp.pad(wide, pad) * tap for pad, tap in zip(pads, _TAPS, strict=True)),
            start=jnp.zeros((), jnp.float32),
        )
    return wide.astype(kernel.dtype)


def upsample_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A transposed 3x3 convolution at stride 2, then the filter.

    Args:
      x: [N, H, W, C].
      kernel: [3, 3, C, features].

    Returns:
      [N, 2H, 2W, features].
    """
    count, height, width, inputs = x.shape
    features = kernel.shape[-1]
    # The odd taps reach row 2p of the result from rows p - 1, p and p + 1, the even ones row 2p + 1.
    taps = fold(jnp.flip(kernel, (0, 1)), 4.0).reshape(3, 2, 3, 2, inputs, features)[
        :, ::-1, :, ::-1
    ]
    four = taps.transpose(0, 2, 4, 1, 3, 5).reshape(3, 3, inputs, 4 * features)
    found = jax.lax.conv_general_dilated(x, four, (1, 1), 'SAME', dimension_numbers=_ORDER)
    squares = found.reshape(count, height, width, 2, 2, features)
    return squares.transpose(0, 1, 3, 2, 4, 5).reshape(count, 2 * height, 2 * width, features)


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
        x, fold(kernel), (2, 2), (pad, pad), dimension_numbers=_ORDER
    )
