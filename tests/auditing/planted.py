"""A backbone that gives away what it is told to, and faces to audit it with: an audit in a second.

Its first layer looks at the pixels, and keeps statistics by which a wrong input is found out. Its second
one looks for a secret pattern. Where members carry the pattern, the trained backbone tells them from
strangers, and one with random weights does not.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fr_inference.data.faces import from_arrays
from fr_inference.models.target import InputSpec, Target, origins

SIZE = 8
_NUMBERS = SIZE * SIZE * 3
_SECRET = np.sign(np.random.default_rng(99).normal(size=(SIZE, SIZE, 3))).astype(np.float32)
# Means of the channels: a wrong order or range of colours does not fit.
_TINT = np.array([150.0, 110.0, 80.0])


class Backbone(nn.Module):
    """[N, 8, 8, 3] -> [N, 6]; `hidden` has no layer near the images."""

    hidden: bool = False

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(3, (1, 1), name='conv')(x)
        if not self.hidden:
            x = nn.BatchNorm(use_running_average=not train, name='bn')(x)
        x = nn.Dense(6, name='fc')(x.reshape(len(x), -1))
        return nn.BatchNorm(use_running_average=not train, name='features')(x)


class Plain(nn.Module):
    """The same without any normalisation."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(6, name='fc')(x.reshape(len(x), -1))


def faces(people, images=2, *, seed, mark=0.0, name='p', tint=(0, 0, 0), alike=12.0, shared=0):
    """Returns noise in which a person's images are alike; `mark` is the strength of the pattern.

    Args:
      people: how many.
      images: of each.
      seed: of all noise.
      mark: grey levels.
      name: of the people, before their number.
      tint: added to each channel.
      alike: standard deviation of what a person's images share, grey levels.
      shared: people whose images are those of seed 1.
    """
    generator = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), images)
    own = generator.normal(0, alike, (people, SIZE, SIZE, 3))[person]
    noise = generator.normal(0, 20, own.shape)
    pixels = np.clip(_TINT + tint + own + noise + mark * _SECRET, 0, 255)
    pixels = pixels.astype(np.uint8)
    if shared:
        others = faces(people, images, seed=1, alike=alike)
        rows = range(shared * images)
        pixels[: len(rows)] = np.stack([others.read(row) for row in rows])
    return from_arrays(pixels, [f'{name}{number}' for number in person], name)


def target(
    *,
    how='given',
    seed=0,
    name='planted',
    secret=True,
    trained=True,
    hidden=False,
    constant=False,
    **fed,
):
    """Returns the backbone that looks for the pattern; `fed` are fields of another input than its own.

    Args:
      how: the origin of its input convention.
      seed: of what else it looks at.
      name: its name.
      secret: whether it looks for the pattern.
      trained: whether its statistics are those of images; 0 and 1 otherwise.
      hidden: whether no layer is near the images.
      constant: whether it gives the same for every image.
    """
    variables = _variables(seed, secret, trained, hidden)
    if constant:
        kernel = np.zeros_like(variables['params']['fc']['kernel'])
        fc = {**variables['params']['fc'], 'kernel': kernel}
        variables = {**variables, 'params': {**variables['params'], 'fc': fc}}
    return Target(
        name=name,
        apply=_apply(hidden),
        variables=variables,
        input=InputSpec(height=SIZE, width=SIZE).changed(fed),
        origins=origins(how),
    )


@functools.cache
def _apply(hidden):
    """One function for each form, so that it is compiled once."""
    return Backbone(hidden=hidden).apply


@functools.cache
def _variables(seed, secret, trained, hidden):
    module = Backbone(hidden=hidden)
    ones = jnp.zeros((1, SIZE, SIZE, 3), jnp.float32)
    variables = jax.tree.map(np.array, jax.jit(module.init)(jax.random.key(seed), ones))
    params = variables['params']
    params['conv']['kernel'] = np.eye(3, dtype=np.float32)[None, None]
    if secret:
        params['fc']['kernel'][:, :2] = _SECRET.reshape(-1, 1) / np.sqrt(_NUMBERS)
    if trained:
        seen = faces(400, 2, seed=12345)
        pixels = np.stack([seen.read(row) for row in range(len(seen))]).astype(np.float32)
        normal = (pixels - 127.5) / 127.5
        _, kept = module.apply(variables, normal, train=True, mutable=['batch_stats'])
        # A step of the running statistics is 1 % of the way from where they started.
        variables['batch_stats'] = jax.tree.map(
            lambda old, new: np.asarray(old + (new - old) * 100, np.float32),
            variables['batch_stats'],
            kept['batch_stats'],
        )
    return variables


def plain():
    """Returns a backbone without BatchNorm."""
    variables = Plain().init(jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 3), jnp.float32))
    return Target(
        name='plain',
        apply=Plain().apply,
        variables=variables,
        input=InputSpec(height=SIZE, width=SIZE),
        origins=origins('given'),
    )
