"""What an attack measures of an image beyond distances and embedding."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from fr_inference import errors


@dataclasses.dataclass(frozen=True)
class Feature:
    """Numbers that are computed and kept for each image.

    Attributes:
      name: in `Measurements.extra`.
      function: (image [H, W, 3] float32 0 to 255, embedding [D], distances [L]) -> [F] float32; pure,
        traced by JAX for one image.
    """

    name: str
    function: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def described(
    features: Sequence[Feature], inputs: Sequence[jax.ShapeDtypeStruct]
) -> tuple[list[int], list[Any]]:
    """Returns the length F of each feature, and what it computes, for the cache's description.

    Args:
      features: with different names.
      inputs: shapes of the three arguments.

    Raises:
      InputError: for features of one name, and one that returns something else than [F] float32.
    """
    names = [feature.name for feature in features]
    if len(set(names)) < len(names):
        raise errors.InputError('features', names, 'different names')
    widths, programs = [], []
    for feature in features:
        found = jax.eval_shape(feature.function, *inputs)
        shape, dtype = getattr(found, 'shape', None), getattr(found, 'dtype', None)
        if shape is None or len(shape) != 1 or dtype != jnp.float32:
            raise errors.InputError(
                'features', str(found)[:200], 'an array [F] of float32', inside=feature.name
            )
        widths.append(shape[0])
        # A feature that was changed is not served what the old one gave.
        programs.append([feature.name, str(jax.make_jaxpr(feature.function)(*inputs))])
    return widths, programs
