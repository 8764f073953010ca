"""Weights count as many latents as they should; starts are between the latents that look right."""

import numpy as np
import pytest

from fr_inference.inversion import starts


@pytest.fixture(scope='module')
def world():
    """Latents on a curved surface, their embeddings, and 20 others' embeddings with their latents."""
    draw = np.random.default_rng(0)
    mixing = draw.normal(size=(4, 12))
    white = draw.normal(size=(3020, 4))
    seen = np.tanh(white @ mixing)
    seen /= np.linalg.norm(seen, axis=1, keepdims=True)
    return white[:3000], seen[:3000], white[3000:], seen[3000:]


@pytest.mark.parametrize('count', [1.5, 6, 100])
def test_so_many_latents_count(world, count):
    _, seen, _, wanted = world
    found = starts.weights(wanted @ seen.T, count)
    np.testing.assert_allclose(found.sum(1), 1)
    np.testing.assert_allclose(1 / (found**2).sum(1), count, rtol=1e-3)
    for cosines, row in zip(wanted @ seen.T, found, strict=True):
        order = np.argsort(cosines)
        assert (np.diff(row[order]) >= 0).all()


def test_starts_are_nearer_than_the_best_latent(world):
    white, seen, hidden, wanted = world
    found = starts.near(wanted.astype(np.float32), seen.astype(np.float32), white)
    assert found.shape == (20, 4)
    assert found.dtype == np.float32

    def look(latents):
        again = np.tanh(latents @ np.random.default_rng(0).normal(size=(4, 12)))
        return again / np.linalg.norm(again, axis=1, keepdims=True)

    np.testing.assert_allclose(look(hidden), wanted)
    best = (wanted @ seen.T).max(1)
    assert ((look(found) * wanted).sum(1) > best).mean() > 0.7


def test_few_latents_and_damaged_ones():
    wanted = np.eye(3, dtype=np.float32)[:1]
    white = np.arange(8.0).reshape(4, 2)
    seen = np.float32([[1, 0, 0], [0, 1, 0], [np.nan, 0, 0], [0, 0, 0]])
    found = starts.weights(wanted @ np.nan_to_num(seen).T, 4)
    np.testing.assert_allclose(found, 0.25, atol=1e-6)
    assert np.isfinite(starts.near(wanted, seen, white)).all()


def test_later_axes_are_kept(world):
    white, seen, _, wanted = world
    layers = np.repeat(white[:, None], 3, axis=1)
    found = starts.near(wanted, seen, layers)
    np.testing.assert_allclose(found[:, 1], starts.near(wanted, seen, white), rtol=1e-5)
