"""Class centres are found from mixtures of them, and are not invented out of sight of them."""

import numpy as np
import pytest

from fr_inference import errors, processes
from fr_inference.data import sources
from fr_inference.inversion import centres, judge
from fr_inference.measuring import measurements
from fr_inference.weights import targets as opening


def mixtures(seed, people=8, width=16, count=4000):
    """Unit embeddings of strangers between `people` corners, and the corners."""
    draw = np.random.default_rng(seed)
    corners = np.linalg.qr(draw.normal(size=(width, width)))[0][:people]
    weights = draw.exponential(size=(count, people)) ** 2
    mixed = weights @ corners + 0.02 * draw.normal(size=(count, width))
    return mixed / np.linalg.norm(mixed, axis=1, keepdims=True), corners


@pytest.mark.parametrize('seed', [0, 1])
def test_corners_are_found(seed):
    embeddings, corners = mixtures(seed)
    found = centres.estimate(embeddings, 7, seed=0)
    assert found.shape == (7, 16)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    nearest = found @ corners.T
    assert np.median(nearest.max(1)) > 0.9
    assert len(set(nearest.argmax(1).tolist())) >= 6
    # No better towards directions that nobody was trained on.
    others = np.linalg.qr(np.random.default_rng(9).normal(size=(16, 16)))[0][:8]
    assert np.median((found @ others.T).max(1)) < 0.75


@pytest.mark.parametrize('seed', range(4))
def test_the_most_reliable_come_first(seed):
    # More corners than dimensions, askew: none is found exactly.
    draw = np.random.default_rng(seed)
    corners = draw.normal(size=(20, 16))
    corners /= np.linalg.norm(corners, axis=1, keepdims=True)
    embeddings = draw.exponential(size=(4000, 20)) ** 2 @ corners
    nearest = (centres.estimate(embeddings, 15, seed=0) @ corners.T).max(1)
    assert np.median(nearest) > 0.9
    assert np.median(nearest[:5]) > np.median(nearest[-5:])


def test_the_length_of_an_embedding_does_not_matter():
    embeddings, _ = mixtures(0)
    scaled = embeddings * np.random.default_rng(1).uniform(1, 9, (len(embeddings), 1))
    np.testing.assert_allclose(
        centres.estimate(embeddings, 4, seed=0), centres.estimate(scaled, 4, seed=0), atol=1e-4
    )


def test_the_people_of_a_trained_backbone_are_found():
    target = opening.open_target('demo_few')

    def embed(text):
        faces = sources.open_faces(f'procedural:easy,seed=4,{text}', 'faces')
        return judge.unit(measurements.measure(target, faces).embeddings)

    found = centres.estimate(embed('people=2048,images=1,first=5000'), 32, seed=0)
    people = {
        name: judge.unit(embed(f'people=32,images=4,first={first}').reshape(32, 4, -1).mean(1))
        for name, first in (('members', 0), ('others', 32))
    }
    members = found @ people['members'].T
    assert np.median(members.max(1)) > 0.9
    assert len(set(members.argmax(1).tolist())) >= 28
    assert np.median((found @ people['others'].T).max(1)) < 0.75


@pytest.mark.parametrize('count', [0, 17])
def test_too_many_or_none(count):
    with pytest.raises(errors.InputError) as caught:
        centres.estimate(mixtures(0)[0], count, seed=0)
    assert (caught.value.field, caught.value.found) == ('centres', str(count))
    assert caught.value.expected.startswith('1 to 16')


def test_few_that_are_alike():
    embeddings = np.repeat(mixtures(0)[0][:1], 9, axis=0)
    with pytest.raises(errors.InputError) as caught:
        centres.estimate(embeddings, 3, seed=0)
    assert caught.value.field == 'centres'
    # Many faces, but in a plane: two directions are all that there is to tell apart.
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, (500, 1))
    flat = np.cos(angle) * np.eye(16)[0] + np.sin(angle) * np.eye(16)[1]
    with pytest.raises(errors.InputError) as caught:
        centres.estimate(flat, 3, seed=0)
    assert (caught.value.field, caught.value.expected) == ('centres', 'at most 2')
    assert centres.estimate(flat, 2, seed=0).shape == (2, 16)


@pytest.mark.parametrize(('count', 'heard'), [(1, True), (2, False)])
def test_a_stop_is_heard_by_a_single_process(count, heard, monkeypatch):
    """Others would wait at a point that they do not pass."""
    embeddings, _ = mixtures(0)
    asked = []
    monkeypatch.setattr(processes, 'count', lambda: count)
    monkeypatch.setattr(processes, '_stopping', lambda: bool(asked.append(1)) or len(asked) > 2)
    if heard:
        with pytest.raises(processes.Stopped):
            centres.estimate(embeddings, 7, seed=0)
    else:
        assert len(centres.estimate(embeddings, 7, seed=0)) == 7
    assert len(asked) == 3 * heard
