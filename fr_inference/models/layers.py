"""Layers that the backbone families share. NHWC, float32 parameters, `dtype` for the arithmetic."""

import functools
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
    """max(x, 0) + slope * min(x, 0).

    Attributes:
      shared: a single slope instead of one per channel.
      dtype: of the arithmetic.
    """

    shared: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [..., C] to [..., C]."""
        shape = (1 if self.shared else x.shape[-1],)
        slope = self.param('slope', nn.initializers.constant(0.25), shape, jnp.float32)
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
    """One filter per channel.

    Attributes:
      kernel: (height, width) in pixels.
      stride: in pixels.
      padding: zeros on each side.
      group: input channels that each filter sees; more than one make a grouped convolution.
      use_bias: whether each channel has a bias.
      dtype: of the arithmetic.
    """

    kernel: tuple[int, int]
    stride: int = 1
    padding: int = 0
    group: int = 1
    use_bias: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [N, H, W, C] to [N, H', W', C]."""
        shape = (*self.kernel, self.group, x.shape[-1])
        kernel = self.param('kernel', _conv_init, shape, jnp.float32).astype(self.dtype)
        pad = (self.padding, self.padding)
        x = jnp.pad(x.astype(self.dtype), ((0, 0), pad, pad, (0, 0)))
        if self.group == 1:
            x = depthwise(x, kernel, stride=self.stride)
        else:
            x = _grouped(x, kernel, self.stride)
        if self.use_bias:
            bias = self.param('bias', nn.initializers.zeros, shape[-1:], jnp.float32)
            x = x + bias.astype(self.dtype)
        return x


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
    return _grouped(x, kernel, stride)


def _grouped(x, kernel, stride):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        'VALID',
        dimension_numbers=_ORDER,
        feature_group_count=x.shape[-1] // kernel.shape[2],
    )


class SqueezeExcite(nn.Module):
    """x * sigmoid(fc2(activation(fc1(mean over H and W)))), Hu et al., arXiv 1709.01507.

    Attributes:
      reduction: channels per feature between the two dense layers.
      use_bias: whether the dense layers have biases.
      prelu: PReLU with a single slope instead of ReLU.
      dtype: of the arithmetic.
    """

    reduction: int = 16
    use_bias: bool = False
    prelu: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [N, H, W, C] to [N, H, W, C]."""
        channels = x.shape[-1]
        dense = functools.partial(nn.Dense, use_bias=self.use_bias, dtype=self.dtype)
        gate = dense(max(channels // self.reduction, 1), name='fc1')(jnp.mean(x, axis=(1, 2)))
        gate = (
            PReLU(shared=True, dtype=self.dtype, name='prelu')(gate)
            if self.prelu
            else nn.relu(gate)
        )
        return x * nn.sigmoid(dense(channels, name='fc2')(gate))[:, None, None, :]


def unit(x: jax.Array) -> jax.Array:
    """Scales embeddings [N, D] to unit length."""
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


class BatchNorm(nn.BatchNorm):
    """`nn.BatchNorm` whose training mode takes mean and variance in one pass, with one collective.

    E[(x - s)^2] - E[x - s]^2, with s the running mean, loses no digits once s is near the batch's mean
    (Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance").
    """

    def __call__(self, x: jax.Array, *arguments: Any, **keywords: Any) -> jax.Array:
        """Maps [..., C] to [..., C] and moves the running statistics."""
        if self.is_initializing():
            return super().__call__(x, *arguments, **keywords)
        shift: Any = self.get_variable('batch_stats', 'mean')
        y = super().__call__(x.astype(jnp.float32) - shift, *arguments, **keywords)
        moved: Any = self.get_variable('batch_stats', 'mean')
        self.put_variable('batch_stats', 'mean', moved + (1 - self.momentum) * shift)
        return y


def normalization(
    kind: str,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    dtype: Any = jnp.float32,
    axis_name: str | None = None,
) -> Callable[..., Callable[[jax.Array], jax.Array]]:
    """Returns `norm(train=..., affine=True, name=...)`, which builds one normalisation layer of `kind`.

    A layer that is not `affine` has neither scale nor bias.

    Args:
      kind: 'batch'; 'group' (up to 32 groups of channels); 'layer' (all features of one image at
        once); 'instance' (each channel of one image). Features without height and width, or
        of one pixel, get groups of at least 16 channels, or one group: normalising groups of a few
        numbers would erase them.
      epsilon: added to the variance.
      momentum: share of the old running statistics that a training step keeps (PyTorch's is 1 minus it).
      dtype: of the output.
      axis_name: mapped axis over which 'batch' averages its statistics while training.

    Raises:
      InputError: for another kind.
    """
    errors.one_of('norm', kind, NORMALIZATIONS)

    def build(
        *, train: bool, affine: bool = True, name: str | None = None
    ) -> Callable[[jax.Array], jax.Array]:
        if kind == 'batch':
            return (BatchNorm if train else nn.BatchNorm)(
                use_running_average=not train,
                momentum=momentum,
                epsilon=epsilon,
                dtype=dtype,
                use_bias=affine,
                use_scale=affine,
                axis_name=axis_name,
                name=name,
            )

        def apply(x: jax.Array) -> jax.Array:
            groups = _group_count(kind, x.shape[-1], flat=math.prod(x.shape[1:-1]) == 1)
            norm = nn.GroupNorm(
                num_groups=groups,
                epsilon=epsilon,
                dtype=dtype,
                use_bias=affine,
                use_scale=affine,
                name=name,
            )
            return norm(x)

        return apply

    return build


def _group_count(kind, channels, flat):
    """Returns the number of groups of channels; groups of flat features have at least 16."""
    if kind == 'layer' or (flat and kind == 'instance'):
        return 1
    if kind == 'instance':
        return channels
    groups = math.gcd(32, channels)
    while flat and groups > 1 and channels < 16 * groups:
        groups //= 2
    return groups
