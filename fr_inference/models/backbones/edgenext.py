"""EdgeNeXt (Maaz et al., arXiv 2206.10589) as EdgeFace (George et al., arXiv 2307.01838) uses it.

EdgeFace's smaller forms replace each dense layer by two of lower rank. No norm keeps statistics of the
training, so only attacks on embeddings apply.
"""

import functools
import math
from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from fr_inference.models import layers
from fr_inference.models.target import InputSpec
from fr_inference.models.variants import Variant, hyperparameter

KERNELS = (3, 5, 7, 9)  # of the convolution blocks of each stage
SCALES = (2, 2, 3, 4)  # groups of channels of each stage's attention block
GLOBAL = (0, 1, 1, 1)  # attention blocks at the end of each stage
_POSITIONS = 32  # sines and cosines of one coordinate
_EPSILON = 1e-6

_norm = functools.partial(nn.LayerNorm, epsilon=_EPSILON, use_fast_variance=False)


class Linear(nn.Module):
    """A dense layer, or two with `rank` features between them."""

    features: int
    rank_ratio: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [..., C] to [..., features]."""
        if self.rank_ratio >= 1:
            return nn.Dense(self.features, name='dense')(x)
        rank = max(2, int(min(x.shape[-1], self.features) * self.rank_ratio))
        x = nn.Dense(rank, use_bias=False, name='linear1')(x)
        return nn.Dense(self.features, name='linear2')(x)


class Scale(nn.Module):
    """x times one parameter for each channel."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [..., C] to [..., C]."""
        init = nn.initializers.constant(1e-6)
        return x * self.param('value', init, x.shape[-1:], jnp.float32)


class Expansion(nn.Module):
    """Dense layer to four times the channels, GELU, dense layer back."""

    rank_ratio: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [..., C] to [..., C]."""
        channels = x.shape[-1]
        x = nn.gelu(Linear(4 * channels, self.rank_ratio, name='fc1')(x), approximate=False)
        return Linear(channels, self.rank_ratio, name='fc2')(x)


class ConvBlock(nn.Module):
    """Depthwise convolution, norm, expansion, plus the shortcut."""

    kernel: int
    rank_ratio: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [N, H, W, C] to the same shape."""
        size, padding = (self.kernel, self.kernel), self.kernel // 2
        y = layers.DepthwiseConv(size, padding=padding, use_bias=True, name='conv_dw')(x)
        y = Expansion(self.rank_ratio, name='mlp')(_norm(name='norm')(y))
        return x + Scale(name='gamma')(y)


