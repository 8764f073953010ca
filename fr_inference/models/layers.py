"""Layers that the backbone families share. NHWC, float32 parameters, `dtype` for the arithmetic."""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fr_inference import errors
from fr_inference.kernels import seam

NORMALIZATIONS = ('batch', 'group', 'layer', 'instance')

_ORDER = ('NHWC', 'HWIO', 'NHWC')

_conv_init = nn.initializers.variance_scaling(2.0, 'fan_out', 'truncated_normal')


class PReLU(nn.Module):
    """max(x, 0) + slope * min(x, 0) with one slope per channel (`nn.PReLU` of Linen has one in all)."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [..., C] to [..., C]."""
        slope = self.param('slope', nn.initializers.constant(0.25), (x.shape[-1],), jnp.float32)
        return jnp.maximum(x, 0) + slope.astype(self.dtype) * jnp.minimum(x, 0)


def conv(
    features: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    use_bias: bool = False,
    dtype: Any = jnp.float32,
    name: str | None = None,
) -> Callable[[jax.Array], jax.Array]:
    """A convolution with symmetric padding, as PyTorch's `Conv2d` (unlike 'SAME' at stride 2).

    A 1x1 convolution is a dense layer over the channels (kernel [C, features]).
    """
    if kernel == 1:
        dense = nn.Dense(
            features, use_bias=use_bias, dtype=dtype, kernel_init=_conv_init, name=name
        )
        return lambda x: dense(x[:, ::stride, ::stride])

    def convolved(x: jax.Array, kernel: jax.Array, *_: Any, **__: Any) -> jax.Array:
        return convolve(x, kernel, stride=stride, padding=padding)

    return nn.Conv(
        features,
        (kernel, kernel),
        strides=(stride, stride),
        padding=((padding, padding), (padding, padding)),
        use_bias=use_bias,
        dtype=dtype,
        kernel_init=_conv_init,
        conv_general_dilated=convolved,
        name=name,
    )


@seam.operation
def convolve(x: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: int = 0) -> jax.Array:
    """A convolution with symmetric zero padding.

    Args:
      x: [N, H, W, C].
      kernel: [h, w, C, features].
      stride: in pixels.
      padding: zeros on each side.

    Returns:
      [N, (H + 2 padding - h) // stride + 1, (W + 2 padding - w) // stride + 1, features].
    """
    pad = (padding, padding)
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), (pad, pad), dimension_numbers=_ORDER
    )


class DepthwiseConv(nn.Module):
    """One filter per channel, no bias.

    Attributes:
      kernel: (height, width) in pixels.
      stride: in pixels.
      padding: zeros on each side.
      dtype: of the arithmetic.
    """

    kernel: tuple[int, int]
    stride: int = 1
    padding: int = 0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [N, H, W, C] to [N, H', W', C]."""
        shape = (*self.kernel, 1, x.shape[-1])
        kernel = self.param('kernel', _conv_init, shape, jnp.float32)
        pad = (self.padding, self.padding)
        x = jnp.pad(x.astype(self.dtype), ((0, 0), pad, pad, (0, 0)))
        return depthwise(x, kernel.astype(self.dtype), stride=self.stride)


@seam.operation
def depthwise(x: jax.Array, kernel: jax.Array, *, stride: int = 1) -> jax.Array:
    """Depthwise convolution without padding.

    A filter as large as its input is computed as one weighted sum.

    Args:
      x: [N, H, W, C].
      kernel: [h, w, 1, C].
      stride: in pixels.

    Returns:
      [N, (H - h) // stride + 1, (W - w) // stride + 1, C].
    """
    if x.shape[1:3] == kernel.shape[:2]:
        return jnp.sum(x * kernel[None, :, :, 0, :], axis=(1, 2), keepdims=True)
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        'VALID',
        dimension_numbers=_ORDER,
        feature_group_count=x.shape[-1],
    )


def normalization(
    kind: str, *, dtype: Any = jnp.float32, axis_name: str | None = None
) -> Callable[..., Callable[[jax.Array], jax.Array]]:
    """Returns `norm(train=..., name=...)`, which builds one normalisation layer of `kind`.

    Args:
      kind: 'batch'; 'group' (up to 32 groups of channels); 'layer' (all features of one image at
        once); 'instance' (each channel of one image). Features without height and width get groups of
        at least 16 channels, or one group, because a group of few channels would erase them.
      dtype: of the output.
      axis_name: mapped axis over which 'batch' averages its statistics while training.

    Raises:
      InputError: for another kind.
    """
    errors.one_of('norm', kind, NORMALIZATIONS)

    def build(*, train: bool, name: str | None = None) -> Callable[[jax.Array], jax.Array]:
        if kind == 'batch':
            # The two-pass variance: E[x^2] - E[x]^2 loses digits where the mean is large.
            return nn.BatchNorm(
                use_running_average=not train,
                momentum=0.9,
                epsilon=1e-5,
                dtype=dtype,
                axis_name=axis_name,
                use_fast_variance=False,
                name=name,
            )

        def apply(x: jax.Array) -> jax.Array:
            groups = _group_count(kind, x.shape[-1], flat=x.ndim == 2)
            return nn.GroupNorm(num_groups=groups, epsilon=1e-5, dtype=dtype, name=name)(x)

        return apply

    return build


def _group_count(kind, channels, flat):
    """Groups of channels that are normalised together; of flat features, at least 16 in each."""
    if kind == 'layer' or (flat and kind == 'instance'):
        return 1
    if kind == 'instance':
        return channels
    groups = math.gcd(32, channels)
    while flat and groups > 1 and channels < 16 * groups:
        groups //= 2
    return groups
