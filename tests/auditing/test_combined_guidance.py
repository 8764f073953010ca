"""The guide with one more distance: what it adds, and that it changes nothing else."""

import numpy as np

from fr_inference.data import sources
from fr_inference.measuring import measurements
from fr_inference.weights.targets import open_target
from tests.auditing import combined_guidance


def test_one_distance_more_is_the_squared_length():
    plain = open_target('demo_few')
    faces = sources.open_faces('procedural:easy,images=2,seed=4,people=3')
    found = measurements.measure(plain, faces)
    more = measurements.measure(combined_guidance.with_signals(plain, 2.0), faces)
    np.testing.assert_allclose(more.embeddings, found.embeddings, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(more.distances[:, :-1], found.distances, rtol=1e-4)
    squared = (found.embeddings**2).sum(1) / 2.0**2
    np.testing.assert_allclose(more.distances[:, -1], squared, rtol=1e-4)


def test_a_reference_adds_its_distances_and_what_changed_since():
    plain, reference = open_target('demo_few'), open_target('demo_leaky')
    faces = sources.open_faces('procedural:easy,images=2,seed=4,people=3')
    before, found = (measurements.measure(one, faces) for one in (reference, plain))
    more = measurements.measure(combined_guidance.with_signals(plain, 1.0, reference), faces)
    np.testing.assert_allclose(more.embeddings, found.embeddings, rtol=1e-5, atol=1e-6)
    own = found.distances.shape[1]
    np.testing.assert_allclose(more.distances[:, :own], found.distances, rtol=1e-4)
    np.testing.assert_allclose(more.distances[:, own : 2 * own], before.distances, rtol=1e-4)
    lengths = [np.linalg.norm(one.embeddings, axis=1) for one in (found, before)]
    cosine = (found.embeddings * before.embeddings).sum(1) / (lengths[0] * lengths[1])
    signals = np.stack([lengths[0] ** 2, 1 - cosine, (lengths[0] / lengths[1]) ** 2], axis=1)
    np.testing.assert_allclose(more.distances[:, 2 * own :], signals, rtol=1e-3)
