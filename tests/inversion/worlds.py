"""A tiny generator before a tiny target, and what an auditor would have measured of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference.inversion import objective, optimize, scene
from fr_inference.membership import attack, distances
from fr_inference.models import registry, stylegan2

PLAN = optimize.Plan(
    draws=12, candidates=6, steps=12, keep=3, pictures=2, learning_rate=0.1, batch=4, seed=3
)


@functools.cache
def world(space='w'):
    """Returns (scene, constants, z_dim)."""
    generator = stylegan2.Generator(
        16, z_dim=8, w_dim=8, channel_base=128, channel_max=16, mapping_layers=2
    )
    made = jax.jit(generator.init)(jax.random.key(0), jnp.zeros((1, 8)))
    module = registry.build('tiny', depths=[1, 1, 1, 1], width=8, embedding=16)
    spec = registry.VARIANTS['tiny'].input
    target = registry.make_target(
        'tiny',
        registry.init(module, spec, jax.random.key(1)),
        config={'depths': [1, 1, 1, 1], 'width': 8, 'embedding': 16},
    )
    seen = scene.make(generator, target, space=space)
    draw = np.random.default_rng(0)
    layers = len(distances.layer_names(target))
    features = draw.normal(size=(40, layers)).astype(np.float32)
    member = np.arange(40) < 20
    features[member] += 0.5
    fitted = attack.fit(features, member, attack.Options())
    z = jax.random.normal(jax.random.key(2), (64, 8))
    latents = jax.vmap(lambda z: seen.to_latent(made, z))(z)
    guide = objective.make_guide(fitted, features[member], np.asarray(latents).reshape(-1, 8))
    constants = optimize.Constants(
        generator=made,
        target=target.variables,
        guide=guide,
        key=jax.random.key(0),
    )
    return seen, constants, 8
