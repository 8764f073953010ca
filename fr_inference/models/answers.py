"""Changes embeddings so that they say less: noise, fewer numbers, coarser numbers, unit length."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from fr_inference import errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answers:
    """How embeddings are changed before anyone sees them, in the order of the attributes.

    An image always gets the same noise, so repeated queries, or queries with a slightly changed picture,
    do not average it away.

    Attributes:
      noise: standard deviation of the normal noise on each number, in units of the embedding's root
        mean square; 0 for none.
      largest: how many numbers are kept, those of largest magnitude; the rest become 0. 0 keeps all.
      bits: of each number, 2 to 16, scaled to the embedding's largest magnitude; 0 for no rounding.
      unit: whether embeddings are scaled to unit length. Cosines stay as they are.

    Raises:
      InputError: for values outside these ranges.
    """

    noise: float = 0.0
    largest: int = 0
    bits: int = 0
    unit: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.noise < float('inf'):
            raise errors.InputError('noise', self.noise, '0 or more')
        if self.largest < 0:
            raise errors.InputError('largest', self.largest, '0 or more')
        if self.bits and not 2 <= self.bits <= 16:
            raise errors.InputError('bits', self.bits, '2 to 16')
        if not isinstance(self.unit, bool):
            raise errors.InputError('unit', self.unit, 'true or false')

    def __bool__(self) -> bool:
        return self != Answers()

    def __str__(self) -> str:
        said = (
            f'noise of {self.noise:g} times the root mean square' if self.noise else '',
            f'the {self.largest} largest numbers only' if self.largest else '',
            f'{self.bits} bits a number' if self.bits else '',
            'unit length' if self.unit else '',
        )
        return ', '.join(one for one in said if one)

    def to_json(self) -> dict[str, Any]:
        """Returns the changes, by the name of their fields."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value}

    def __call__(self, embeddings: jax.Array) -> jax.Array:
        """Returns changed embeddings [N, D]; gradients pass through rounding unchanged."""
        return jax.vmap(self._one)(embeddings)

    def _one(self, embedding):
        given = embedding.reshape(-1)
        shown = given
        if self.noise:
            size = jnp.sqrt(jnp.mean(given**2))
            drawn = jax.random.normal(_key_of(given), given.shape, given.dtype)
            shown = shown + self.noise * size * drawn
        if 0 < self.largest < given.size:
            least = jax.lax.top_k(jnp.abs(shown), self.largest)[0][-1]
            shown = jnp.where(jnp.abs(shown) >= least, shown, 0)
        if self.bits:
            step = jnp.max(jnp.abs(shown)) / (2 ** (self.bits - 1) - 1)
            coarse = jnp.round(shown / jnp.maximum(step, 1e-30)) * step
            shown = shown + jax.lax.stop_gradient(coarse - shown)
        if self.unit:
            shown = shown * jax.lax.rsqrt(jnp.maximum(jnp.sum(shown**2), 1e-30))
        return shown.reshape(embedding.shape)


def _key_of(embedding):
    """Returns the key for an embedding's noise [D]; it depends on which numbers exceed their mean."""
    signs = (embedding > jnp.mean(embedding)).astype(jnp.uint32)
    odd = jax.random.bits(jax.random.key(20), embedding.shape, jnp.uint32) | jnp.uint32(1)
    first, second = (jnp.sum(signs * one, dtype=jnp.uint32) for one in (odd, odd * odd * odd))
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(21), first), second)
