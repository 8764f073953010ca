"""People with several images: how alike their embeddings are."""

import itertools

import numpy as np
import pytest

from fr_inference.membership import attacks, cross_fitting
from fr_inference.membership.attack import of_images
from tests.membership.attacks import planted

ATTACK = attacks.get('people')


def test_mean_cosine_and_mean_logit():
    images = planted.drawn(0)
    fit = planted.halves(images)
    found = ATTACK.examples(images, fit, 2)
    logits = cross_fitting.logits(of_images(images, fit, images.log_distances), 2)
    names = np.array(images.identities)
    for name, member, inside, row in zip(
        found.names, found.member, found.fit, found.features, strict=True
    ):
        own = np.flatnonzero(names == name)
        cosines = [
            one @ two / np.linalg.norm(one) / np.linalg.norm(two)
            for one, two in itertools.combinations(images.embeddings[own].astype(np.float64), 2)
        ]
        np.testing.assert_allclose(row, [np.mean(cosines), logits[own].mean()], atol=1e-12)
        assert (member, inside) == (images.member[own[0]], fit[own[0]])
    assert found.access == 'file'


def test_without_layers_the_embeddings_alone():
    images = planted.drawn(0)
    fit = planted.halves(images)
    found = ATTACK.examples(planted.without_layers(images), fit, 2)
    whole = ATTACK.examples(images, fit, 2)
    np.testing.assert_array_equal(found.features, whole.features[:, :1])
    assert found.access == 'answers'


class TestFinds:
    @pytest.mark.parametrize('leak', ['people', 'distances'])
    def test_what_leaks(self, leak):
        planted.assert_found('people', 'partial', leak)

    def test_nothing_without_a_leak(self):
        planted.assert_nothing('people', 'partial')

    def test_keeps_to_its_half(self):
        planted.assert_keeps_to_its_half('people')
