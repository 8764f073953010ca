"""The paper's attack: logarithms of the distances, one a layer."""

import numpy as np
import pytest

from fr_inference.membership import attacks
from tests.membership.attacks import planted

ATTACK = attacks.get('bn-distance')


def test_logarithms_of_the_distances():
    images = planted.drawn(0)
    found = ATTACK.examples(images, planted.halves(images), 0)
    np.testing.assert_allclose(found.features, np.log(images.distances + 1e-12), rtol=1e-5)
    assert found.access is None
    assert ATTACK.access == 'file'


def test_not_without_layers():
    images = planted.drawn(0)
    assert ATTACK.examples(planted.without_layers(images), planted.halves(images), 0) is None


class TestFinds:
    @pytest.mark.parametrize('setting', ['partial', 'auxiliary'])
    def test_what_leaks(self, setting):
        planted.assert_found('bn-distance', setting, 'distances')

    @pytest.mark.parametrize('setting', ['partial', 'auxiliary'])
    def test_nothing_without_a_leak(self, setting):
        planted.assert_nothing('bn-distance', setting, 'distances')

    def test_keeps_to_its_half(self):
        planted.assert_keeps_to_its_half('bn-distance')
