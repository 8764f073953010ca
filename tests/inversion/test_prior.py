"""The prior is a normal distribution's, measured."""

import numpy as np
import pytest

from fr_inference import errors
from fr_inference.inversion import prior


@pytest.fixture(scope='module')
def fitted():
    draw = np.random.default_rng(0)
    return prior.fit(draw.normal(size=(2000, 6)) * np.arange(1, 7) + 3)


def test_log_density_is_that_of_a_normal_distribution(fitted):
    assert prior.log_density(fitted, fitted.mean) == pytest.approx(0, abs=1e-6)
    latents = 3 + np.random.default_rng(3).normal(size=(4000, 6)) * np.arange(1, 7)
    values = [float(prior.log_density(fitted, row.astype(np.float32))) for row in latents[:500]]
    assert np.mean(values) == pytest.approx(-0.5, abs=0.05)


def test_white_and_back(fitted):
    latents = np.random.default_rng(1).normal(size=(20, 6)).astype(np.float32)
    white = prior.to_white(fitted, latents)
    np.testing.assert_allclose(prior.to_latent(fitted, white), latents, atol=1e-4)


def test_one_latent_has_no_spread():
    with pytest.raises(errors.InputError) as caught:
        prior.fit(np.zeros((1, 6)))
    assert caught.value.field == 'latents'
