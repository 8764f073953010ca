"""The attack model: against scikit-learn, converged, repeatable."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fr_inference.errors import InputError
from fr_inference.membership import logistic


def overlapping(count=180, features=6, members=60, seed=0):
    """Two normal clouds that overlap, unequal in number, with features of unequal scale."""
    generator = np.random.default_rng(seed)
    member = np.arange(count) < members
    x = generator.normal(size=(count, features)) @ generator.normal(size=(features, features))
    x += 0.8 * member[:, None] * generator.normal(size=features)
    return x * 10.0 ** generator.integers(-2, 3, features) + 5, member


def loss_of(fitted, features, member, l2):
    """The loss that `fit` minimises, in NumPy: class-balanced mean plus half l2 times |w|^2."""
    weights = np.asarray(fitted.weights, np.float64)
    z = ((features - fitted.mean) / fitted.std) @ weights + fitted.bias
    losses = np.logaddexp(0, np.where(member, -z, z))
    mean = 0.5 * (losses[member].mean() + losses[~member].mean())
    return mean + 0.5 * l2 * (weights**2).sum()


class TestLinear:
    @pytest.mark.parametrize('l2', [1e-3, 0.01, 1.0])
    def test_against_scikit_learn(self, l2):
        """scikit-learn's C multiplies the sum of the losses, of which `l2` weighs against the mean."""
        features, member = overlapping()
        fitted = logistic.fit(features, member, l2)
        oracle = LogisticRegression(
            C=1 / (l2 * len(member)), class_weight='balanced', tol=1e-10, max_iter=10_000
        ).fit((features - fitted.mean) / fitted.std, member)
        np.testing.assert_allclose(fitted.weights, oracle.coef_[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(fitted.bias, oracle.intercept_[0], rtol=1e-4, atol=1e-6)
        logits = logistic.logit(fitted, features)
        expected = oracle.decision_function((features - fitted.mean) / fitted.std)
        np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)

    def test_balanced_whatever_the_numbers(self):
        """Non-members given three times over change nothing but for rounding."""
        features, member = overlapping(count=140, members=100)
        rows = np.concatenate([np.arange(140), *[np.flatnonzero(~member)] * 2])
        once = logistic.fit(features, member)
        thrice = logistic.fit(features[rows], member[rows])
        for one, two in zip(*map(jax.tree.leaves, (once, thrice)), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)

    def test_converged(self):
        """No step in any direction lowers the loss."""
        features, member = overlapping()
        fitted = logistic.fit(features, member)
        least = loss_of(fitted, features, member, 0.01)
        parameters = np.append(fitted.weights, fitted.bias).astype(np.float64)
        for number in range(len(parameters)):
            for step in (-1e-3, 1e-3):
                moved = parameters.copy()
                moved[number] += step
                other = dataclasses.replace(fitted, weights=moved[:-1], bias=moved[-1])
                assert loss_of(other, features, member, 0.01) > least

    def test_separable_classes_end_at_finite_weights(self):
        features, member = overlapping()
        features[:, 3] += 1e4 * member
        fitted = logistic.fit(features, member, 1e-4)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fitted))
        np.testing.assert_array_equal(np.asarray(logistic.logit(fitted, features)) > 0, member)

    def test_standardised_by_non_members(self):
        features, member = overlapping()
        fitted = logistic.fit(features, member)
        np.testing.assert_allclose(fitted.mean, features[~member].mean(0), rtol=1e-5)
        np.testing.assert_allclose(fitted.std, features[~member].std(0), rtol=1e-5)

    def test_units_do_not_matter(self):
        features, member = overlapping()
        plain = logistic.logit(logistic.fit(features, member), features)
        scaled = 7 * features - 3
        moved = logistic.logit(logistic.fit(scaled, member), scaled)
        np.testing.assert_allclose(moved, plain, rtol=1e-3, atol=1e-3)

    def test_a_feature_without_spread_is_not_blown_up(self):
        features, member = overlapping()
        features[:, 2] = 3.0
        fitted = logistic.fit(features, member)
        assert fitted.std[2] == 1
        assert abs(fitted.weights[2]) < 1e-6
        assert np.isfinite(logistic.logit(fitted, features)).all()


class TestRepeatable:
    def test_bit_for_bit(self):
        features, member = overlapping()
        first, second = (logistic.fit(features, member) for _ in range(2))
        for one, two in zip(*map(jax.tree.leaves, (first, second)), strict=True):
            assert one.tobytes() == two.tobytes()

    def test_the_order_of_the_images_does_not_matter(self):
        features, member = overlapping()
        order = np.random.default_rng(1).permutation(len(member))
        one = logistic.logit(logistic.fit(features, member), features)
        two = logistic.logit(logistic.fit(features[order], member[order]), features)
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)

    def test_double_precision_does_not_leak_out(self):
        fitted = logistic.fit(*overlapping())
        assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(fitted))
        assert jnp.zeros(1).dtype == jnp.float32


class TestMoved:
    """An attack fitted on one backbone, applied to another whose distances have other units."""

    def test_standardised_by(self):
        features, member = overlapping()
        fitted = logistic.fit(features, member)
        scale = np.array([3.0, 0.1, 20.0, 1.0, 5.0, 0.5])
        there = features * scale - 4
        moved = logistic.standardised_by(fitted, there[~member])
        np.testing.assert_allclose(moved.mean, there[~member].mean(0), rtol=1e-4)
        np.testing.assert_allclose(moved.std, there[~member].std(0), rtol=1e-4)
        np.testing.assert_allclose(
            logistic.logit(moved, there), logistic.logit(fitted, features), rtol=1e-3, atol=1e-3
        )
        assert moved.weights is fitted.weights

    def test_is_a_pytree(self):
        fitted = logistic.fit(*overlapping())
        assert len(jax.tree.leaves(fitted)) == 4
        features = jnp.asarray(overlapping()[0], jnp.float32)
        found = jax.jit(logistic.logit)(fitted, features)
        np.testing.assert_allclose(found, logistic.logit(fitted, features), rtol=1e-4, atol=1e-5)
        one = jax.vmap(logistic.logit, in_axes=(None, 0))(fitted, features)
        np.testing.assert_allclose(one, found, rtol=1e-4, atol=1e-5)
        assert np.isfinite(jax.grad(lambda x: logistic.logit(fitted, x).sum())(features)).all()


def test_log_distances():
    found = logistic.log_distances(np.array([[0.0, 1.0, 1e6]], np.float32))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, [[np.log(1e-12), 0, np.log(1e6)]], rtol=1e-6)


@pytest.mark.parametrize(
    ('change', 'field', 'found'),
    [
        (lambda x, m: (np.where(np.arange(len(x))[:, None] == 3, np.nan, x), m), 'features', 'not'),
        (lambda x, m: (x, np.zeros_like(m)), 'member', '0 members among 180 examples'),
        (lambda x, m: (x, np.ones_like(m)), 'member', '180 members among 180 examples'),
    ],
)
def test_bad_data(change, field, found):
    with pytest.raises(InputError) as caught:
        logistic.fit(*change(*overlapping()))
    assert caught.value.field == field
    assert found in caught.value.found


@pytest.mark.parametrize('l2', [0.0, float('nan')])
def test_bad_weight_decay(l2):
    with pytest.raises(InputError) as caught:
        logistic.fit(*overlapping(), l2)
    assert caught.value.field == 'l2'
