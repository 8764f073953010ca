"""A generator that copies its training photographs is told from one that draws other people."""

import numpy as np

from tests.auditing.generator_quality import nearness, one_each


def unit(array):
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def test_copies_are_seen_and_new_faces_are_not():
    draw = np.random.default_rng(0)
    training, strangers = (unit(draw.standard_normal((200, 16))) for _ in range(2))
    new = nearness(unit(draw.standard_normal((400, 16))), training, strangers)
    assert abs(new['nearer_to_training'] - 0.5) < 0.1
    assert abs(new['sample_50'] - new['stranger_50']) < 0.05
    copies = unit(training + 0.05 * draw.standard_normal(training.shape))
    found = nearness(copies, training, strangers)
    assert found['nearer_to_training'] > 0.95
    assert found['sample_50'] > 0.9 > found['stranger_50']


def test_one_photograph_of_each():
    identities = np.array(['a', 'b', 'a', 'c', 'b', 'a'])
    rows = one_each(identities, np.random.default_rng(1))
    assert sorted(identities[rows]) == ['a', 'b', 'c']
