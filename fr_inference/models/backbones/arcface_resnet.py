"""ResNet with IR blocks: foamliu/InsightFace-v2, SimSwap; on grey images: ronghuaiyang, GFPGAN.

He et al., arXiv 1512.03385, with the block of Deng et al., "ArcFace", arXiv 1801.07698: a norm first,
a PReLU with a single slope, used twice, and squeeze-and-excitation with biases and a PReLU.
"""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fr_inference.models import layers
from fr_inference.models.target import InputSpec
from fr_inference.models.variants import Variant, hyperparameter

# Weights of red, green and blue in grey: ITU-R BT.601, as in OpenCV and Pillow.
GREY = (0.299, 0.587, 0.114)


class Block(nn.Module):
    """norm, conv3x3, norm, PReLU, conv3x3 (with the stride), norm, SE or not, shortcut, PReLU."""

    features: int
    stride: int
    squeeze_excite: bool
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps [N, H, W, C] to [N, H / stride, W / stride, features]."""
        norm = layers.normalization('batch', dtype=self.dtype, axis_name=self.axis_name)
        conv = functools.partial(layers.conv, dtype=self.dtype)
        prelu = layers.PReLU(shared=True, dtype=self.dtype, name='prelu')
        y = norm(train=train, name='bn0')(x)
        y = conv(x.shape[-1], 3, padding=1, name='conv1')(y)
        y = prelu(norm(train=train, name='bn1')(y))
        y = conv(self.features, 3, stride=self.stride, padding=1, name='conv2')(y)
        y = norm(train=train, name='bn2')(y)
        if self.squeeze_excite:
            y = layers.SqueezeExcite(use_bias=True, prelu=True, dtype=self.dtype, name='se')(y)
        if y.shape != x.shape:
            x = conv(self.features, 1, stride=self.stride, name='downsample_conv')(x)
            x = norm(train=train, name='downsample_bn')(x)
        return prelu(y + x)


class ArcFaceResNet(nn.Module):
    """Stem with 2 x 2 max pooling, four stages, and the head: norm, flatten, dense, norm.

    Attributes:
      depths: blocks in each of the four stages.
      width: channels of the first stage; each further stage doubles them.
      squeeze_excite: with SE at the end of each block.
      grey: whether the network works on one channel. It converts the normalised RGB image, which
        gives the normalised grey image if all channels have the same mean and std.
      padded: whether the first convolution pads.
      embedding: length D of the embedding.
      dtype: of the arithmetic (parameters and embeddings are float32).
      axis_name: mapped axis over which BatchNorm averages its statistics while training.
    """

    depths: Sequence[int] = hyperparameter((2, 2, 2, 2), total=128)
    width: int = 64
    squeeze_excite: bool = True
    grey: bool = False
    padded: bool = False
    embedding: int = 512
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps [N, H, W, 3] normalised images (H, W multiples of 16) to [N, D] float32 embeddings."""
        norm = layers.normalization('batch', dtype=self.dtype, axis_name=self.axis_name)
        if self.grey:
            x = jnp.sum(x * jnp.asarray(GREY, x.dtype), axis=-1, keepdims=True)
        padding = int(self.padded)
        x = layers.conv(self.width, 3, padding=padding, dtype=self.dtype, name='conv1')(x)
        x = norm(train=train, name='bn1')(x)
        x = layers.PReLU(shared=True, dtype=self.dtype, name='prelu')(x)
        x = nn.max_pool(x, (2, 2), (2, 2))
        for stage, depth in enumerate(self.depths):
            for i in range(depth):
                x = Block(
                    features=self.width * 2**stage,
                    stride=2 if i == 0 and stage > 0 else 1,
                    squeeze_excite=self.squeeze_excite,
                    dtype=self.dtype,
                    axis_name=self.axis_name,
                    name=f'layer{stage + 1}_{i}',
                )(x, train)
        x = norm(train=train, name='bn2')(x)
        x = x.reshape(x.shape[0], -1).astype(jnp.float32)
        x = nn.Dense(self.embedding, name='fc')(x)
        head = layers.normalization('batch', axis_name=self.axis_name)
        return head(train=train, name='features')(x)


def _of(depths, parameters):
    # The mean and deviation of ImageNet.
    input = InputSpec(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), mirror='none')
    return Variant(functools.partial(ArcFaceResNet, depths=depths), input, parameters)


VARIANTS = {
    'arcface_resnet18': _of((2, 2, 2, 2), 21_785_161),
    'arcface_resnet34': _of((3, 4, 6, 3), 31_969_165),
    'arcface_resnet101': _of((3, 4, 23, 3), 52_193_215),
    'arcface_resnet152': _of((3, 8, 36, 3), 68_850_129),
    'arcface_resnet18_grey': Variant(
        functools.partial(ArcFaceResNet, squeeze_excite=False, grey=True, padded=True),
        InputSpec(height=128, width=128, mirror='concat'),
        25_627_081,
    ),
}
