"""The attack model: against scikit-learn, converged, repeatable, and no more than it says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fr_inference.errors import InputError
from fr_inference.membership import attack
from fr_inference.membership.attack import Options
from fr_inference.metrics import roc


def overlapping(count=180, features=6, members=60, seed=0):
    """Two normal clouds that overlap, unequal in number, with features of unequal scale."""
    generator = np.random.default_rng(seed)
    member = np.arange(count) < members
    x = generator.normal(size=(count, features)) @ generator.normal(size=(features, features))
    x += 0.8 * member[:, None] * generator.normal(size=features)
    return x * 10.0 ** generator.integers(-2, 3, features) + 5, member


def loss_of(fitted, features, member, l2):
    """The loss that `fit` minimises, in NumPy: class-balanced mean plus half l2 times |w|^2."""
    (kernel, bias), *rest = fitted.layers
    assert not rest
    z = ((features - fitted.mean) / fitted.std) @ np.asarray(kernel, np.float64) + bias
    losses = np.logaddexp(0, np.where(member, -z[:, 0], z[:, 0]))
    mean = 0.5 * (losses[member].mean() + losses[~member].mean())
    return mean + 0.5 * l2 * (np.asarray(kernel, np.float64) ** 2).sum()


class TestLinear:
    @pytest.mark.parametrize('l2', [1e-3, 0.01, 1.0])
    def test_against_scikit_learn(self, l2):
        """scikit-learn's C multiplies the sum of the losses, of which `l2` weighs against the mean."""
        features, member = overlapping()
        fitted = attack.fit(features, member, Options(l2=l2))
        oracle = LogisticRegression(
            C=1 / (l2 * len(member)), class_weight='balanced', tol=1e-10, max_iter=10_000
        ).fit((features - fitted.mean) / fitted.std, member)
        kernel, bias = fitted.layers[0]
        np.testing.assert_allclose(kernel[:, 0], oracle.coef_[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(bias, oracle.intercept_, rtol=1e-4, atol=1e-6)
        logits = attack.logit(fitted, features)
        expected = oracle.decision_function((features - fitted.mean) / fitted.std)
        np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)

    def test_balanced_whatever_the_numbers(self):
        """Non-members given three times over change nothing but for rounding."""
        features, member = overlapping(count=140, members=100)
        rows = np.concatenate([np.arange(140), *[np.flatnonzero(~member)] * 2])
        once = attack.fit(features, member, Options())
        thrice = attack.fit(features[rows], member[rows], Options())
        for one, two in zip(*map(jax.tree.leaves, (once, thrice)), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)

    def test_converged(self):
        """No step in any direction lowers the loss."""
        features, member = overlapping()
        fitted = attack.fit(features, member, Options())
        kernel, bias = (np.asarray(leaf, np.float64) for leaf in fitted.layers[0])
        least = loss_of(fitted, features, member, 0.01)
        for number in range(len(kernel) + 1):
            for step in (-1e-3, 1e-3):
                moved = kernel.copy(), bias.copy()
                (moved[0][:, 0] if number < len(kernel) else moved[1])[
                    number if number < len(kernel) else 0
                ] += step
                other = attack.Attack(mean=fitted.mean, std=fitted.std, layers=[moved])
                assert loss_of(other, features, member, 0.01) > least

    def test_separable_classes_end_at_finite_weights(self):
        features, member = overlapping()
        features[:, 3] += 1e4 * member
        fitted = attack.fit(features, member, Options(l2=1e-4))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fitted))
        np.testing.assert_array_equal(np.asarray(attack.logit(fitted, features)) > 0, member)

    def test_standardised_by_non_members(self):
        features, member = overlapping()
        fitted = attack.fit(features, member, Options())
        np.testing.assert_allclose(fitted.mean, features[~member].mean(0), rtol=1e-5)
        np.testing.assert_allclose(fitted.std, features[~member].std(0), rtol=1e-5)

    def test_units_do_not_matter(self):
        features, member = overlapping()
        plain = attack.logit(attack.fit(features, member, Options()), features)
        scaled = 7 * features - 3
        moved = attack.logit(attack.fit(scaled, member, Options()), scaled)
        np.testing.assert_allclose(moved, plain, rtol=1e-3, atol=1e-3)

    def test_a_feature_without_spread_is_not_blown_up(self):
        features, member = overlapping()
        features[:, 2] = 3.0
        fitted = attack.fit(features, member, Options())
        assert fitted.std[2] == 1
        assert abs(fitted.layers[0][0][2, 0]) < 1e-6
        assert np.isfinite(attack.logit(fitted, features)).all()


