"""A tiny generator before a tiny target, and what an auditor would have measured of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference.inversion import objective, optimize, scene
from fr_inference.measuring import distances
from fr_inference.membership import logistic
from fr_inference.models import stylegan2
from tests.membership.backbones import Small, target_of

PLAN = optimize.Plan(
    draws=12, candidates=6, steps=12, keep=3, pictures=2, learning_rate=0.1, batch=4, seed=3
)


@functools.cache
def networks():
    """Returns (generator, its variables, target), which compile in a moment."""
    generator = stylegan2.Generator(
        8, z_dim=8, w_dim=8, channel_base=128, channel_max=16, mapping_layers=2
    )
    made = _filled(jax.eval_shape(generator.init, jax.random.key(0), jnp.zeros((1, 8))))
    return generator, made, target_of(Small(embedding=16), size=16)


def _filled(shapes):
    """Weights as at the beginning of training; StyleGAN2's kernels are scaled where they are used."""
    draw = np.random.default_rng(0)

    def fill(path, leaf):
        values = draw.normal(size=leaf.shape).astype(np.float32)
        names = [part.key for part in path]
        if names[-1] in ('kernel', 'const') or names[-1].startswith('noise_'):
            return values * np.float32(100 if 'mapping' in names else 1)
        return (1 if 'affine' in names else 0) + np.float32(0.1) * np.abs(values)

    return jax.tree_util.tree_map_with_path(fill, shapes)


@functools.cache
def world(space):
    """Returns (scene, constants, z_dim)."""
    generator, made, target = networks()
    seen = scene.make(generator, target, space=space)
    draw = np.random.default_rng(0)
    layers = len(distances.layer_names(target))
    features = draw.normal(size=(40, layers)).astype(np.float32)
    member = np.arange(40) < 20
    features[member] += 0.5
    fitted = logistic.fit(features, member)
    z = jax.random.normal(jax.random.key(2), (64, 8))
    latents = jax.jit(jax.vmap(lambda z: seen.to_latent(made, z)))(z)
    guide = objective.make_guide(fitted, features[member], np.asarray(latents).reshape(-1, 8))
    constants = optimize.Constants(
        generator=made,
        target=target.variables,
        guide=guide,
        key=jax.random.key(0),
    )
    return seen, constants, 8
