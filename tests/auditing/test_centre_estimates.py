"""The mixture's EM and the choice among estimates, where the answer is known."""

import numpy as np
import pytest

from fr_inference.inversion import judge
from tests.auditing import centre_estimates


def planted(seed):
    """Unit vectors around three directions and everywhere else, the directions, a start near them."""
    draw = np.random.default_rng(seed)
    directions = np.linalg.qr(draw.normal(size=(8, 8)))[0][:3]
    around = np.repeat(directions, 300, axis=0) + 0.15 * draw.normal(size=(900, 8))
    start = judge.unit(directions + 0.3 * draw.normal(size=(3, 8)))
    return judge.unit(np.concatenate([around, draw.normal(size=(600, 8))])), directions, start


@pytest.mark.parametrize('background', [True, False])
@pytest.mark.parametrize('least', [1.0, 200.0])
def test_likelihood_never_falls(background, least):
    unit, _, means = planted(0)
    weights = np.array([1, 1, 1, background]) / (3 + background)
    found, seen = (means, np.full(3, 200.0), weights), []
    for _ in range(30):
        *found, likelihood = centre_estimates.em_step(unit, *found, least)
        seen.append(likelihood)
    assert np.diff(seen).min() > -1e-9
    assert seen[-1] > seen[0] + 0.1
    assert found[2].sum() == pytest.approx(1)
    assert (found[2][-1] > 0) == background


@pytest.mark.parametrize('seed', range(3))
def test_planted_directions_are_recovered(seed):
    unit, directions, start = planted(seed)
    assert ((start * directions).sum(1) < 0.98).all()
    found = centre_estimates.mixture(unit, start)
    assert ((found * directions).sum(1) > 0.998).all()


def test_concentration_and_background_are_those_planted():
    unit, _, start = planted(0)
    found = start, np.full(3, 100.0), np.full(4, 0.25)
    for _ in range(60):
        *found, _ = centre_estimates.em_step(unit, *found, 1.0)
    # exp(cosine / 0.15 ** 2) is about the density of what was drawn.
    np.testing.assert_allclose(found[1], 1 / 0.15**2, rtol=0.15)
    np.testing.assert_allclose(found[2], [0.2, 0.2, 0.2, 0.4], atol=0.03)


def test_the_density_integrates_to_one():
    draw = judge.unit(np.random.default_rng(0).normal(size=(200_000, 3)))
    kappa = np.array([5.0])
    density = np.exp(draw[:, 0] * kappa + centre_estimates.log_normaliser(kappa, 3))
    assert density.mean() * 4 * np.pi == pytest.approx(1, abs=0.02)


def test_the_best_of_those_alike_is_chosen():
    directions = np.repeat(np.eye(40), 2, axis=0)
    score = np.arange(80.0)
    found = centre_estimates.choose(directions, score)
    np.testing.assert_array_equal(found.argmax(1), np.arange(39, 7, -1))


def test_figures_count_centres_and_right_estimates():
    true = np.eye(64)[:32]
    found = np.concatenate([true[:8], true[:8], np.eye(64)[32:48]])
    assert centre_estimates.figures(found, true) == [0.0, 8, 1.0, pytest.approx(2 / 3), 0.5]


def test_values_are_held_to_a_mean_and_a_deviation():
    draw = np.random.default_rng(0)
    values = 3 * draw.normal(size=(500, 4)) + 1
    mean, deviation = np.arange(4.0), np.array([1.0, 2.0, -0.5, 3.0])  # a scale may be negative
    half = centre_estimates.held(values, mean, None, share=0.5)
    np.testing.assert_allclose(half.mean(0), (values.mean(0) + mean) / 2)
    np.testing.assert_allclose(half.std(0), values.std(0))
    both = centre_estimates.held(values, mean, deviation)
    np.testing.assert_allclose(both.mean(0), mean, atol=1e-12)
    np.testing.assert_allclose(both.std(0), np.abs(deviation))
