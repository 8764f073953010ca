"""The vision transformers of insightface's `arcface_torch`: patches of 9 x 9, no class token.

Dosovitskiy et al., arXiv 2010.11929; all tokens together give the embedding, through two dense layers
with a norm after each. Only these two norms keep statistics of the training.
"""

import functools
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from fr_inference import errors
from fr_inference.models import layers
from fr_inference.models.target import InputSpec
from fr_inference.models.variants import Variant


class Value(nn.Module):
    """A single parameter, named `value`."""

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self) -> jax.Array:
        """Returns the parameter."""
        return self.param('value', nn.initializers.normal(0.02), self.shape, jnp.float32)


class Attention(nn.Module):
    """Attention of every token to every token."""

    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [N, T, C] to [N, T, C]."""
        count, tokens, width = x.shape
        packed = nn.Dense(3 * width, use_bias=False, dtype=self.dtype, name='qkv')(x)
        packed = packed.reshape(count, tokens, 3, self.heads, width // self.heads)
        query, key, value = (packed[:, :, i].astype(jnp.float32) for i in range(3))
        scores = jnp.einsum('nqhc,nkhc->nhqk', query, key) * (width // self.heads) ** -0.5
        mixed = jnp.einsum('nhqk,nkhc->nqhc', nn.softmax(scores), value)
        mixed = mixed.reshape(count, tokens, width).astype(self.dtype)
        return nn.Dense(width, dtype=self.dtype, name='proj')(mixed)


class ViT(nn.Module):
    """Patches, blocks of attention and dense layers with ReLU6, head.

    Attributes:
      patch: height and width of a patch, in pixels; pixels left over at the borders are ignored.
      width: features of a token.
      depth: number of blocks.
      heads: of the attention.
      hidden: features between the two dense layers of a block.
      embedding: length D of the embedding.
      dtype: of the arithmetic (parameters and embeddings are float32).
      axis_name: mapped axis over which BatchNorm averages its statistics while training.
    """

    patch: int = 9
    width: int = 512
    depth: int = 12
    heads: int = 8
    hidden: int = 2048
    embedding: int = 512
    dtype: Any = jnp.float32
    axis_name: str | None = None
    epsilon: ClassVar[float] = 2e-5  # of the two BatchNorm layers

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps [N, H, W, 3] normalised images to [N, D] float32 embeddings (not of unit length).

        No token is masked in training mode, unlike in the reference.
        """
        if self.width % self.heads or self.depth > 128:
            raise errors.InputError(
                'heads',
                f'{self.heads} of width {self.width}',
                'a divisor of it, in up to 128 blocks',
            )
        norm = functools.partial(
            nn.LayerNorm, epsilon=1e-5, use_fast_variance=False, dtype=self.dtype
        )
        x = nn.Conv(
            self.width,
            (self.patch, self.patch),
            strides=(self.patch, self.patch),
            padding='VALID',
            dtype=self.dtype,
            name='patch_embed',
        )(x)
        x = x.reshape(x.shape[0], -1, self.width)
        x = x + Value((1, x.shape[1], self.width), name='pos_embed')().astype(self.dtype)
        # The reference uses it for masked tokens in training; here it only keeps the file complete.
        Value((1, 1, self.width), name='mask_token')()
        for i in range(self.depth):
            block = f'block{i}'
            y = norm(name=f'{block}_norm1')(x)
            x = x + Attention(self.heads, dtype=self.dtype, name=f'{block}_attn')(y)
            y = norm(name=f'{block}_norm2')(x)
            y = nn.Dense(self.hidden, dtype=self.dtype, name=f'{block}_fc1')(y)
            y = jnp.clip(y, 0, 6)
            x = x + nn.Dense(self.width, dtype=self.dtype, name=f'{block}_fc2')(y)
        x = norm(name='norm')(x).astype(jnp.float32).reshape(x.shape[0], -1)
        head = layers.normalization('batch', epsilon=self.epsilon, axis_name=self.axis_name)
        x = nn.Dense(self.width, use_bias=False, name='fc1')(x)
        x = head(train=train, name='bn1')(x)
        x = nn.Dense(self.embedding, use_bias=False, name='fc2')(x)
        return head(train=train, name='bn2')(x)


def _of(width, depth, parameters):
    build = functools.partial(ViT, width=width, depth=depth, hidden=4 * width)
    return Variant(build, InputSpec(), parameters)


VARIANTS = {
    'vit_t': _of(256, 12, 19_137_792),
    'vit_s': _of(512, 12, 76_023_296),
    'vit_b': _of(512, 24, 113_833_472),
    'vit_l': _of(768, 24, 255_684_352),
    'vit_h': _of(1024, 48, 756_393_984),
}
