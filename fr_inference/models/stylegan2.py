"""StyleGAN2's generator and discriminator.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", arXiv 1912.04958: skip generator,
residual discriminator (its configuration F), with the layers and constants of NVIDIA's
stylegan2-ada-pytorch (`training/networks.py`), without class labels. NHWC. Weights are stored at unit
variance and scaled at run time (equalised learning rate).
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fr_inference import errors
from fr_inference.models import stylegan2_ops as ops


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
    """A generator as data: its module (the `Generator`) with trained variables.

    `module.apply(variables, z)` maps z [N, z_dim], standard normal, to images [N, H, W, 3] float32 from
    -1 (black) to 1 (white).

    Attributes:
      name: what reports call it.
      module: the `Generator`, hyper-parameters only.
      variables: {'params', 'buffers'}, see `Generator`; float32 arrays.
      sha256: digest of the file or of the variables, '' when unknown.
      recipe: how it was trained (JSON-able), None when unknown.
      notes: remarks of the reader, one line each.
    """

    name: str
    module: 'Generator'
    variables: Any
    sha256: str = ''
    recipe: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


def options_of(module: nn.Module) -> dict[str, Any]:
    """Returns a network's hyper-parameters by name (JSON-able)."""
    return {
        field.name: getattr(module, field.name)
        for field in dataclasses.fields(module)
        if field.name not in ('parent', 'name')
    }


