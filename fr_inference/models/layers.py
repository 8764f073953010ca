"""Layers that the backbone families share. NHWC, float32 parameters, `dtype` for the arithmetic."""

import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fr_inference import errors
from fr_inference.kernels import winograd

NORMALIZATIONS = ('batch', 'group', 'layer', 'instance')

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

    A 1x1 convolution is a dense layer over the channels (kernel [C, features]): the same numbers,
    and on CPU several times faster, its gradient above all.
    """
    if kernel == 1:
        dense = nn.Dense(
            features, use_bias=use_bias, dtype=dtype, kernel_init=_conv_init, name=name
        )
        return lambda x: dense(x[:, ::stride, ::stride])
    return nn.Conv(
        features,
        (kernel, kernel),
        strides=(stride, stride),
        padding=((padding, padding), (padding, padding)),
        use_bias=use_bias,
        dtype=dtype,
        kernel_init=_conv_init,
        conv_general_dilated=convolve,
        name=name,
    )


def convolve(x, kernel, strides, padding, **options):
    """`jax.lax.conv_general_dilated`, in the form that is fast where it is compiled for."""

    def direct(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)

    same = kernel.shape[:2] == (3, 3) and strides == (1, 1) and padding == [(1, 1), (1, 1)]
    if not (same and winograd.pays(x, kernel)):
        return direct(x, kernel)
    return jax.lax.platform_dependent(x, kernel, cpu=winograd.conv3x3, default=direct)


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
        return depthwise(x, kernel.astype(self.dtype), self.stride)


def depthwise(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Depthwise convolution without padding, in the form that is fast where it is compiled for.

    XLA has no fast path for it on CPU: there it is written as shifted multiply-adds, which give the
    same numbers. A filter as large as its input is one weighted sum on either.

    Args:
      x: [N, H, W, C].
      kernel: [h, w, 1, C].
      stride: in pixels.

    Returns:
      [N, (H - h) // stride + 1, (W - w) // stride + 1, C].
    """
    if x.shape[1:3] == kernel.shape[:2]:
        return jnp.sum(x * kernel[None, :, :, 0, :], axis=(1, 2), keepdims=True)
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: depthwise_shifted(x, kernel, stride),
        default=lambda x, kernel: depthwise_grouped(x, kernel, stride),
    )


def depthwise_grouped(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """`depthwise` as one grouped convolution."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        'VALID',
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=x.shape[-1],
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise_shifted(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """`depthwise` as a sum of shifted, weighted copies of the input."""
    total = jnp.zeros((), x.dtype)
    for i, j, window in _windows(x, kernel.shape, stride):
        total = total + window * kernel[i, j, 0]
    return total


def _windows(x, kernel_shape, stride):
    """Yields (i, j, the inputs [..., H', W', C] that the filter's element (i, j) meets)."""
    rows, columns = kernel_shape[:2]
    height = (x.shape[-3] - rows) // stride
    width = (x.shape[-2] - columns) // stride
    for i in range(rows):
        for j in range(columns):
            down = slice(i, i + stride * height + 1, stride)
            across = slice(j, j + stride * width + 1, stride)
            yield i, j, x[..., down, across, :]


def _depthwise_forward(x, kernel, stride):
    return depthwise_shifted(x, kernel, stride), (x, kernel)


def _depthwise_backward(stride, saved, cotangent):
    x, kernel = saved
    plain = functools.partial(depthwise_shifted.__wrapped__, stride=stride)  # type: ignore[attr-defined]
    (x_gradient,) = jax.vjp(lambda x: plain(x, kernel), x)[1](cotangent)

    # One image at a time: XLA on CPU reduces nine slices of the whole batch seven times slower.
    def add(total, example):
        image, gradient = example
        windows = _windows(image, kernel.shape, stride)
        sums = [jnp.sum(window * gradient, axis=(0, 1)) for _, _, window in windows]
        return total + jnp.stack(sums).reshape(kernel.shape), None

    kernel_gradient, _ = jax.lax.scan(add, jnp.zeros_like(kernel), (x, cotangent))
    return x_gradient, kernel_gradient


depthwise_shifted.defvjp(_depthwise_forward, _depthwise_backward)


def normalization(
    kind: str, *, dtype: Any = jnp.float32, axis_name: str | None = None
) -> Callable[..., Callable[[jax.Array], jax.Array]]:
    """Returns `norm(train=..., name=...)`, which builds one normalisation layer of `kind`.

    Args:
      kind: 'batch'; 'group' (up to 32 groups of channels); 'layer' (all of one image's features at
        once); 'instance' (each channel of one image). Features without height and width, which a
        group of few channels would erase, have groups of at least 16, or one of all.
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
            channels = x.shape[-1]
            # Without height and width, a group of one channel would erase everything.
            most = channels if x.ndim > 2 else max(1, channels // 16)
            groups = {'group': math.gcd(32, most), 'layer': 1, 'instance': channels}[kind]
            if x.ndim == 2:
                groups = math.gcd(32, x.shape[-1]) if kind == 'group' else 1
                while groups > 1 and x.shape[-1] < 16 * groups:
                    groups //= 2
            return nn.GroupNorm(num_groups=groups, epsilon=1e-5, dtype=dtype, name=name)(x)

        return apply

    return build
