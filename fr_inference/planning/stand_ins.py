"""Stand-ins for data that need not be present: numbers of images, architectures, resolutions.

A path or an embedded name is opened: images are counted, and only the shapes of weights are kept.
"""

import dataclasses
import os
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors
from fr_inference.config import Reading
from fr_inference.data import sources
from fr_inference.models import registry, stylegan2
from fr_inference.models.stylegan2 import Trained
from fr_inference.models.target import Target
from fr_inference.weights.generators import open_generator
from fr_inference.weights.targets import open_target

_IMAGES_OF_ONE = 10  # photographs per person if their number is not given


@dataclasses.dataclass(frozen=True)
class Amount:
    """Numbers of images and of people."""

    images: int
    people: int


def faces(value: str, field: str, reading: Reading | None = None) -> Amount:
    """Returns the counts in a number (IMAGES or IMAGES:PEOPLE), or counts the faces that a text names.

    >>> faces('4096', 'members'), faces('490623:10572', 'faces')
    (Amount(images=4096, people=409), Amount(images=490623, people=10572))

    Raises:
      InputError: for more people than images, and for what cannot be opened.
    """
    found = re.fullmatch(r'([1-9]\d{0,11})(?::([1-9]\d{0,11}))?', value)
    if not found:
        opened = sources.open_faces(value, field, reading=reading)
        return Amount(len(opened), len(set(opened.identities)))
    images = int(found[1])
    people = int(found[2]) if found[2] else max(1, images // _IMAGES_OF_ONE)
    if people > images:
        raise errors.InputError(field, value, 'IMAGES:PEOPLE, at least one image of each')
    return Amount(images, people)


def number(value: str) -> int | None:
    """Returns the number in a text, None if it is not a number."""
    return int(value) if re.fullmatch(r'[1-9]\d{0,11}', value) else None


def backbone(
    value: str,
    field: str,
    *,
    dtype: str | None = None,
    changes: Any = None,
    part: str | None = None,
) -> Target:
    """Returns a backbone with shapes instead of weights, from an architecture or a checkpoint.

    Args:
      value: a name in `registry.VARIANTS`, or what `open_target` takes.
      field: how errors call it.
      dtype: of the arithmetic; float32 for an architecture, for a checkpoint its own.
      changes: given fields of its `InputSpec`.
      part: of a checkpoint.
    """
    if value in registry.VARIANTS and not os.path.exists(value):
        config = {'dtype': dtype} if dtype else {}
        return of_architecture(value, config, changes)
    opened = open_target(value, dtype=dtype, input=changes, part=part, field=field)
    return dataclasses.replace(opened, variables=shapes(opened.variables))


def of_architecture(name: str, config: Any, changes: Any = None) -> Target:
    """Returns a registered architecture with shapes instead of weights."""
    spec = registry.VARIANTS[name].input.changed(changes or {})
    abstract = registry.abstract_variables(registry.build(name, **config), spec)
    return registry.make_target(name, abstract, config=config, input=spec)


def generator(value: str) -> Trained:
    """Returns a generator with shapes instead of weights: StyleGAN2 of a resolution, or an opened one.

    Raises:
      InputError: for a number that is not a resolution.
    """
    resolution = number(value)
    if resolution is None:
        opened = open_generator(value)
        return dataclasses.replace(opened, variables=shapes(opened.variables))
    if resolution & (resolution - 1) or not 4 <= resolution <= 1024:
        raise errors.InputError('generator', value, 'a power of two from 4 to 1024')
    # The four largest resolutions in half precision, as NVIDIA's networks.
    low = max(4, resolution // 8)
    module = stylegan2.Generator(resolution, low_precision_from=low)
    z = jax.ShapeDtypeStruct((1, module.z_dim), jnp.float32)
    variables = jax.eval_shape(module.init, jax.eval_shape(lambda: jax.random.key(0)), z)
    return Trained(name=f'StyleGAN2-{resolution}', module=module, variables=variables)


def shapes(tree: Any) -> Any:
    """Returns the shapes and dtypes of a pytree of arrays."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype), tree)


def narrow(*networks: Target | Trained) -> bool:
    """Whether any part of some networks computes in bfloat16."""
    return any(
        one.module.low_precision_from is not None
        if isinstance(one, Trained)
        else getattr(one.module, 'dtype', None) == jnp.bfloat16
        for one in networks
    )


def dtype(target: Target) -> str:
    """Returns the dtype of a backbone's arithmetic."""
    return jnp.dtype(getattr(target.module, 'dtype', jnp.float32)).name
