"""Forward-mode differentiation and second derivatives of every family, as compiled here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference.models import registry
from fr_inference.models.stylegan2 import Discriminator, Generator
from fr_inference.models.target import InputSpec
from tests.models.drawn import drawn

# Two blocks: with a stride, and with a sum.
SHORT = {
    'stem_channels': 8,
    'expanded': [8, 16],
    'channels': [8, 8],
    'strides': [2, 1],
    'last_channels': 16,
    'embedding': 8,
}
# Family -> (variant, hyper-parameters that make it small, height and width of its images).
BACKBONES = {
    'iresnet': ('tiny', {'width': 4, 'embedding': 8}, 16),
    'ir': ('irse50', {'depths': [1, 1, 1, 1], 'embedding': 8}, 16),
    'mobilefacenet_prelu': ('mobilefacenet_prelu', SHORT, 16),
    'mobilefacenet_relu6': ('mobilefacenet_relu6', SHORT, 16),
    'inception_resnet': ('inception_resnet_v1', {'depths': [1, 1, 1], 'embedding': 8}, 75),
    'arcface_resnet': (
        'arcface_resnet18',
        {'depths': [1, 1, 1, 1], 'width': 8, 'embedding': 8},
        16,
    ),
    'vit': ('vit_s', {'width': 16, 'depth': 1, 'hidden': 32, 'embedding': 8}, 18),
    'edgenext': (
        'edgeface_base',
        {'depths': [1, 1, 1, 1], 'widths': [8, 16, 24, 32], 'heads': 4, 'embedding': 8},
        32,
    ),
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
    name, config, side = BACKBONES[family]
    module = registry.build(name, **config)
    variables = drawn(registry.abstract_variables(module, InputSpec(height=side, width=side)))
    check(module.apply, variables, normal(0, 1, side, side, 3))


def test_every_family_is_here():
    kinds = {type(registry.build(name)) for name, _, _ in BACKBONES.values()}
    assert kinds == {type(row.build()) for row in registry.VARIANTS.values()}


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
