"""A tiny generator before a tiny target, and what an auditor would have measured of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference.config import Search
from fr_inference.inversion import guidance, subject
from fr_inference.measuring import distances
from fr_inference.membership import logistic
from fr_inference.models import stylegan2
from tests.membership.backbones import Small, target_of

SEED = 3
WIDTH = 16  # of the target's embeddings
HOW = Search(
    draws=12, candidates=6, steps=12, keep=3, pictures=2, learning_rate=0.1, search_batch=4
)


@functools.cache
def networks():
    """Returns (target, generator), which compile in a moment."""
    module = stylegan2.Generator(
        4, z_dim=8, w_dim=8, channel_base=64, channel_max=16, mapping_layers=2
    )
    made = _filled(jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 8))))
    generator = stylegan2.Trained(name='tiny', module=module, variables=made)
    return target_of(Small(embedding=WIDTH), size=16), generator


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
def guide():
    """Returns an attack on the target, fitted on numbers that mean nothing."""
    draw = np.random.default_rng(0)
    layers = len(distances.layer_names(networks()[0]))
    features = draw.normal(size=(40, layers)).astype(np.float32)
    member = np.arange(40) < 20
    features[member] += 0.5
    return guidance.guide(logistic.fit(features, member), features[member])


@functools.cache
def subject_of(how=HOW, seed=SEED, guided=True):
    """Returns the target with its random latents, the same object at every call."""
    return subject.prepare(*networks(), how, seed=seed, guide=guide() if guided else None)
