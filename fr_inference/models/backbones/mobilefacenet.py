"""MobileFaceNet (Chen et al., arXiv 1804.07573) in the two forms that public checkpoints have.

'prelu' is Xiaoccer/MobileFaceNet_Pytorch: PReLU, 112 high x 96 wide. 'relu6' is
foamliu/MobileFaceNet: ReLU6 (ReLU in the first separable convolution), 112 x 112, a bias in the last
convolution.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fr_inference import errors
from fr_inference.models import layers
from fr_inference.models.target import InputSpec
from fr_inference.models.variants import Variant, hyperparameter

FORMS = ('prelu', 'relu6')

# (expansion, channels, blocks, stride of the first), table 1 of the paper.
BOTTLENECKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


class MobileFaceNet(nn.Module):
    """Stem, fifteen inverted bottlenecks, global depthwise convolution, linear head.

    Attributes:
      form: 'prelu' or 'relu6'.
      embedding: length D of the embedding.
      dtype: of the arithmetic (parameters and embeddings are float32).
      axis_name: mapped axis over which BatchNorm averages its statistics while training.
    """

    form: str = hyperparameter('prelu', choices=FORMS)
    embedding: int = 128
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps [N, H, W, 3] normalised images to [N, D] float32 embeddings (not of unit length)."""
        errors.one_of('form', self.form, FORMS)
        norm = layers.normalization('batch', dtype=self.dtype, axis_name=self.axis_name)

        def activate(x, name):
            return (
                layers.PReLU(dtype=self.dtype, name=name)(x) if self.form == 'prelu' else relu6(x)
            )

        def conv(features, kernel, name, **options):
            return layers.conv(features, kernel, dtype=self.dtype, name=name, **options)

        x = conv(64, 3, 'conv1', stride=2, padding=1)(x)
        x = activate(norm(train=train, name='conv1_bn')(x), 'conv1_prelu')
        x = layers.DepthwiseConv((3, 3), padding=1, dtype=self.dtype, name='dw_conv')(x)
        x = norm(train=train, name='dw_conv_bn')(x)
        if self.form == 'prelu':
            x = activate(x, 'dw_conv_prelu')
        else:
            x = conv(64, 1, 'dw_conv_point')(nn.relu(x))
            x = nn.relu(norm(train=train, name='dw_conv_point_bn')(x))
        index = 0
        for expansion, features, blocks, stride in BOTTLENECKS:
            for i in range(blocks):
                name = f'block{index}'
                y = conv(x.shape[-1] * expansion, 1, f'{name}_expand')(x)
                y = activate(norm(train=train, name=f'{name}_expand_bn')(y), f'{name}_expand_prelu')
                y = layers.DepthwiseConv(
                    (3, 3),
                    stride=stride if i == 0 else 1,
                    padding=1,
                    dtype=self.dtype,
                    name=f'{name}_depth',
                )(y)
                y = activate(norm(train=train, name=f'{name}_depth_bn')(y), f'{name}_depth_prelu')
                y = conv(features, 1, f'{name}_project')(y)
                y = norm(train=train, name=f'{name}_project_bn')(y)
                x = x + y if y.shape == x.shape else y
                index += 1
        x = conv(512, 1, 'conv2')(x)
        x = activate(norm(train=train, name='conv2_bn')(x), 'conv2_prelu')
        x = layers.DepthwiseConv((x.shape[1], x.shape[2]), dtype=self.dtype, name='global_depth')(x)
        x = norm(train=train, name='global_depth_bn')(x).astype(jnp.float32)
        x = layers.conv(self.embedding, 1, use_bias=self.form == 'relu6', name='embed')(x)
        x = layers.normalization('batch', axis_name=self.axis_name)(train=train, name='embed_bn')(x)
        return x.reshape(x.shape[0], -1)


def relu6(x: jax.Array) -> jax.Array:
    """min(max(x, 0), 6)."""
    return jnp.clip(x, 0, 6)


VARIANTS = {
    'mobilefacenet_prelu': Variant(
        functools.partial(MobileFaceNet, form='prelu'),
        InputSpec(width=96, std=(128.0, 128.0, 128.0), mirror='concat'),
        999_552,
    ),
    'mobilefacenet_relu6': Variant(
        functools.partial(MobileFaceNet, form='relu6'),
        # The mean and deviation of ImageNet.
        InputSpec(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
        999_936,
    ),
}
