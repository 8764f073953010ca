"""Inception-ResNet-v1 as in David Sandberg's facenet and timesler's facenet-pytorch.

Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
arXiv 1602.07261, with the residual scales and the epsilon of facenet. Images are 160 x 160.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fr_inference.models import layers
from fr_inference.models.target import InputSpec
from fr_inference.models.variants import Variant, hyperparameter

Unit = tuple[int, int, int, int]
"""(channels, height and width of the kernel, stride); stride 1 pads, stride 2 does not."""

BLOCK_35: tuple[tuple[Unit, ...], ...] = (
    ((32, 1, 1, 1),),
    ((32, 1, 1, 1), (32, 3, 3, 1)),
    ((32, 1, 1, 1), (32, 3, 3, 1), (32, 3, 3, 1)),
)
BLOCK_17: tuple[tuple[Unit, ...], ...] = (
    ((128, 1, 1, 1),),
    ((128, 1, 1, 1), (128, 1, 7, 1), (128, 7, 1, 1)),
)
BLOCK_8: tuple[tuple[Unit, ...], ...] = (
    ((192, 1, 1, 1),),
    ((192, 1, 1, 1), (192, 1, 3, 1), (192, 3, 1, 1)),
)
MIXED_6A: tuple[tuple[Unit, ...], ...] = (
    ((384, 3, 3, 2),),
    ((192, 1, 1, 1), (192, 3, 3, 1), (256, 3, 3, 2)),
)
MIXED_7A: tuple[tuple[Unit, ...], ...] = (
    ((256, 1, 1, 1), (384, 3, 3, 2)),
    ((256, 1, 1, 1), (256, 3, 3, 2)),
    ((256, 1, 1, 1), (256, 3, 3, 1), (256, 3, 3, 2)),
)
# Name of the repeated block, its branches, the scale of its residual, and what follows the blocks.
STAGES = (
    ('repeat_1', BLOCK_35, 0.17),
    ('mixed_6a', MIXED_6A, None),
    ('repeat_2', BLOCK_17, 0.10),
    ('mixed_7a', MIXED_7A, None),
    ('repeat_3', BLOCK_8, 0.20),
)
# The stem: name, unit, whether it pads. 3 x 3 max pooling follows 'conv2d_2b'.
STEM: tuple[tuple[str, Unit, bool], ...] = (
    ('conv2d_1a', (32, 3, 3, 2), False),
    ('conv2d_2a', (32, 3, 3, 1), False),
    ('conv2d_2b', (64, 3, 3, 1), True),
    ('conv2d_3b', (80, 1, 1, 1), False),
    ('conv2d_4a', (192, 3, 3, 1), False),
    ('conv2d_4b', (256, 3, 3, 2), False),
)


class ConvUnit(nn.Module):
    """Convolution, norm, ReLU."""

    unit: Unit
    padded: bool
    epsilon: float
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps [N, H, W, C] to [N, H', W', channels]."""
        channels, height, width, stride = self.unit
        if height == width:
            padding = height // 2 if self.padded else 0
            conv = layers.conv(
                channels, height, stride=stride, padding=padding, dtype=self.dtype, name='conv'
            )
        else:
            pad = ((height // 2, height // 2), (width // 2, width // 2))
            conv = nn.Conv(
                channels,
                (height, width),
                padding=pad,
                use_bias=False,
                dtype=self.dtype,
                name='conv',
            )
        norm = layers.normalization(
            'batch', epsilon=self.epsilon, dtype=self.dtype, axis_name=self.axis_name
        )
        return nn.relu(norm(train=train, name='bn')(conv(x)))


class Block(nn.Module):
    """Parallel branches: added to the input through a 1x1 convolution, or joined with max pooling.

    Attributes:
      branches: the units of each.
      scale: of the residual; None for a block that halves the map.
      activate: whether a ReLU follows the sum.
    """

    branches: tuple[tuple[Unit, ...], ...]
    scale: float | None
    epsilon: float
    activate: bool = True
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps [N, H, W, C] to the same shape, or to about half the height and width."""
        found = []
        for i, units in enumerate(self.branches):
            y = x
            for j, unit in enumerate(units):
                y = ConvUnit(
                    unit,
                    padded=unit[3] == 1,
                    epsilon=self.epsilon,
                    dtype=self.dtype,
                    axis_name=self.axis_name,
                    name=f'branch{i}_{j}',
                )(y, train)
            found.append(y)
        if self.scale is None:
            return jnp.concatenate([*found, nn.max_pool(x, (3, 3), (2, 2))], axis=-1)
        y = jnp.concatenate(found, axis=-1)
        y = layers.conv(x.shape[-1], 1, use_bias=True, dtype=self.dtype, name='conv2d')(y)
        x = y * jnp.asarray(self.scale, y.dtype) + x
        return nn.relu(x) if self.activate else x


class InceptionResnet(nn.Module):
    """Stem, three stages of residual blocks, two reductions, mean, dense, norm, unit length.

    Attributes:
      depths: blocks of each stage; a further one without ReLU ends the last stage.
      embedding: length D of the embedding.
      epsilon: of every norm.
      dtype: of the arithmetic (parameters and embeddings are float32).
      axis_name: mapped axis over which BatchNorm averages its statistics while training.
    """

    depths: Sequence[int] = hyperparameter((5, 10, 5), total=64)
    embedding: int = 512
    epsilon: float = 1e-3
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps [N, H, W, 3] normalised images (75 pixels or more) to [N, D] float32 unit embeddings."""
        options = {'epsilon': self.epsilon, 'dtype': self.dtype, 'axis_name': self.axis_name}
        for name, unit, padded in STEM:
            x = ConvUnit(unit, padded, **options, name=name)(x, train)
            if name == 'conv2d_2b':
                x = nn.max_pool(x, (3, 3), (2, 2))
        depths = iter(self.depths)
        for name, branches, scale in STAGES:
            if scale is None:
                x = Block(branches, None, **options, name=name)(x, train)
                continue
            for i in range(next(depths)):
                x = Block(branches, scale, **options, name=f'{name}_{i}')(x, train)
        x = Block(BLOCK_8, 1.0, activate=False, **options, name='block8')(x, train)
        x = jnp.mean(x, axis=(1, 2)).astype(jnp.float32)
        x = nn.Dense(self.embedding, use_bias=False, name='last_linear')(x)
        norm = layers.normalization('batch', epsilon=self.epsilon, axis_name=self.axis_name)
        return layers.unit(norm(train=train, name='last_bn')(x))


VARIANTS = {
    'inception_resnet_v1': Variant(
        InceptionResnet,
        InputSpec(height=160, width=160, std=(128.0, 128.0, 128.0), mirror='none'),
        23_482_624,
    ),
}
