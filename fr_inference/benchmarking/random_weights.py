"""Creates networks with random weights, as fast as trained ones, without compiling anything.

Weights are not zero, because a GPU multiplies zeros with less power, and therefore faster.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference.models import registry, stylegan2
from fr_inference.models.stylegan2 import Generator, Trained
from fr_inference.models.target import InputSpec, Target

_ONES = ('var', 'scale')  # of BatchNorm
_LOW = 8  # NVIDIA's networks compute the four largest resolutions in half precision


def backbone(
    name: str, config: Mapping[str, Any] | None = None, input: InputSpec | None = None
) -> Target:
    """Returns a backbone whose features keep their magnitude from layer to layer.

    Args:
      name: in `registry.VARIANTS`.
      config: overrides of its hyper-parameters.
      input: the images that it expects; those of the variant by default.
    """
    config = dict(config or {})
    input = input or registry.VARIANTS[name].input
    abstract = registry.abstract_variables(registry.build(name, **config), input)
    draw = np.random.default_rng(0)

    def filled(path, leaf):
        if path[-1].key in _ONES:
            return np.ones(leaf.shape, leaf.dtype)
        inputs = math.prod(leaf.shape[:-1]) if len(leaf.shape) > 1 else 100
        return draw.standard_normal(leaf.shape, np.float32) / np.float32(math.sqrt(inputs))

    variables = jax.tree_util.tree_map_with_path(filled, abstract)
    return registry.make_target(name, variables, config=config, input=input)


def generator(resolution: int, dtype: str, **sizes: Any) -> Trained:
    """Returns StyleGAN2 at its initial distribution: kernels of unit variance, scaled at run time.

    Args:
      resolution: of its images, pixels.
      dtype: 'bfloat16' for the four largest resolutions in half precision, else 'float32'.
      **sizes: other hyper-parameters of `Generator`.
    """
    low = max(4, resolution // _LOW) if dtype == 'bfloat16' else None
    module = Generator(resolution, low_precision_from=low, **sizes)
    z = jax.ShapeDtypeStruct((1, module.z_dim), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    draw = np.random.default_rng(0)

    def filled(path, leaf):
        names = [part.key for part in path]
        if names[-1] in ('bias', 'noise_strength', 'w_avg'):
            return np.full(leaf.shape, names[-2] == 'affine', leaf.dtype)
        deviation = 1 / stylegan2.Mapping.multiplier if 'mapping' in names else 1
        return draw.standard_normal(leaf.shape, np.float32) * np.float32(deviation)

    abstract = jax.eval_shape(module.init, key, z)
    variables = jax.tree_util.tree_map_with_path(filled, abstract)
    return Trained(name=f'random StyleGAN2-{resolution}', module=module, variables=variables)
