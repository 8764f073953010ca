"""A target: a backbone as data. Whatever file it came from, everything else sees only this."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fr_inference import errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What a backbone expects to see.

    Attributes:
      height: pixels.
      width: pixels.
      mean: per channel (R, G, B), on the scale 0 to 255.
      std: per channel, on the scale 0 to 255.
    """

    height: int = 112
    width: int = 112
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)

    def __post_init__(self):
        for side in (self.height, self.width):
            errors.require(
                1 <= side <= 4096, f'input size: found {side} pixels, expected 1 to 4096'
            )
        errors.require(
            len(self.mean) == len(self.std) == 3
            and all(map(math.isfinite, (*self.mean, *self.std)))
            and min(self.std) > 0,
            f'input mean and std: found {self.mean} and {self.std}, '
            'expected three numbers each, std above 0',
        )

    def normalize(self, images: jax.Array) -> jax.Array:
        """Maps [..., H, W, 3] images on the scale 0 to 255 to normalised float32."""
        mean = jnp.asarray(self.mean, jnp.float32)
        std = jnp.asarray(self.std, jnp.float32)
        return (images.astype(jnp.float32) - mean) / std


Apply = Callable[[Any, jax.Array], jax.Array]
"""`apply(variables, images)`: [N, H, W, 3] float32 normalised -> [N, D] embeddings, eval mode."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """A backbone as data.

    Attributes:
      name: how reports call it.
      apply: see `Apply`; must not change the variables.
      variables: {'params': ..., 'batch_stats': ...} (the latter absent without BatchNorm).
      input: what images it expects.
      architecture: name in `registry.VARIANTS`, or 'custom'.
      config: overrides of that variant's hyper-parameters (JSON-able).
      module: the Linen module; None for a bare `apply`.
      sha256: of the file or the variables it came from, '' when unknown.
      recipe: how it was trained (JSON-able), None when unknown.
      notes: what the reader has to say (set aside heads, dtype changes), one line each.
    """

    name: str
    apply: Apply
    variables: Any
    input: InputSpec
    architecture: str = 'custom'
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    module: nn.Module | None = None
    sha256: str = ''
    recipe: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
