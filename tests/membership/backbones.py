"""Small backbones that compile in a moment, their faces, and measurements that no backbone made."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fr_inference.data.faces import from_arrays
from fr_inference.measuring.measurements import Measurements
from fr_inference.membership.labelled import Labelled
from fr_inference.models.target import InputSpec, Target

SIZE = 8


class Small(nn.Module):
    """One normalisation of maps [N, H, W, C] and one of vectors [N, C]."""

    momentum: float = 0.99
    embedding: int = 5

    @nn.compact
    def __call__(self, x, train=False):
        norm = functools.partial(
            nn.BatchNorm, use_running_average=not train, momentum=self.momentum
        )
        x = norm(name='bn')(nn.Conv(4, (3, 3), name='conv')(x))
        x = nn.Dense(self.embedding, name='fc')(nn.tanh(x).mean((1, 2)))
        return norm(use_scale=False, name='features')(x)


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


def labelled_of(distances, member, identities, embeddings=None):
    """Returns measurements that no backbone made."""
    distances = np.asarray(distances, np.float32)
    count, layers = distances.shape
    if embeddings is None:
        embeddings = np.ones((count, 3))
    measured = Measurements(
        layers=tuple(f'layer{number}' for number in range(layers)),
        distances=distances,
        embeddings=np.asarray(embeddings, np.float32),
        identities=tuple(str(name) for name in identities),
        index=np.arange(count, dtype=np.int32),
    )
    return Labelled.of(measured, np.asarray(member))


def crowd(people=12, images=4, layers=5, shift=0.0, seed=0):
    """Log-normal distances and random embeddings; people below half are members, and closer."""
    generator = np.random.default_rng(seed)
    person = np.repeat(np.arange(2 * people), images)
    member = person < people
    logs = generator.normal(size=(len(person), layers)) - shift * member[:, None]
    embeddings = generator.normal(size=(len(person), 6))
    return labelled_of(np.exp(logs), member, [f'p{number}' for number in person], embeddings)


def assert_same_bytes(first, second):
    """Asserts that two pytrees are the same, bit for bit."""
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for one, two in zip(*map(jax.tree.leaves, (first, second)), strict=True):
        assert np.asarray(one).dtype == np.asarray(two).dtype
        assert np.asarray(one).tobytes() == np.asarray(two).tobytes()