class CrossCovariance(nn.Module):
    """Attention between channels, by products of unit vectors over all pixels."""

    heads: int
    rank_ratio: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [N, T, C] to [N, T, C]."""
        count, tokens, width = x.shape
        temperature = self.param(
            'temperature', nn.initializers.ones, (self.heads, 1, 1), jnp.float32
        )
        packed = Linear(3 * width, self.rank_ratio, name='qkv')(x)
        packed = packed.reshape(count, tokens, 3, self.heads, width // self.heads)
        query, key, value = (packed[:, :, i].transpose(0, 2, 3, 1) for i in range(3))
        scores = _unit(query) @ _unit(key).swapaxes(-1, -2) * temperature
        mixed = nn.softmax(scores) @ value
        mixed = mixed.transpose(0, 3, 1, 2).reshape(count, tokens, width)
        return Linear(width, self.rank_ratio, name='proj')(mixed)


def _unit(x):
    square = jnp.sum(x * x, axis=-1, keepdims=True)
    return x / jnp.sqrt(jnp.maximum(square, 1e-24))


class AttentionBlock(nn.Module):
    """Convolutions of one group of channels after the other, attention, expansion, shortcut."""

    scales: int
    heads: int
    positions: bool
    rank_ratio: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [N, H, W, C] to the same shape."""
        count, height, width, channels = x.shape
        size = -(-channels // self.scales)
        groups = [x[..., i : i + size] for i in range(0, channels, size)]
        found, y = [], groups[0]
        for i in range(len(groups) - 1):
            y = y if i == 0 else y + groups[i]
            y = layers.DepthwiseConv((3, 3), padding=1, use_bias=True, name=f'conv{i}')(y)
            found.append(y)
        y = jnp.concatenate([*found, groups[-1]], axis=-1)
        if self.positions:
            y = y + nn.Dense(channels, name='pos_embd')(encoded_positions(height, width))
        y = y.reshape(count, height * width, channels)
        attended = CrossCovariance(self.heads, self.rank_ratio, name='xca')(
            _norm(name='norm_xca')(y)
        )
        y = y + Scale(name='gamma_xca')(attended)
        y = Expansion(self.rank_ratio, name='mlp')(_norm(name='norm')(y))
        return x + Scale(name='gamma')(y).reshape(x.shape)


def encoded_positions(height: int, width: int) -> jax.Array:
    """Returns [height, width, 64] sines and cosines of rows, then of columns."""

    def encoded(count):
        place = (jnp.arange(count, dtype=jnp.float32) + 1) / (count + 1e-6) * (2 * math.pi)
        pairs = jnp.arange(_POSITIONS, dtype=jnp.int32) // 2
        angles = place[:, None] / 10000.0 ** (2 * pairs.astype(jnp.float32) / _POSITIONS)
        waves = jnp.stack([jnp.sin(angles[:, 0::2]), jnp.cos(angles[:, 1::2])], axis=-1)
        return waves.reshape(count, _POSITIONS)

    shape = (height, width, _POSITIONS)
    rows = jnp.broadcast_to(encoded(height)[:, None], shape)
    columns = jnp.broadcast_to(encoded(width)[None], shape)
    return jnp.concatenate([rows, columns], axis=-1)


class EdgeNeXt(nn.Module):
    """Patches of 4 x 4, four stages of convolution and attention blocks, mean, norm, dense layer.

    Attributes:
      depths: blocks in each of the four stages.
      widths: channels of each stage; a stage's attention splits them among its heads.
      heads: of the attention.
      rank_ratio: rank of the dense layers over their smaller side; 1 for full dense layers.
      embedding: length D of the embedding.
    """

    depths: Sequence[int] = hyperparameter((3, 3, 9, 3), total=64)
    widths: Sequence[int] = hyperparameter((80, 160, 288, 584))
    heads: int = 8
    rank_ratio: float = 1.0
    embedding: int = 512
    layer_epsilon: ClassVar[float] = _EPSILON

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps [N, H, W, 3] normalised images to [N, D] float32 embeddings (not of unit length)."""
        x = nn.Conv(self.widths[0], (4, 4), strides=(4, 4), padding='VALID', name='stem_conv')(x)
        x = _norm(name='stem_norm')(x)
        stages = zip(self.depths, self.widths, KERNELS, SCALES, GLOBAL, strict=True)
        for stage, (depth, width, kernel, scales, attention) in enumerate(stages):
            if stage > 0:
                x = _norm(name=f'downsample{stage}_norm')(x)
                x = nn.Conv(
                    width, (2, 2), strides=(2, 2), padding='VALID', name=f'downsample{stage}_conv'
                )(x)
            for i in range(depth):
                name = f'stage{stage}_{i}'
                if i < depth - attention:
                    x = ConvBlock(kernel, self.rank_ratio, name=name)(x)
                else:
                    x = AttentionBlock(scales, self.heads, stage == 1, self.rank_ratio, name=name)(
                        x
                    )
        x = _norm(name='head_norm')(jnp.mean(x, axis=(1, 2)))
        return Linear(self.embedding, self.rank_ratio, name='head')(x)


def _of(depths, widths, heads, rank_ratio, parameters):
    build = functools.partial(
        EdgeNeXt, depths=depths, widths=widths, heads=heads, rank_ratio=rank_ratio
    )
    return Variant(build, InputSpec(), parameters)


VARIANTS = {
    'edgeface_xxs': _of((2, 2, 6, 2), (24, 48, 88, 168), 4, 1.0, 1_244_744),
    'edgeface_xs_gamma_06': _of((3, 3, 9, 3), (32, 64, 100, 192), 4, 0.6, 1_770_492),
    'edgeface_s_gamma_05': _of((3, 3, 9, 3), (48, 96, 160, 304), 8, 0.5, 3_652_520),
    'edgeface_base': _of((3, 3, 9, 3), (80, 160, 288, 584), 8, 1.0, 18_225_812),
}
