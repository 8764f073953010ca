"""MobileFaceNet (Chen et al., arXiv 1804.07573) in the forms of public checkpoints.

`mobilefacenet_prelu` is Xiaoccer/MobileFaceNet_Pytorch: 112 high x 96 wide. `mobilefacenet_relu6` is
foamliu/MobileFaceNet: ReLU6 (ReLU in the stem), a bias in the last convolution. `mobilefacenet` is
TreB1eN/InsightFace_Pytorch, whose code face.evoLVe, FaceX-Zoo and CurricularFace reuse. `mbf` and
`mbf_large` are insightface's `arcface_torch`: wider, with filters of two or four channels in the stem.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fr_inference import errors
from fr_inference.models import layers
from fr_inference.models.target import InputSpec
from fr_inference.models.variants import Variant, hyperparameter

ACTIVATIONS = ('prelu', 'relu', 'relu6')
STEMS = ('depthwise', 'separable', 'none')
HEADS = ('depthwise', 'mean')
SE_REDUCTION = 4

Row = tuple[int, int, int, int]
"""(expansion factor, output channels, number of blocks, stride of the first)."""

PAPER: tuple[Row, ...] = (
    (2, 64, 5, 2),
    (4, 128, 1, 2),
    (2, 128, 6, 1),
    (4, 128, 1, 2),
    (2, 128, 2, 1),
)


def bottlenecks(rows: Iterable[Row], inputs: int) -> dict[str, tuple[int, ...]]:
    """Returns `expanded`, `channels` and `strides` of the blocks for a table in the paper's form.

    >>> bottlenecks([(2, 8, 2, 2)], 4)
    {'expanded': (8, 16), 'channels': (8, 8), 'strides': (2, 1)}
    """
    blocks = []
    for expansion, channels, count, stride in rows:
        for i in range(count):
            blocks.append((inputs * expansion, channels, stride if i == 0 else 1))
            inputs = channels
    expanded, channels_out, strides = zip(*blocks, strict=True)
    return {'expanded': expanded, 'channels': channels_out, 'strides': strides}


_PAPER = bottlenecks(PAPER, 64)


class MobileFaceNet(nn.Module):
    """Stem, inverted bottlenecks, global depthwise convolution or mean, linear head.

    Attributes:
      activation: 'prelu', 'relu' or 'relu6'.
      stem: what follows the first convolution: 'depthwise', 'separable' (depthwise, pointwise; both with
        ReLU) or 'none'.
      stem_channels: output channels of the first convolution.
      stem_group: input channels that each filter of the stem's depthwise convolution sees.
      expanded: features between the pointwise convolutions of each block.
      channels: output channels of each block; a block of stride 1 that keeps them adds its input.
      strides: of each block.
      squeeze_excite: with SE of reduction 4 before each block's last convolution.
      last_channels: channels of the last map.
      head: how the last map becomes one pixel: 'depthwise' or 'mean'.
      use_bias: whether the linear head has a bias.
      unit_length: whether embeddings are scaled to unit length.
      embedding: length D of the embedding.
      norm: 'batch', 'group', 'layer' or 'instance'.
      dtype: of the arithmetic (parameters and embeddings are float32).
      axis_name: mapped axis over which BatchNorm averages its statistics while training.
    """

    activation: str = hyperparameter('prelu', choices=ACTIVATIONS)
    stem: str = hyperparameter('depthwise', choices=STEMS)
    stem_channels: int = 64
    stem_group: int = 1
    expanded: Sequence[int] = hyperparameter(_PAPER['expanded'], longest=64)
    channels: Sequence[int] = hyperparameter(_PAPER['channels'], longest=64)
    strides: Sequence[int] = hyperparameter(_PAPER['strides'], longest=64)
    squeeze_excite: bool = False
    last_channels: int = 512
    head: str = hyperparameter('depthwise', choices=HEADS)
    use_bias: bool = False
    unit_length: bool = False
    embedding: int = 128
    norm: str = hyperparameter('batch', choices=layers.NORMALIZATIONS)
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps [N, H, W, 3] normalised images to [N, D] float32 embeddings."""
        self._check()
        norm = layers.normalization(self.norm, dtype=self.dtype, axis_name=self.axis_name)

        def normed(x, name, activate=True):
            x = norm(train=train, name=f'{name}_bn')(x)
            if not activate:
                return x
            if self.activation == 'prelu':
                return layers.PReLU(dtype=self.dtype, name=f'{name}_prelu')(x)
            return relu6(x) if self.activation == 'relu6' else nn.relu(x)

        def conv(features, kernel, name, **options):
            return layers.conv(features, kernel, dtype=self.dtype, name=name, **options)

        def depthwise(name, **options):
            return layers.DepthwiseConv((3, 3), padding=1, dtype=self.dtype, name=name, **options)

        x = normed(conv(self.stem_channels, 3, 'conv1', stride=2, padding=1)(x), 'conv1')
        if self.stem == 'depthwise':
            x = normed(depthwise('dw_conv', group=self.stem_group)(x), 'dw_conv')
        elif self.stem == 'separable':
            x = nn.relu(normed(depthwise('dw_conv')(x), 'dw_conv', activate=False))
            x = conv(self.stem_channels, 1, 'dw_conv_point')(x)
            x = nn.relu(normed(x, 'dw_conv_point', activate=False))
        rows = zip(self.expanded, self.channels, self.strides, strict=True)
        for index, (expanded, channels, stride) in enumerate(rows):
            name = f'block{index}'
            y = normed(conv(expanded, 1, f'{name}_expand')(x), f'{name}_expand')
            y = normed(depthwise(f'{name}_depth', stride=stride)(y), f'{name}_depth')
            if self.squeeze_excite:
                gate = layers.SqueezeExcite(SE_REDUCTION, dtype=self.dtype, name=f'{name}_se')
                y = gate(y)
            y = conv(channels, 1, f'{name}_project')(y)
            y = normed(y, f'{name}_project', activate=False)
            x = x + y if y.shape == x.shape else y
        x = normed(conv(self.last_channels, 1, 'conv2')(x), 'conv2')
        if self.head == 'depthwise':
            whole = (x.shape[1], x.shape[2])
            x = layers.DepthwiseConv(whole, dtype=self.dtype, name='global_depth')(x)
            x = normed(x, 'global_depth', activate=False)
        else:
            x = jnp.mean(x, axis=(1, 2), keepdims=True)
        x = x.astype(jnp.float32)
        x = layers.conv(self.embedding, 1, use_bias=self.use_bias, name='embed')(x)
        norm = layers.normalization(self.norm, axis_name=self.axis_name)
        x = norm(train=train, name='embed_bn')(x)
        x = x.reshape(x.shape[0], -1)
        return layers.unit(x) if self.unit_length else x

    def _check(self):
        errors.one_of('activation', self.activation, ACTIVATIONS)
        errors.one_of('stem', self.stem, STEMS)
        errors.one_of('head', self.head, HEADS)
        lengths = {len(self.expanded), len(self.channels), len(self.strides)}
        if len(lengths) > 1:
            raise errors.InputError(
                'channels',
                f'{len(self.channels)}, {len(self.expanded)} expanded, {len(self.strides)} strides',
                'the same number of each, one for each block',
            )
        if self.stem_channels % self.stem_group:
            raise errors.InputError(
                'stem_group', str(self.stem_group), f'a divisor of {self.stem_channels}'
            )


