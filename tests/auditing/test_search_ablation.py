"""The variants of the search do what they are named for, on planted and on embedded networks."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference.inversion import candidate, goals, judge
from tests.auditing import search_ablation
from tests.inversion import worlds


@pytest.fixture(scope='module')
def searched():
    how = dataclasses.replace(worlds.HOW, candidates=2, keep=2, steps=4)
    wanted = np.random.default_rng(0).normal(size=(2, worlds.WIDTH)).astype(np.float32)
    goal = goals.templates(wanted, strength=how.strength, prior=0.0)
    return search_ablation.Searched(made=worlds.subject_of(how, guided=False), goal=goal, how=how)


def test_the_candidate_nearest_to_the_mean_is_chosen():
    same = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    assert search_ablation.agreeing(judge.unit(np.concatenate([same, same[::-1]])), 3).tolist() == [
        1,
        4,
    ]


def test_the_ball_shortens_only_what_is_longer():
    np.testing.assert_allclose(search_ablation.in_ball(jnp.array([3.0, 4.0]), 1.0), [0.6, 0.8])
    np.testing.assert_allclose(search_ablation.in_ball(jnp.array([0.3, 0.4]), 1.0), [0.3, 0.4])


def test_a_linear_map_is_found_by_the_ridge():
    draw = np.random.default_rng(0)
    embeddings = judge.unit(draw.normal(size=(400, 8)))
    white = embeddings @ draw.normal(size=(8, 5)) + 0.5
    wanted = judge.unit(draw.normal(size=(3, 8)))
    found = search_ablation.maps(embeddings, white, wanted)
    true = wanted @ np.linalg.lstsq(embeddings, white - 0.5, rcond=None)[0] + 0.5
    np.testing.assert_allclose(found['ridge regression'], true, atol=1e-2)
    # The best random latent moved by an exact map is where the map points.
    np.testing.assert_allclose(
        found['best random latent, moved by the ridge'], found['ridge regression'], atol=1e-2
    )
    nearest = (wanted @ embeddings.T).argmax(1)
    np.testing.assert_array_equal(found['best random latent'], white[nearest])


def test_a_path_is_averaged_over_its_last_half(searched):
    states, optimiser = searched.begun(2, 4)
    before = searched.looked(states)['objective']
    step = searched.program(
        candidate.advancing, searched.made.scene, 2, 'cosine', optimiser, 1, total=4
    )
    whites = []
    for _ in range(4):
        states, _ = step(states)
        whites.append(np.array(states['white']))
    end, mean = searched.path(2, 4)
    np.testing.assert_array_equal(end['white'], whites[-1])
    np.testing.assert_allclose(mean, (whites[2] + whites[3]) / 2, atol=1e-6)
    for latents in (None, mean):
        assert (searched.looked(end, latents)['objective'] > before).all()


def test_moved_features_come_nearer_to_the_template(searched, monkeypatch):
    monkeypatch.setattr(search_ablation, 'LAYER', 'b4_conv1')
    states, _ = searched.begun(2, 4)
    before, wanted = searched.looked(states), np.array(states['wanted'])
    images, embeddings = search_ablation.feature_steps(searched, before['latent'], wanted)
    cosine = (before['embedding'] * wanted).sum(1)
    assert ((embeddings * wanted).sum(1) > cosine).all()
    assert images.shape == before['image'].shape
    scene, constants = searched.made.scene, searched.made.constants

    @jax.jit
    def rendered(share):
        def render():
            return scene.render(constants.generator, before['latent'][0])

        image, features = search_ablation.with_moved_features(render, None)
        return image, features, search_ablation.with_moved_features(render, share * features)[0]

    image, features, moved = rendered(0.5)
    assert features.shape[1:3] == (4, 4)
    np.testing.assert_allclose(jnp.clip(image, 0, 255), before['image'][0], atol=0.6)
    assert np.abs(moved - image).max() > 1
