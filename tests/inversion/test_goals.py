"""The goals' terms against closed forms."""

import numpy as np
import pytest

from fr_inference import errors
from fr_inference.inversion import goals, guidance
from fr_inference.membership import logistic


@pytest.fixture(scope='module')
def guide():
    draw = np.random.default_rng(0)
    mixing = draw.normal(size=(5, 5))
    features = draw.normal(size=(400, 5)) @ mixing
    features[:200] += 1.0
    fitted = logistic.fit(features, np.arange(400) < 200)
    return guidance.guide(fitted, features[:200])


def terms(guide, features):
    """Membership terms of rows of log-distances [N, L]."""
    each = [guidance.terms(guide, np.exp(row.astype(np.float64))) for row in features]
    return {kind: np.array([one[kind] for one in each]) for kind in guidance.KINDS}


def test_capped_is_the_logit_up_to_the_members_median(guide):
    features = np.random.default_rng(1).normal(size=(50, 5)).astype(np.float32) * 3
    found = terms(guide, features)
    logits = logistic.logit(guide.attack, features)
    np.testing.assert_allclose(found['raw'], logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found['capped'], np.minimum(found['raw'], guide.level), rtol=1e-6)
    assert (found['raw'] > guide.level).any()


def test_density_is_highest_at_the_members_mean(guide):
    (top,) = terms(guide, guide.mean[None])['density']
    assert top == pytest.approx(0, abs=1e-5)
    away = guide.mean + np.random.default_rng(2).normal(size=(20, 5)).astype(np.float32)
    assert (terms(guide, away)['density'] < 0).all()


def test_a_guide_takes_members():
    fitted = logistic.Logistic(mean=0, std=1, weights=0, bias=0)
    with pytest.raises(errors.InputError) as caught:
        guidance.guide(fitted, np.zeros((1, 3)))
    assert caught.value.field == 'members'


@pytest.mark.parametrize(
    ('make', 'field'),
    [
        (lambda: goals.membership('logit'), 'membership'),
        (lambda: goals.membership(prior=-1.0), 'prior'),
        (lambda: goals.membership(strength=float('nan')), 'strength'),
        (lambda: goals.templates(np.ones((1, 3))).rows(4), 'templates'),
    ],
)
def test_bad_goals(make, field):
    with pytest.raises(errors.InputError) as caught:
        make()
    assert caught.value.field == field


def test_the_objective_weighs_the_terms_of_one_or_many():
    draw = np.random.default_rng(3)
    many = {name: draw.normal(size=3) for name in (*guidance.KINDS, 'prior')}
    many['embedding'] = draw.normal(size=(3, 4))
    one = {name: values[1] for name, values in many.items()}
    wanted = draw.normal(size=(2, 4))
    for kind in guidance.KINDS:
        goal = goals.membership(kind, strength=2.0, prior=0.5)
        expected = 2 * many[kind] + 0.5 * many['prior']
        np.testing.assert_allclose(
            goals.objective(kind, goal.weights, many, np.zeros((1, 4))), expected, rtol=1e-6
        )
        assert goals.objective(kind, goal.weights, one, None) == pytest.approx(expected[1])
    goal = goals.centres(wanted, strength=0.5, prior=0.5)
    cosines = np.array([[row @ other for other in many['embedding']] for row in wanted])
    expected = 0.5 * goals.MATCH * cosines + 0.5 * many['prior']
    found = goals.objective(goal.term, goal.weights, many, wanted)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert goals.objective(goal.term, goal.weights, one, wanted[1]) == pytest.approx(expected[1, 1])


def test_templates_are_directions():
    rows = np.random.default_rng(4).normal(size=(2, 5))
    wanted = goals.templates(rows * [[1e-3], [7.0]]).rows(5)
    assert wanted.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(wanted, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose((wanted * rows).sum(1), np.linalg.norm(rows, axis=1), rtol=1e-6)


def test_goals_are_told_apart():
    rows = np.eye(3)
    described = [
        goals.membership().description(),
        goals.membership('raw').description(),
        goals.templates(rows[:1]).description(),
        goals.templates(rows[1:2]).description(),
        goals.templates(rows[:1]).at(0.5).description(),
    ]
    assert all(described.count(one) == 1 for one in described)