def relu6(x: jax.Array) -> jax.Array:
    """min(max(x, 0), 6)."""
    return jnp.clip(x, 0, 6)


def _mbf(scale, counts, stem):
    """Returns insightface's table, in which the expanded features do not grow with the scale."""
    first, second, third, last = counts
    rows = [(128, 64 * scale, 1)] * (first if stem == 'none' else 0)
    rows += [(128, 64 * scale, 2), *[(128, 64 * scale, 1)] * second]
    rows += [(256, 128 * scale, 2), *[(256, 128 * scale, 1)] * third]
    rows += [(512, 128 * scale, 2), *[(256, 128 * scale, 1)] * last]
    expanded, channels, strides = zip(*rows, strict=True)
    return functools.partial(
        MobileFaceNet,
        stem=stem,
        stem_channels=64 * scale,
        stem_group=scale if stem == 'depthwise' else 1,
        expanded=expanded,
        channels=channels,
        strides=strides,
        embedding=512,
    )


VARIANTS = {
    'mobilefacenet_prelu': Variant(
        MobileFaceNet, InputSpec(width=96, std=(128.0, 128.0, 128.0), mirror='concat'), 999_552
    ),
    'mobilefacenet_relu6': Variant(
        functools.partial(MobileFaceNet, activation='relu6', stem='separable', use_bias=True),
        # The mean and deviation of ImageNet.
        InputSpec(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
        999_936,
    ),
    'mobilefacenet': Variant(
        functools.partial(MobileFaceNet, unit_length=True, embedding=512),
        InputSpec(colour='bgr'),
        1_200_512,
    ),
    'mbf': Variant(_mbf(2, (1, 4, 6, 2), 'depthwise'), InputSpec(), 2_059_520),
    'mbf_large': Variant(_mbf(4, (2, 8, 12, 4), 'none'), InputSpec(), 6_314_880),
}
