"""Four norms of the embedding."""

import numpy as np
import pytest

from fr_inference.membership import attacks
from fr_inference.membership.attacks import norm
from tests.membership.attacks import planted

ATTACK = attacks.get('norm')


def test_logarithms_of_four_norms():
    images = planted.drawn(0)
    found = ATTACK.examples(images, planted.halves(images), 0).features
    for row, embedding in zip(found, images.embeddings.astype(np.float64), strict=True):
        sizes = [abs(number) for number in embedding]
        powers = [sum(size**power for size in sizes) ** (1 / power) for power in (1, 2, 4)]
        np.testing.assert_allclose(row, np.log([*powers, max(sizes)]), rtol=1e-9)


def test_embedding_of_nothing():
    assert np.isfinite(norm.log_norms(np.zeros((1, 3), np.float32))).all()


def test_needs_no_file():
    images = planted.drawn(0)
    fit = planted.halves(images)
    bare = ATTACK.examples(planted.without_layers(images), fit, 0)
    np.testing.assert_array_equal(bare.features, ATTACK.examples(images, fit, 0).features)
    assert ATTACK.access == 'answers'


class TestFinds:
    @pytest.mark.parametrize('setting', ['partial', 'auxiliary', 'strangers'])
    def test_what_leaks(self, setting):
        planted.assert_found('norm', setting, 'length')

    @pytest.mark.parametrize('setting', ['partial', 'auxiliary', 'strangers'])
    def test_nothing_without_a_leak(self, setting):
        planted.assert_nothing('norm', setting, 'length')

    def test_keeps_to_its_half(self):
        planted.assert_keeps_to_its_half('norm')
