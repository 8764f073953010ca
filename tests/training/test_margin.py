"""Margin softmax against the papers' formulas, its gradients, and its shape."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_inference.config import Recipe
from fr_inference.errors import InputError
from fr_inference.training import margin
from fr_inference.training.margin import MARGINS, Margin

ALL = [*MARGINS.values(), Margin(m1=4.0), Margin(m1=1.35, m2=0.3, m3=0.2), Margin(m2=math.pi)]


def own(cosine, found):
    return margin.penalised(jnp.asarray(cosine, jnp.float32), m1=found.m1, m2=found.m2, m3=found.m3)


# Angles at which no margin of the papers reaches beyond pi.
ANGLES = np.linspace(0.01, 2.2, 50)


@pytest.mark.parametrize(
    ('name', 'formula'),
    [
        ('arcface', lambda angle: np.cos(angle + 0.5)),
        ('cosface', lambda angle: np.cos(angle) - 0.35),
        ('sphereface', lambda angle: np.cos(1.35 * angle)),
        ('combined', lambda angle: np.cos(angle + 0.3) - 0.2),
        ('softmax', np.cos),
    ],
)
def test_formulas(name, formula):
    found = own(np.cos(ANGLES), MARGINS[name])
    np.testing.assert_allclose(found, formula(ANGLES), atol=1e-4)


def test_sphereface_continues_piecewise():
    """Liu et al. 2017, equation 7: (-1)^k cos(m theta) - 2k on [k pi / m, (k + 1) pi / m]."""
    angles = np.linspace(0.01, 3.13, 200)
    k = np.floor(4 * angles / np.pi)
    expected = (-1) ** k * np.cos(4 * angles) - 2 * k
    np.testing.assert_allclose(own(np.cos(angles), Margin(m1=4.0)), expected, atol=2e-3)


@pytest.mark.parametrize('choice', ALL, ids=str)
def test_falls_with_the_angle_without_steps(choice):
    angles = np.linspace(0, math.pi, 2001)
    values = np.asarray(own(np.cos(angles), choice), np.float64)
    assert (np.diff(values) <= 1e-5).all()
    assert values[0] - values[-1] > 1.9
    assert np.abs(np.diff(values)).max() < 0.02 * choice.m1


@pytest.mark.parametrize('choice', ALL, ids=str)
@pytest.mark.parametrize('cosine', [-1.0, 1.0, -1.0000001, 1.0000001, 0.0])
def test_value_and_gradient_are_finite_everywhere(choice, cosine):
    value, gradient = jax.value_and_grad(lambda c: own(c, choice))(jnp.float32(cosine))
    assert np.isfinite(value)
    assert np.isfinite(gradient)
    assert gradient >= 0


@pytest.mark.parametrize('choice', ALL, ids=str)
def test_gradient_against_differences(choice):
    angles = np.array([0.3, 1.1, 2.5])
    gradient = jax.vmap(jax.grad(lambda c: own(c, choice)))(jnp.cos(jnp.asarray(angles, 'float32')))
    # d psi / d cos(theta) = sin(phi) (-1)^k m1 / sin(theta)
    phi = choice.m1 * angles + choice.m2
    expected = np.abs(np.sin(phi)) * choice.m1 / np.sin(angles)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4)


@given(st.integers(0, 1000), st.sampled_from(sorted(MARGINS)))
def test_only_the_own_class_is_penalised(seed, name):
    generator = np.random.default_rng(seed)
    cosine = generator.uniform(-0.5, 0.9, (6, 4)).astype(np.float32)
    labels = generator.integers(0, 4, 6).astype(np.int32)
    found = np.asarray(margin.logits(jnp.asarray(cosine), jnp.asarray(labels), MARGINS[name]))
    expected = 64 * cosine
    for row, label in enumerate(labels):
        expected[row, label] = 64 * own(cosine[row, label], MARGINS[name])
        assert (found[row, label] < 64 * cosine[row, label]) == (name != 'softmax')
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_scale_multiplies():
    cosine, labels = jnp.asarray([[0.3, 0.1]], jnp.float32), jnp.asarray([0], jnp.int32)
    one, ten = (margin.logits(cosine, labels, Margin(m2=0.5, scale=s)) for s in (1.0, 10.0))
    np.testing.assert_allclose(10 * one, ten, rtol=1e-6)


def test_cosines_do_not_depend_on_lengths():
    generator = np.random.default_rng(0)
    first, second = (generator.normal(size=(n, 8)).astype(np.float32) for n in (5, 3))
    expected = (first / np.linalg.norm(first, axis=1)[:, None]) @ (
        second / np.linalg.norm(second, axis=1)[:, None]
    ).T
    found = margin.cosines(jnp.asarray(7 * first), jnp.asarray(0.1 * second))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_cosine_of_nothing_has_a_finite_gradient():
    ones = jnp.ones((1, 4), jnp.float32)
    gradient = jax.grad(lambda x: margin.cosines(x, ones).sum())(jnp.zeros((1, 4), jnp.float32))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('m1', 0.5),
        ('m1', 9.0),
        ('m2', -0.1),
        ('m2', 28.6),
        ('m3', -0.35),
        ('m3', 3.0),
        ('scale', 0.0),
    ],
)
def test_bad_margins(field, value):
    with pytest.raises(InputError) as caught:
        Margin(**{field: value})
    assert (caught.value.field, caught.value.found) == (field, str(value))
    assert ('radians' in caught.value.expected) == (field == 'm2')


class TestChosen:
    def test_what_is_given_replaces_what_is_named(self):
        assert margin.chosen(Recipe()) == MARGINS['arcface']
        found = margin.chosen(Recipe(margin='cosface', m2=0.1, scale=30.0))
        assert found == Margin(m2=0.1, m3=0.35, scale=30.0)

    @pytest.mark.parametrize('found', ALL)
    def test_there_and_back(self, found):
        assert margin.chosen(Recipe(**margin.options_of(found))) == found


@pytest.mark.parametrize('smoothing', [-0.5, 0.0, 0.1])
def test_cross_entropy_with_shared_labels(smoothing):
    """By optax's own smoothed labels."""
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4)) * 20, jnp.float32)
    labels = jnp.array([0, 1, 2, 3, 0, 1])
    smooth = optax.smooth_labels(jax.nn.one_hot(labels, 4), smoothing)
    expected = optax.softmax_cross_entropy(logits, smooth)
    found = margin.cross_entropy(logits, labels, smoothing)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
