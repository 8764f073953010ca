"""A target, an evaluator and a generator on disk, untrained and as small as they can be."""

import pathlib

import jax
import jax.numpy as jnp

from fr_inference.models import stylegan2
from fr_inference.models.target import InputSpec
from fr_inference.training import recognizer
from fr_inference.weights import generators, native_targets

EMBEDDING = 16
# Of the backbones, as flags and as hyper-parameters.
FLAGS = ('--arch=tiny', '--input_size=16', '--depths=1,1,1,1', '--width=8', '--embedding=16')
_CONFIG = {'depths': [1, 1, 1, 1], 'width': 8, 'embedding': EMBEDDING}


def save(folder: pathlib.Path) -> None:
    """Writes 'target', 'evaluator' and 'generator' (4x4) below the folder."""
    for name, seed in (('target', 1), ('evaluator', 2)):
        fresh = recognizer.fresh_target('tiny', _CONFIG, InputSpec(height=16, width=16), seed)
        native_targets.save_target(folder / name, fresh)
    module = stylegan2.Generator(
        4, z_dim=4, w_dim=4, channel_base=32, channel_max=4, mapping_layers=1
    )
    variables = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 4)))
    generators.save_generator(
        folder / 'generator',
        stylegan2.Trained(name='untrained', module=module, variables=variables),
    )
