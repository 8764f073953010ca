"""Features that an attack measures for an image besides distances and embedding."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from fr_inference import errors
from fr_inference.measuring.distances import Look, Network
from fr_inference.models.target import Target

_ADDRESS = re.compile('0x[0-9a-f]+')  # of an object in this process


@dataclasses.dataclass(frozen=True)
class Feature:
    """Numbers that are computed and stored for each image.

    Attributes:
      name: in `Measurements.extra`.
      function: (what the backbone shows of the image, the backbone itself for further passes) -> [F]
        float32; pure, traced by JAX for one image.
    """

    name: str
    function: Callable[[Look, Network], jax.Array]


def described(features: Sequence[Feature], target: Target) -> tuple[list[int], list[Any]]:
    """Returns the length F of each feature, and a description of its computation for the cache.

    Args:
      features: with different names.
      target: the backbone that looks at the images.

    Raises:
      InputError: for two features of one name, and one that does not return [F] float32.
    """
    names = [feature.name for feature in features]
    if len(set(names)) < len(names):
        raise errors.InputError('features', names, 'different names')
    if not features:
        return [], []
    image = jax.ShapeDtypeStruct((target.input.height, target.input.width, 3), jnp.float32)
    variables = jax.eval_shape(lambda variables: variables, target.variables)
    look = jax.eval_shape(
        lambda *given: _network(target, given[0]).look(given[1]), variables, image
    )
    widths, programs = [], []
    for feature in features:

        def function(look, variables, feature=feature):
            return feature.function(look, _network(target, variables))

        found = jax.eval_shape(function, look, variables)
        shape, dtype = getattr(found, 'shape', None), getattr(found, 'dtype', None)
        if shape is None or len(shape) != 1 or dtype != jnp.float32:
            raise errors.InputError(
                'features', str(found)[:200], 'an array [F] of float32', inside=feature.name
            )
        widths.append(shape[0])
        # A changed feature must not get the cached values of the old one.
        program = str(jax.make_jaxpr(function)(look, variables))
        programs.append([feature.name, _ADDRESS.sub('', program)])
    return widths, programs


def _network(target, variables):
    return Network(apply=target.apply, variables=variables, input=target.input)