class TestRepeatable:
    @pytest.mark.parametrize('hidden', [0, 5])
    def test_bit_for_bit(self, hidden):
        features, member = overlapping()
        first, second = (attack.fit(features, member, Options(hidden=hidden)) for _ in range(2))
        for one, two in zip(*map(jax.tree.leaves, (first, second)), strict=True):
            assert one.tobytes() == two.tobytes()

    def test_the_order_of_the_images_does_not_matter(self):
        features, member = overlapping()
        order = np.random.default_rng(1).permutation(len(member))
        one = attack.logit(attack.fit(features, member, Options()), features)
        two = attack.logit(attack.fit(features[order], member[order], Options()), features)
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)

    def test_the_seed_is_the_hidden_layers(self):
        features, member = overlapping()

        def kernel(**options):
            return attack.fit(features, member, Options(**options)).layers[0][0]

        assert (kernel(hidden=5, seed=0) != kernel(hidden=5, seed=1)).any()
        assert (kernel(seed=0) == kernel(seed=1)).all()

    def test_double_precision_does_not_leak_out(self):
        fitted = attack.fit(*overlapping(), Options())
        assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(fitted))
        assert jnp.zeros(1).dtype == jnp.float32


class TestHidden:
    def test_finds_what_a_line_can_not(self):
        generator = np.random.default_rng(0)
        features = np.zeros((300, 6))
        features[:, :2] = generator.uniform(-1, 1, (300, 2))
        member = (features[:, 0] > 0) ^ (features[:, 1] > 0)
        fit, rest = np.arange(300) < 180, np.arange(300) >= 180

        def judged(hidden):
            fitted = attack.fit(features[fit], member[fit], Options(hidden=hidden, l2=1e-3))
            return roc.auc(np.asarray(attack.logit(fitted, features[rest])), member[rest])

        assert judged(0) < 0.65
        assert judged(5) > 0.95

    def test_shapes_and_bias(self):
        features, member = overlapping()
        fitted = attack.fit(features, member, Options(hidden=5))
        shapes = [(kernel.shape, bias.shape) for kernel, bias in fitted.layers]
        assert shapes == [((6, 5), (5,)), ((5, 1), (1,))]

    def test_beside_numpy(self):
        features, member = overlapping()
        fitted = attack.fit(features, member, Options(hidden=5))
        (inner, offset), (kernel, bias) = fitted.layers
        x = np.tanh((features - fitted.mean) / fitted.std @ inner + offset)
        np.testing.assert_allclose(
            attack.logit(fitted, features), (x @ kernel + bias)[:, 0], rtol=1e-3, atol=1e-4
        )


class TestMoved:
    """An attack fitted on one backbone, applied to another whose distances have other units."""

    def test_standardised_by(self):
        features, member = overlapping()
        fitted = attack.fit(features, member, Options())
        scale = np.array([3.0, 0.1, 20.0, 1.0, 5.0, 0.5])
        there = features * scale - 4
        moved = attack.standardised_by(fitted, there[~member])
        np.testing.assert_allclose(moved.mean, there[~member].mean(0), rtol=1e-4)
        np.testing.assert_allclose(moved.std, there[~member].std(0), rtol=1e-4)
        np.testing.assert_allclose(
            attack.logit(moved, there), attack.logit(fitted, features), rtol=1e-3, atol=1e-3
        )
        assert moved.layers is fitted.layers

    def test_is_a_pytree(self):
        fitted = attack.fit(*overlapping(), Options(hidden=5))
        assert len(jax.tree.leaves(fitted)) == 6
        features = jnp.asarray(overlapping()[0], jnp.float32)
        found = jax.jit(attack.logit)(fitted, features)
        np.testing.assert_allclose(found, attack.logit(fitted, features), rtol=1e-4, atol=1e-5)
        one = jax.vmap(attack.logit, in_axes=(None, 0))(fitted, features)
        np.testing.assert_allclose(one, found, rtol=1e-4, atol=1e-5)
        assert np.isfinite(jax.grad(lambda x: attack.logit(fitted, x).sum())(features)).all()


def test_log_distances():
    found = attack.log_distances(np.array([[0.0, 1.0, 1e6]], np.float32))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, [[np.log(1e-12), 0, np.log(1e6)]], rtol=1e-6)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda x, m: (np.where(np.arange(len(x))[:, None] == 3, np.nan, x), m), 'not finite'),
        (lambda x, m: (x, np.zeros_like(m)), 'found 0 members among 180 images .* expected both'),
        (lambda x, m: (x, np.ones_like(m)), 'found 180 members among 180 images'),
    ],
)
def test_bad_data(change, message):
    with pytest.raises(InputError, match=message) as caught:
        attack.fit(*change(*overlapping()), Options())
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'hidden': -1}, 'hidden: found -1'),
        ({'hidden': 4097}, 'hidden: found 4097'),
        ({'l2': 0.0}, 'l2: found 0.0'),
        ({'l2': float('nan')}, 'l2: found nan'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        Options(**options)
