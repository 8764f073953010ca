"""All that a backbone shows of an image: the moments against NumPy."""

import flax.linen as nn
import jax
import numpy as np

from fr_inference.measuring import distances
from tests.membership.backbones import Small, noise_faces, target_of


def test_moments_against_numpy():
    """Of the maps; of vectors there is no variance over H and W, and the ratio is 1."""
    target = target_of(Small())
    network = distances.Network(apply=target.apply, variables=target.variables, input=target.input)
    image = noise_faces(1).read(0)
    look = jax.jit(network.look)(image)
    params, own = target.variables['params']['conv'], target.variables['batch_stats']['bn']
    maps = nn.Conv(4, (3, 3)).apply({'params': params}, target.input.normalize(image[None]))[0]
    maps, spread = np.asarray(maps, np.float64), np.asarray(own['var'], np.float64) + 1e-5
    shifts = (maps.mean((0, 1)) - own['mean']) / np.sqrt(spread)
    np.testing.assert_allclose(look.shifts[0], shifts, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(look.ratios[0], (maps.var((0, 1)) + 1e-5) / spread, rtol=1e-5)
    np.testing.assert_array_equal(look.ratios[1], np.ones(5))
    np.testing.assert_array_equal(look.image, image.astype(np.float32))
    for one, distance in zip(look.shifts, look.distances, strict=True):
        np.testing.assert_allclose((one**2).sum(), distance, rtol=1e-6)
