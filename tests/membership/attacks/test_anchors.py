"""Cosines with strangers of the fit half, picture by picture."""

import numpy as np
import pytest

from fr_inference.membership import attacks
from fr_inference.membership.attacks import anchors
from tests.membership.attacks import planted

ATTACK = attacks.get('anchors')


def by_hand(images, fit, row):
    """Quantiles by rank, the mean of the ten highest, the highest, of cosines with other people."""
    own = images.embeddings[row].astype(np.float64)
    cosines = sorted(
        float(own @ other / np.linalg.norm(own) / np.linalg.norm(other))
        for other, name, known, member in zip(
            images.embeddings.astype(np.float64), images.identities, fit, images.member, strict=True
        )
        if known and not member and name != images.identities[row]
    )
    last = len(cosines) - 1
    return [
        *(cosines[round(step / 15 * last)] for step in range(16)),
        np.mean(cosines[-10:]),
        cosines[-1],
    ]


def test_of_every_image():
    images = planted.drawn(0)
    fit = planted.halves(images)
    found = ATTACK.examples(images, fit, 0).features
    expected = [by_hand(images, fit, row) for row in range(len(images))]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_many_images_are_compared_in_parts(monkeypatch):
    images = planted.drawn(0)
    fit = planted.halves(images)
    whole = ATTACK.examples(images, fit, 0).features
    monkeypatch.setattr(anchors, '_CHUNK_NUMBERS', 7 * int((fit & ~images.member).sum()))
    np.testing.assert_allclose(ATTACK.examples(images, fit, 0).features, whole, atol=1e-6)


def test_fewer_strangers_than_are_averaged():
    images = planted.drawn(0)
    keep = images.member | np.isin(images.identities, images.identities[-6:])
    few, fit = images.select(keep), np.ones(int(keep.sum()), bool)
    found = ATTACK.examples(few, fit, 0).features
    expected = [by_hand(few, fit, row) for row in range(len(few))]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize('people', [0, 1])
def test_not_without_two_strangers(people):
    images = planted.drawn(0)
    fit = images.member | np.isin(images.identities, images.identities[-1:] * people)
    assert ATTACK.examples(images, fit, 0) is None


class TestFinds:
    @pytest.mark.parametrize('setting', ['partial'])
    def test_what_leaks(self, setting):
        planted.assert_found('anchors', setting, 'anchors')

    @pytest.mark.parametrize('setting', ['partial'])
    def test_nothing_without_a_leak(self, setting):
        planted.assert_nothing('anchors', setting, 'anchors')

    def test_keeps_to_its_half(self):
        planted.assert_keeps_to_its_half('anchors')
