"""What an attack measures of an image beyond distances and embedding."""

import dataclasses
from collections.abc import Callable

import jax


@dataclasses.dataclass(frozen=True)
class Feature:
    """Numbers that are computed and kept for each image.

    Attributes:
      name: in `Measurements.extra`.
      function: (image [H, W, 3] float32 0 to 255, embedding [D], distances [L]) -> [F] float32; pure,
        traced by JAX.
    """

    name: str
    function: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
