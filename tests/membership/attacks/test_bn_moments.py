"""Divergences from the layers' statistics, integrated numerically."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from fr_inference.measuring.distances import Look
from fr_inference.membership import attacks
from fr_inference.membership.attacks import bn_moments
from tests.membership.attacks import planted

ATTACK = attacks.get('bn-moments')


def look_of(shifts, ratios):
    return Look(
        image=jnp.zeros((2, 2, 3)),
        embedding=jnp.zeros(3),
        distances=jnp.stack([(shift**2).sum() for shift in shifts])
        if shifts
        else jnp.zeros(0, jnp.float32),
        shifts=tuple(shifts),
        ratios=tuple(ratios),
    )


def divergence(shift, ratio):
    """Of N(shift, ratio) from N(0, 1), the layer's own."""
    image, layer = stats.norm(shift, np.sqrt(ratio)), stats.norm()

    def inside(x):
        return image.pdf(x) * (image.logpdf(x) - layer.logpdf(x))

    ends = shift - 12 * np.sqrt(ratio), shift + 12 * np.sqrt(ratio)
    return integrate.quad(inside, *ends)[0]


def test_divergence_and_spread_of_each_layer():
    generator = np.random.default_rng(1)
    shifts = [generator.normal(size=width) for width in (4, 3)]
    ratios = [np.exp(generator.normal(size=width)) for width in (4, 3)]
    look = look_of(*([jnp.asarray(one, jnp.float32) for one in both] for both in (shifts, ratios)))
    found = bn_moments.FEATURE.function(look, None)
    expected = [sum(map(divergence, *both)) for both in zip(shifts, ratios, strict=True)]
    expected += [(np.log(one) ** 2).sum() for one in ratios]
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_without_layers():
    assert bn_moments.FEATURE.function(look_of([], []), None).shape == (0,)
    images = planted.drawn(0)
    assert ATTACK.examples(planted.without_layers(images), planted.halves(images), 0) is None


def test_distances_stand_beside_them():
    images = planted.drawn(0)
    found = ATTACK.examples(images, planted.halves(images), 0).features
    layers = planted.LAYERS
    np.testing.assert_allclose(found[:, :layers], np.log(images.distances + 1e-12), rtol=1e-5)
    np.testing.assert_allclose(found[:, layers:], np.log(images.extra['bn-moments']), rtol=1e-5)


def test_an_image_that_is_the_statistics_themselves_has_features():
    """A divergence of 0 has no logarithm."""
    images = planted.drawn(0)
    images.extra['bn-moments'][0] = 0
    assert np.isfinite(ATTACK.examples(images, planted.halves(images), 0).features).all()


class TestFinds:
    @pytest.mark.parametrize('setting', ['partial', 'auxiliary'])
    def test_what_leaks(self, setting):
        planted.assert_found('bn-moments', setting, 'moments')

    @pytest.mark.parametrize('setting', ['partial', 'auxiliary'])
    def test_nothing_without_a_leak(self, setting):
        planted.assert_nothing('bn-moments', setting, 'moments')

    def test_keeps_to_its_half(self):
        planted.assert_keeps_to_its_half('bn-moments')
