import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference import errors
from fr_inference.models.answers import Answers


@pytest.fixture(scope='module')
def embeddings():
    return jnp.asarray(np.random.default_rng(0).normal(size=(200, 64)), jnp.float32)


def test_noise_has_the_size_that_is_said(embeddings):
    added = Answers(noise=0.5)(embeddings) - embeddings
    sizes = np.sqrt(np.mean(np.square(embeddings), 1))
    np.testing.assert_allclose(np.std(added / sizes[:, None]), 0.5, rtol=0.05)
    np.testing.assert_allclose(np.corrcoef(added)[~np.eye(200, dtype=bool)], 0, atol=0.7)


def test_asking_again_does_not_average_noise_away(embeddings):
    answers = Answers(noise=0.5)
    again = answers(embeddings * 1.0001)
    np.testing.assert_allclose(again, answers(embeddings) * 1.0001, rtol=1e-5, atol=1e-6)
    alone = jnp.concatenate([answers(embeddings[row : row + 1]) for row in range(3)])
    np.testing.assert_allclose(alone, answers(embeddings[:3]), rtol=1e-5, atol=1e-6)


def test_positive_embeddings_do_not_share_their_noise(embeddings):
    positive = jnp.abs(embeddings)
    added = Answers(noise=0.5)(positive) - positive
    assert np.abs(np.corrcoef(added)[~np.eye(200, dtype=bool)]).max() < 0.7


def test_largest_numbers(embeddings):
    shown = np.asarray(Answers(largest=5)(embeddings))
    for row, whole in zip(shown, np.asarray(embeddings), strict=True):
        kept = np.argsort(-np.abs(whole))[:5]
        assert sorted(np.flatnonzero(row)) == sorted(kept)
        np.testing.assert_array_equal(row[kept], whole[kept])
    np.testing.assert_array_equal(Answers(largest=64)(embeddings), embeddings)


def test_bits(embeddings):
    shown = np.asarray(Answers(bits=4)(embeddings))
    step = np.abs(embeddings).max(1, keepdims=True) / 7
    whole = shown / step
    np.testing.assert_allclose(whole, np.round(whole), atol=1e-4)
    assert np.abs(shown - embeddings).max() <= step.max() / 2 * 1.001
    assert all(len(np.unique(np.round(row))) <= 15 for row in whole)


def test_unit_length_leaves_cosines(embeddings):
    shown = np.asarray(Answers(unit=True, bits=8)(embeddings))
    np.testing.assert_allclose(np.linalg.norm(shown, axis=1), 1, rtol=1e-5)
    longer = np.asarray(Answers(bits=8)(embeddings))
    np.testing.assert_allclose(
        shown, longer / np.linalg.norm(longer, axis=1, keepdims=True), atol=1e-6
    )
    assert np.isfinite(Answers(unit=True)(jnp.zeros((1, 64)))).all()


def test_gradients_pass_rounding(embeddings):
    grad = jax.grad(lambda one: Answers(bits=2)(one[None])[0, 3])(embeddings[0])
    np.testing.assert_array_equal(grad, np.eye(64)[3])


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('noise', -1),
        ('noise', float('nan')),
        ('largest', -1),
        ('bits', 1),
        ('bits', 17),
        ('unit', 2),
    ],
)
def test_wrong_values(field, value):
    with pytest.raises(errors.InputError) as raised:
        Answers(**{field: value})
    assert raised.value.field == field
