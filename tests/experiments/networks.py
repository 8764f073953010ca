"""A target, an evaluator, a generator and faces on disk: untrained, and as small as they can be."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from fr_inference.models import stylegan2
from fr_inference.weights import generators, native_targets
from tests.experiments import targets

EMBEDDING = 16  # of the backbones


def save(folder: pathlib.Path) -> None:
    """Writes 'target', 'evaluator' and 'generator' (4x4) below the folder."""
    for name, seed in (('target', 1), ('evaluator', 2)):
        fresh = targets.target_of(seed, embedding=EMBEDDING)
        native_targets.save_target(folder / name, fresh)
    module = stylegan2.Generator(
        4, z_dim=4, w_dim=4, channel_base=32, channel_max=4, mapping_layers=1
    )
    variables = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 4)))
    generators.save_generator(
        folder / 'generator',
        stylegan2.Trained(name='untrained', module=module, variables=variables),
    )


def save_faces(folder: pathlib.Path, people: int, images: int, *, seed: int) -> None:
    """Writes photographs of noise, 16 pixels high: each process would compile what draws faces."""
    noise = np.random.default_rng(seed).integers(0, 256, (people, images, 16, 16, 3), np.uint8)
    for person, own in enumerate(noise):
        (folder / f'{folder.name}{person:02d}').mkdir(parents=True)
        for number, image in enumerate(own):
            Image.fromarray(image).save(folder / f'{folder.name}{person:02d}' / f'{number}.png')
