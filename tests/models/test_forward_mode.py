"""Forward-mode differentiation and second derivatives of every family, as compiled here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference.models import registry
from fr_inference.models.stylegan2 import Discriminator, Generator
from fr_inference.models.target import InputSpec
from tests.models.drawn import drawn

SIDE = 16
SPEC = InputSpec(height=SIDE, width=SIDE)
BACKBONES = {
    'iresnet': ('tiny', {'width': 4, 'embedding': 8}),
    'ir': ('irse50', {'depths': [1, 1, 1, 1], 'embedding': 8}),
    'mobilefacenet_prelu': ('mobilefacenet_prelu', {'embedding': 8}),
    'mobilefacenet_relu6': ('mobilefacenet_relu6', {'embedding': 8}),
}


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def check(function, variables, x):
    """Forward mode is the transpose of reverse mode, and the Hessian is symmetric.

    Args:
      function: of (variables, x), to an array.
      variables: of the network.
      x: the images or latents.
    """
    directions = normal(1, 2, *x.shape)
    readout = normal(2, *jax.eval_shape(function, variables, x).shape)

    @jax.jit
    def compute(variables, x, directions, readout):
        def scalar(x):
            return jnp.sum(jnp.tanh(function(variables, x)) * readout)

        def along(direction):
            slope, second = jax.jvp(jax.grad(scalar), (x,), (direction,))
            return jax.jvp(scalar, (x,), (direction,))[1], slope, second

        return jax.vmap(along)(directions)

    forward, slopes, second = jax.device_get(compute(variables, x, directions, readout))
    for moved, slope, direction in zip(forward, slopes, directions, strict=True):
        norm = np.linalg.norm(slope) * np.linalg.norm(direction)
        assert norm > 0
        assert abs(moved - np.vdot(slope, direction)) < 1e-5 * norm
    norm = np.linalg.norm(second[0]) * np.linalg.norm(directions[1])
    assert norm > 0
    assert abs(np.vdot(second[0], directions[1]) - np.vdot(second[1], directions[0])) < 1e-4 * norm


@pytest.mark.parametrize('family', BACKBONES)
def test_of_backbones(family):
    """With respect to the images."""
    name, config = BACKBONES[family]
    module = registry.build(name, **config)
    variables = drawn(registry.abstract_variables(module, SPEC))
    check(module.apply, variables, normal(0, 1, SIDE, SIDE, 3))


def test_every_family_is_here():
    names = {registry.VARIANTS[name].build.func for name, _ in BACKBONES.values()}
    assert names == {row.build.func for row in registry.VARIANTS.values()}


def test_of_the_generator():
    """With respect to z."""
    module = Generator(resolution=8, z_dim=8, w_dim=8, channel_max=8, mapping_layers=2)
    abstract = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 8)))
    check(module.apply, drawn(abstract), normal(0, 2, 8))


def test_of_the_discriminator():
    """With respect to the images."""
    module = Discriminator(resolution=8, channel_max=8)
    abstract = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    check(module.apply, drawn(abstract), normal(0, 2, 8, 8, 3))
