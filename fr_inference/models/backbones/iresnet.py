"""IResNet, the backbone of ArcFace's reference code (insightface `arcface_torch`).

Duta et al., "Improved Residual Networks", arXiv 2004.04989; Deng et al., "ArcFace", arXiv 1801.07698.
MagFace, ElasticFace and TopoFR train the same network: MagFace with another epsilon and momentum,
ElasticFace with squeeze-and-excitation in one of its forms.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fr_inference.models import layers
from fr_inference.models.target import InputSpec
from fr_inference.models.variants import Variant, hyperparameter


class Block(nn.Module):
    """norm, conv3x3, norm, PReLU, conv3x3 (with the stride), norm, optional SE, plus the shortcut."""

    norm: Callable[..., Any]
    features: int
    stride: int
    project: bool
    squeeze_excite: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps [N, H, W, C] to [N, H / stride, W / stride, features]."""
        norm = self.norm
        y = norm(train=train, name='bn1')(x)
        y = layers.conv(self.features, 3, padding=1, dtype=self.dtype, name='conv1')(y)
        y = norm(train=train, name='bn2')(y)
        y = layers.PReLU(dtype=self.dtype, name='prelu')(y)
        y = layers.conv(
            self.features, 3, stride=self.stride, padding=1, dtype=self.dtype, name='conv2'
        )(y)
        y = norm(train=train, name='bn3')(y)
        if self.squeeze_excite:
            y = layers.SqueezeExcite(dtype=self.dtype, name='se')(y)
        if self.project:
            x = layers.conv(
                self.features, 1, stride=self.stride, dtype=self.dtype, name='downsample_conv'
            )(x)
            x = norm(train=train, name='downsample_bn')(x)
        return x + y


class IResNet(nn.Module):
    """Stem, four stages at stride 2, and the head: norm, flatten, dense, norm.

    Attributes:
      depths: blocks in each of the four stages.
      width: channels of the first stage; each further stage doubles them.
      embedding: length D of the embedding.
      squeeze_excite: with SE of reduction 16 at the end of each block.
      norm: 'batch', 'group', 'layer' or 'instance'.
      epsilon: of every norm.
      momentum: share of the running statistics that a training step keeps.
      dtype: of the arithmetic (parameters and embeddings are float32).
      axis_name: mapped axis over which BatchNorm averages its statistics while training.
    """

    depths: Sequence[int] = hyperparameter((3, 4, 14, 3), total=128)
    width: int = 64
    embedding: int = 512
    squeeze_excite: bool = False
    norm: str = hyperparameter('batch', choices=layers.NORMALIZATIONS)
    epsilon: float = 1e-5
    momentum: float = 0.9
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps [N, H, W, 3] normalised images to [N, D] float32 embeddings (not of unit length).

        H and W are multiples of 16. In training mode the head's last norm keeps its scale at 1
        (the trainer freezes `features/scale`), as in the reference.
        """
        normalization = functools.partial(
            layers.normalization,
            self.norm,
            epsilon=self.epsilon,
            momentum=self.momentum,
            axis_name=self.axis_name,
        )
        norm = normalization(dtype=self.dtype)
        x = layers.conv(self.width, 3, padding=1, dtype=self.dtype, name='conv1')(x)
        x = norm(train=train, name='bn1')(x)
        x = layers.PReLU(dtype=self.dtype, name='prelu')(x)
        for stage, depth in enumerate(self.depths):
            for i in range(depth):
                x = Block(
                    features=self.width * 2**stage,
                    stride=2 if i == 0 else 1,
                    project=i == 0,
                    squeeze_excite=self.squeeze_excite,
                    norm=norm,
                    dtype=self.dtype,
                    name=f'layer{stage + 1}_{i}',
                )(x, train)
        x = norm(train=train, name='bn2')(x)
        x = x.reshape(x.shape[0], -1).astype(jnp.float32)
        # The embedding itself is float32: half precision here costs accuracy and saves nothing.
        x = nn.Dense(self.embedding, name='fc')(x)
        return normalization()(train=train, name='features')(x)


def _of(depths, parameters):
    return Variant(functools.partial(IResNet, depths=depths), InputSpec(), parameters)


VARIANTS = {
    'iresnet18': _of((2, 2, 2, 2), 24_025_600),
    'iresnet34': _of((3, 4, 6, 3), 34_139_328),
    'iresnet50': _of((3, 4, 14, 3), 43_590_848),
    'iresnet100': _of((3, 13, 30, 3), 65_156_160),
    'iresnet200': _of((6, 26, 60, 6), 118_833_920),
    'tiny': Variant(
        functools.partial(IResNet, depths=(1, 1, 1, 1), width=8, embedding=32),
        InputSpec(height=32, width=32),
        86_104,
    ),
}
