"""IR and IR-SE, the `Backbone` family of InsightFace_Pytorch, face.evoLVe, FaceX-Zoo and AdaFace.

Deng et al., "ArcFace", arXiv 1801.07698 (IR); Hu et al., "Squeeze-and-Excitation Networks",
arXiv 1709.01507 (SE, reduction 16); Kim et al., "AdaFace", arXiv 2204.00964 (one more norm per block).
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


class Block(nn.Module):
    """norm, conv3x3, optional norm, PReLU, conv3x3 (with the stride), norm, SE or not, shortcut."""

    features: int
    stride: int
    squeeze_excite: bool
    middle_norm: bool
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps [N, H, W, C] to [N, H / stride, W / stride, features]."""
        norm = layers.normalization('batch', dtype=self.dtype, axis_name=self.axis_name)
        if x.shape[-1] == self.features:
            shortcut = x[:, :: self.stride, :: self.stride]
        else:
            shortcut = layers.conv(
                self.features, 1, stride=self.stride, dtype=self.dtype, name='shortcut_conv'
            )(x)
            shortcut = norm(train=train, name='shortcut_bn')(shortcut)
        y = norm(train=train, name='bn1')(x)
        y = layers.conv(self.features, 3, padding=1, dtype=self.dtype, name='conv1')(y)
        if self.middle_norm:
            y = norm(train=train, name='middle_bn')(y)
        y = layers.PReLU(dtype=self.dtype, name='prelu')(y)
        y = layers.conv(
            self.features, 3, stride=self.stride, padding=1, dtype=self.dtype, name='conv2'
        )(y)
        y = norm(train=train, name='bn2')(y)
        if self.squeeze_excite:
            y = layers.SqueezeExcite(dtype=self.dtype, name='se')(y)
        return shortcut + y


class IR(nn.Module):
    """Stem, four stages at stride 2, head.

    Attributes:
      depths: blocks in each of the four stages.
      squeeze_excite: IR-SE instead of IR.
      middle_norm: a norm between the first convolution and the PReLU of each block (AdaFace).
      affine_head: whether the norm of the embedding has scale and bias.
      unit_length: whether embeddings are scaled to unit length.
      embedding: length D of the embedding.
      dtype: of the arithmetic (parameters and embeddings are float32).
      axis_name: mapped axis over which BatchNorm averages its statistics while training.
    """

    depths: Sequence[int] = hyperparameter((3, 4, 14, 3), total=128)
    squeeze_excite: bool = False
    middle_norm: bool = False
    affine_head: bool = True
    unit_length: bool = True
    embedding: int = 512
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps [N, H, W, 3] normalised images (H, W multiples of 16) to [N, D] float32 embeddings."""
        norm = layers.normalization('batch', dtype=self.dtype, axis_name=self.axis_name)
        x = layers.conv(64, 3, padding=1, dtype=self.dtype, name='conv1')(x)
        x = norm(train=train, name='bn1')(x)
        x = layers.PReLU(dtype=self.dtype, name='prelu')(x)
        for stage, depth in enumerate(self.depths):
            for i in range(depth):
                x = Block(
                    features=64 * 2**stage,
                    stride=2 if i == 0 else 1,
                    squeeze_excite=self.squeeze_excite,
                    middle_norm=self.middle_norm,
                    dtype=self.dtype,
                    axis_name=self.axis_name,
                    name=f'layer{stage + 1}_{i}',
                )(x, train)
        x = norm(train=train, name='bn2')(x)
        x = x.reshape(x.shape[0], -1).astype(jnp.float32)
        x = nn.Dense(self.embedding, name='fc')(x)
        head = layers.normalization('batch', axis_name=self.axis_name)
        x = head(train=train, affine=self.affine_head, name='features')(x)
        return layers.unit(x) if self.unit_length else x


def _of(depths, squeeze_excite, parameters):
    # The widely used IR-SE file is from InsightFace_Pytorch, which stores its training images with red
    # and blue exchanged.
    input = InputSpec(colour='bgr' if squeeze_excite else 'rgb')
    build = functools.partial(IR, depths=depths, squeeze_excite=squeeze_excite)
    return Variant(build, input, parameters)


def _adaface(depths, parameters):
    build = functools.partial(IR, depths=depths, middle_norm=True, affine_head=False)
    return Variant(build, InputSpec(colour='bgr'), parameters)


VARIANTS = {
    'ir50': _of((3, 4, 14, 3), False, 43_574_976),
    'ir100': _of((3, 13, 30, 3), False, 65_129_792),
    'ir152': _of((3, 8, 36, 3), False, 70_737_600),
    'irse50': _of((3, 4, 14, 3), True, 43_797_696),
    'irse100': _of((3, 13, 30, 3), True, 65_502_016),
    'irse152': _of((3, 8, 36, 3), True, 71_148_736),
    'adaface_ir18': _adaface((2, 2, 2, 2), 24_020_352),
    'adaface_ir34': _adaface((3, 4, 6, 3), 34_134_080),
    'adaface_ir50': _adaface((3, 4, 14, 3), 43_585_600),
    'adaface_ir101': _adaface((3, 13, 30, 3), 65_150_912),
}