def channels(resolution: int, base: int, most: int) -> int:
    """Returns the number of features at a resolution in pixels."""
    return min(base // resolution, most)


def resolutions(resolution: int) -> list[int]:
    """Returns [4, 8, ..., resolution].

    Raises:
      InputError: unless it is a power of two from 4 to 1024.
    """
    sizes = [2**i for i in range(2, 11)]
    errors.one_of('resolution', resolution, sizes)
    return sizes[: sizes.index(resolution) + 1]


def style_count(resolution: int) -> int:
    """Returns the number of layers that take a w: two per resolution, and the last one to RGB."""
    return 2 * len(resolutions(resolution))


class Dense(nn.Module):
    """x W / sqrt(in) + b, with both terms times the learning-rate multiplier."""

    features: int
    multiplier: float = 1.0
    bias: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [N, C] float32 to [N, features]."""
        deviation = 1 / self.multiplier
        shape = (x.shape[-1], self.features)
        kernel = self.param('kernel', nn.initializers.normal(deviation), shape)
        bias = self.param('bias', nn.initializers.constant(self.bias), (self.features,))
        return x @ (kernel * (self.multiplier / math.sqrt(shape[0]))) + bias * self.multiplier


class Mapping(nn.Module):
    """z to w: normalised to unit mean square, then dense layers.

    Attributes:
      w_dim: length of w.
      layers: number of dense layers.
      multiplier: of the learning rate of these layers.
    """

    w_dim: int = 512
    layers: int = 8
    multiplier: float = 0.01

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        """Maps z [N, z_dim] float32 to w [N, w_dim]."""
        x = z * jax.lax.rsqrt(jnp.mean(jnp.square(z), axis=-1, keepdims=True) + 1e-8)
        for i in range(self.layers):
            x = ops.activate(Dense(self.w_dim, self.multiplier, name=f'fc{i}')(x))
        return x


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU."""

    features: int
    up: bool = False
    dtype: Any = jnp.float32
    clamp: float | None = None

    @nn.compact
    def __call__(self, x: jax.Array, w: jax.Array, noise: jax.Array | None) -> jax.Array:
        """Maps [N, H, W, C] and w [N, w_dim] to [N, H, W, features], or twice the size.

        noise is [N or 1, H', W', 1] in the output's size, or None.
        """
        x = x.astype(self.dtype)
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param('kernel', nn.initializers.normal(1.0), shape)
        style = Dense(x.shape[-1], bias=1.0, name='affine')(w)
        strength = self.param('noise_strength', nn.initializers.zeros, ())
        bias = self.param('bias', nn.initializers.zeros, (self.features,))
        x = ops.modulated_conv(x, kernel, style, up=self.up)
        norm = ops.demodulation(kernel, style)[:, None, None, :]
        added = jnp.zeros((1, 1, 1, 1)) if noise is None else noise * strength
        narrow = (array.astype(self.dtype) for array in (norm, added, bias))
        return ops.finish(x, *narrow, clamp=self.clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to the image's channels, without demodulation."""

    features: int = 3
    dtype: Any = jnp.float32
    clamp: float | None = None

    @nn.compact
    def __call__(self, x: jax.Array, w: jax.Array) -> jax.Array:
        """Maps [N, H, W, C] and w [N, w_dim] to [N, H, W, features] float32."""
        shape = (1, 1, x.shape[-1], self.features)
        kernel = self.param('kernel', nn.initializers.normal(1.0), shape)
        style = Dense(x.shape[-1], bias=1.0, name='affine')(w) / math.sqrt(x.shape[-1])
        bias = self.param('bias', nn.initializers.zeros, (self.features,))
        x = ops.modulated_conv(x.astype(self.dtype), kernel, style)
        x += bias.astype(self.dtype)
        x = x if self.clamp is None else jnp.clip(x, -self.clamp, self.clamp)
        return x.astype(jnp.float32)


class Generator(nn.Module):
    """z -> w -> image.

    Variables: `params`; `buffers` with `w_avg` [w_dim], the mean of w, and `noise_0` ... (a constant map
    [H, W] for each layer), which are not applied by default: noise is always an argument.

    Attributes:
      resolution: of the image in pixels, a power of two from 4 to 1024.
      z_dim: length of z.
      w_dim: length of w.
      channel_base: features times resolution, up to `channel_max` features.
      channel_max: largest number of features.
      mapping_layers: dense layers from z to w.
      image_channels: 3 for RGB.
      low_precision_from: resolution in pixels from which the arithmetic is bfloat16; None for float32.
      clamp: bound of the features, None for none (checkpoints trained in half precision have 256).
    """

    resolution: int = 256
    z_dim: int = 512
    w_dim: int = 512
    channel_base: int = 32768
    channel_max: int = 512
    mapping_layers: int = 8
    image_channels: int = 3
    low_precision_from: int | None = None
    clamp: float | None = None

    def setup(self):
        """Creates the layers and the buffers."""
        self.to_w = Mapping(self.w_dim, self.mapping_layers, name='mapping')
        self.w_avg = self.variable('buffers', 'w_avg', jnp.zeros, (self.w_dim,))
        blocks = []
        for size in resolutions(self.resolution):
            features = channels(size, self.channel_base, self.channel_max)
            low = self.low_precision_from is not None and size >= self.low_precision_from
            options = {'dtype': jnp.bfloat16 if low else jnp.float32, 'clamp': self.clamp}
            layers = [SynthesisLayer(features, name=f'b{size}_conv1', **options)]
            if size > 4:
                layers.insert(0, SynthesisLayer(features, True, name=f'b{size}_conv0', **options))
            blocks.append((layers, ToRGB(self.image_channels, name=f'b{size}_torgb', **options)))
        self.blocks = blocks
        shape = (4, 4, channels(4, self.channel_base, self.channel_max))
        self.const = self.param('const', nn.initializers.normal(1.0), shape)
        self.noise = [
            self.variable('buffers', f'noise_{i}', self._draw_noise, size)
            for i, size in enumerate(noise_sizes(self.resolution))
        ]

    def _draw_noise(self, size):
        return jax.random.normal(self.make_rng('params'), (size, size))

    def mapping(self, z: jax.Array) -> jax.Array:
        """Maps z [N, z_dim], standard normal, to w [N, w_dim]."""
        return self.to_w(z)

    def truncate(self, w: jax.Array, psi: float = 1.0) -> jax.Array:
        """Returns one w for every layer, moved towards `w_avg`.

        Args:
          w: [N, w_dim].
          psi: 1 for no change, 0 for the mean.

        Returns:
          [N, style_count, w_dim].
        """
        ws = jnp.repeat(w[:, None], style_count(self.resolution), axis=1)
        return self.w_avg.value + psi * (ws - self.w_avg.value)

    def synthesis(self, ws: jax.Array, noise: Sequence[jax.Array] | None = None) -> jax.Array:
        """Maps ws to images.

        Args:
          ws: [N, style_count, w_dim] float32.
          noise: from `constant_noise` or `random_noise`; None for none.

        Returns:
          [N, resolution, resolution, image_channels] float32 from -1 (black) to 1 (white), not clipped.
        """
        x = jnp.broadcast_to(self.const, (len(ws), *self.const.shape))
        maps = iter(noise if noise is not None else [None] * len(self.noise))
        image, i = jnp.zeros((), jnp.float32), 0
        for layers, to_rgb in self.blocks:
            for layer in layers:
                x = layer(x, ws[:, i], next(maps))
                i += 1
            rgb = to_rgb(x, ws[:, i])
            image = ops.upsample(image) + rgb if image.ndim else rgb
        return image

    def __call__(
        self,
        z: jax.Array,
        *,
        psi: float = 1.0,
        noise: Sequence[jax.Array] | None = None,
    ) -> jax.Array:
        """Maps z [N, z_dim] to images; the arguments are those of `truncate` and `synthesis`."""
        return self.synthesis(self.truncate(self.mapping(z), psi), noise)


def noise_sizes(resolution: int) -> list[int]:
    """Returns the size of each layer's noise in pixels."""
    return [4] + [size for size in resolutions(resolution)[1:] for _ in range(2)]


def constant_noise(variables: Any) -> list[jax.Array]:
    """Returns the noise maps of the checkpoint, [1, H, W, 1] float32 for each layer."""
    buffers = variables['buffers']
    count = sum(name.startswith('noise_') for name in buffers)
    return [buffers[f'noise_{i}'][None, :, :, None] for i in range(count)]


def random_noise(key: jax.Array, resolution: int, count: int) -> list[jax.Array]:
    """Returns standard normal noise maps, [count, H, W, 1] float32 for each layer."""
    sizes = noise_sizes(resolution)
    keys = jax.random.split(key, len(sizes))
    return [jax.random.normal(k, (count, s, s, 1)) for k, s in zip(keys, sizes, strict=True)]


class Conv(nn.Module):
    """Convolution scaled by 1 / sqrt(inputs); if it has a bias, leaky ReLU follows."""

    features: int
    kernel: int
    down: bool = False
    bias: bool = True
    dtype: Any = jnp.float32
    clamp: float | None = None
    gain: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [N, H, W, C] to [N, H, W, features], or half the size."""
        x = x.astype(self.dtype)
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param('kernel', nn.initializers.normal(1.0), shape)
        scaled = (kernel / math.sqrt(math.prod(shape[:3]))).astype(self.dtype)
        x = ops.downsample_conv(x, scaled) if self.down else ops.convolve_same(x, scaled)
        if not self.bias:
            return x * jnp.asarray(self.gain, self.dtype)
        bias = self.param('bias', nn.initializers.zeros, (self.features,))
        return ops.activate(x + bias.astype(self.dtype), self.gain, self.clamp)


class Discriminator(nn.Module):
    """Image -> logit: residual blocks down to 4x4, minibatch standard deviation, two dense layers.

    Attributes:
      resolution: of the image in pixels, a power of two from 4 to 1024.
      channel_base: features times resolution, up to `channel_max` features.
      channel_max: largest number of features.
      group: samples in a group of the minibatch standard deviation.
      low_precision_from: resolution in pixels from which the arithmetic is bfloat16; None for float32.
      clamp: bound of the features, None for none.
    """

    resolution: int = 256
    channel_base: int = 32768
    channel_max: int = 512
    group: int = 4
    low_precision_from: int | None = None
    clamp: float | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps images [N, H, W, 3], -1 to 1, to logits [N] float32, high for real."""
        sizes = resolutions(self.resolution)[::-1]
        for size in sizes[:-1]:
            low = self.low_precision_from is not None and size >= self.low_precision_from
            options = {'dtype': jnp.bfloat16 if low else jnp.float32, 'clamp': self.clamp}
            wide = channels(size, self.channel_base, self.channel_max)
            after = channels(size // 2, self.channel_base, self.channel_max)
            if size == self.resolution:
                x = Conv(wide, 1, name=f'b{size}_fromrgb', **options)(x)
            half = {'gain': math.sqrt(0.5), 'down': True, **options}
            skip = Conv(after, 1, bias=False, name=f'b{size}_skip', **half)(x)
            x = Conv(wide, 3, name=f'b{size}_conv0', **options)(x)
            x = skip + Conv(after, 3, name=f'b{size}_conv1', **half)(x)
        features = channels(4, self.channel_base, self.channel_max)
        x = ops.minibatch_std(x.astype(jnp.float32), self.group)
        x = Conv(features, 3, clamp=self.clamp, name='b4_conv')(x)
        x = ops.activate(Dense(features, name='b4_fc')(x.reshape(len(x), -1)))
        return Dense(1, name='b4_out')(x)[:, 0]
