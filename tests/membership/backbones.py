"""Small backbones that compile in a moment, with statistics that are not those of a fresh network."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fr_inference.data.faces import from_arrays
from fr_inference.models.target import InputSpec, Target

SIZE = 8


class Small(nn.Module):
    """One normalisation of maps [N, H, W, C] and one of vectors [N, C]."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(4, (3, 3), name='conv')(x)
        x = nn.BatchNorm(use_running_average=not train, name='bn')(x)
        x = nn.tanh(x).mean((1, 2))
        x = nn.Dense(5, name='fc')(x)
        return nn.BatchNorm(use_running_average=not train, use_scale=False, name='features')(x)


class Plain(nn.Module):
    """No normalisation: the embedding is all there is."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(6)(nn.relu(nn.Conv(4, (3, 3))(x)).mean((1, 2)))


def target_of(module, *, size=SIZE, seed=0, apply=None, name='small', **input):
    """Returns a Target of `module` with random weights and random statistics."""
    variables = module.init(jax.random.key(seed), jnp.zeros((1, size, size, 3), jnp.float32))
    generator = np.random.default_rng(seed)

    def shaken(path, leaf):
        noise = generator.normal(size=leaf.shape).astype(np.float32)
        return np.exp(0.5 * noise) if path[-1].key == 'var' else np.asarray(leaf) + 0.3 * noise

    return Target(
        name=name,
        apply=apply or (lambda variables, images: module.apply(variables, images)),
        variables=jax.tree_util.tree_map_with_path(shaken, variables),
        input=InputSpec(height=size, width=size, **input),
    )


def noise_faces(people, images=1, *, size=SIZE, seed=0, name='faces'):
    """Returns `people` times `images` images of noise; a person's resemble each other."""
    generator = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), images)
    base = generator.integers(0, 128, (people, size, size, 3), np.uint8)[person]
    own = generator.integers(0, 128, base.shape, np.uint8)
    return from_arrays(base + own, [f'{name}{number}' for number in person], name)


def assert_same_bytes(first, second):
    """Asserts that two pytrees are the same, bit for bit."""
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for one, two in zip(*map(jax.tree.leaves, (first, second)), strict=True):
        assert np.asarray(one).dtype == np.asarray(two).dtype
        assert np.asarray(one).tobytes() == np.asarray(two).tobytes()
