"""The objectives against closed forms."""

import numpy as np
import pytest

from fr_inference import errors
from fr_inference.inversion import objective
from fr_inference.membership import logistic

TERMS = ('raw', 'capped', 'density', 'prior', 'identity')


@pytest.fixture(scope='module')
def guide():
    draw = np.random.default_rng(0)
    mixing = draw.normal(size=(5, 5))
    features = draw.normal(size=(400, 5)) @ mixing
    features[:200] += 1.0
    fitted = logistic.fit(features, np.arange(400) < 200)
    latents = draw.normal(size=(2000, 6)) * np.arange(1, 7) + 3
    return objective.make_guide(fitted, features[:200], latents)


def test_capped_is_the_logit_up_to_the_members_median(guide):
    features = np.random.default_rng(1).normal(size=(50, 5)).astype(np.float32) * 3
    raw = np.array([objective.membership('raw', guide, row) for row in features])
    capped = np.array([objective.membership('capped', guide, row) for row in features])
    np.testing.assert_allclose(capped, np.minimum(raw, guide.level), rtol=1e-6)
    assert (raw > guide.level).any()


def test_density_is_highest_at_the_members_mean(guide):
    top = objective.membership('density', guide, guide.mean)
    assert top == 0
    away = guide.mean + np.random.default_rng(2).normal(size=(20, 5)).astype(np.float32)
    assert all(objective.membership('density', guide, row) < 0 for row in away)


def test_prior_is_that_of_a_normal_distribution(guide):
    assert objective.prior(guide, guide.w_mean) == pytest.approx(0, abs=1e-6)
    latents = 3 + np.random.default_rng(3).normal(size=(4000, 6)) * np.arange(1, 7)
    values = [float(objective.prior(guide, row.astype(np.float32))) for row in latents[:500]]
    assert np.mean(values) == pytest.approx(-0.5, abs=0.05)


def test_identity_is_the_mean_cosine_of_pairs():
    vectors = np.random.default_rng(4).normal(size=(5, 7)).astype(np.float32)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = units @ units.T
    expected = (cosines.sum() - 5) / 20
    assert float(objective.identity(units)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'membership': 'logit'}, "membership: found 'logit'"),
        ({'prior': -1.0}, 'prior: found -1.0'),
        ({'match': float('nan')}, 'match: found nan'),
    ],
)
def test_bad_weights(options, message):
    with pytest.raises(errors.InputError, match=message):
        objective.Objective(**options)


def test_total_weighs_the_terms_of_one_or_many():
    found = {name: np.arange(3.0) * factor for factor, name in enumerate(TERMS, start=1)}
    one = {name: float(values[1]) for name, values in found.items()}
    weights = objective.Objective(strength=2, prior=0.5, identity=3, match=10).weights
    expected = 2 * found['raw'] + 0.5 * found['prior'] + 3 * found['identity'] + 10 * 0.1
    np.testing.assert_allclose(objective.total('raw', weights, found, 0.1), expected)
    assert objective.total('raw', weights, one, 0.1) == pytest.approx(expected[1])
    alone = objective.Objective(membership='none', prior=0.5).weights
    assert alone['strength'] == 0
    np.testing.assert_allclose(objective.total('none', alone, found, 0.0), 0.5 * found['prior'])
