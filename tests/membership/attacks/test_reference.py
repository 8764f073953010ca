"""What changed against reference networks, image by image."""

import dataclasses

import numpy as np
import pytest
from scipy import special

from fr_inference.membership import attacks
from tests.membership.attacks import planted

NAMES = ('reference', 'reference-distances', 'reference-ratio', 'reference-ratio-distances')


def two_references():
    """Images with two references, the second with other embeddings and no layer names in common."""
    images, other = planted.drawn(0), planted.drawn(1)
    second = dataclasses.replace(
        other.references['base'],
        embeddings=other.references['base'].embeddings[:, :4],
        layers=('a', 'b', 'c'),
    )
    return dataclasses.replace(images, references={**images.references, 'second': second})


def features(name, images):
    return attacks.get(name).examples(images, planted.halves(images), 0).features


def lengths(measured):
    return np.log([np.linalg.norm(one.astype(np.float64)) for one in measured.embeddings])


def test_cosine_and_ratio_of_lengths_with_each():
    images = two_references()
    base, second = images.references.values()
    found = features('reference', images)
    cosines = [
        one @ two / np.linalg.norm(one) / np.linalg.norm(two)
        for one, two in zip(
            images.embeddings.astype(np.float64), base.embeddings.astype(np.float64), strict=True
        )
    ]
    own = lengths(images)
    expected = [cosines, own - lengths(base), np.zeros(len(own)), own - lengths(second)]
    np.testing.assert_allclose(found, np.stack(expected, 1), atol=1e-9)


def test_distances_less_those_of_references_with_the_same_layers():
    images = two_references()
    base = images.references['base']
    own = np.log(images.distances + 1e-12)
    expected = np.concatenate([own - np.log(base.distances + 1e-12), own], axis=1)
    np.testing.assert_allclose(features('reference-distances', images), expected, atol=1e-5)


def ratios(signals, images):
    """RMIA's and BASE's scores by their definitions."""
    known = planted.halves(images) & ~images.member
    signals = [(one - one[known].mean()) / one[known].std() for one in signals]
    shares = [special.expit(one) for one in signals]
    expected = 0.5 * (1.33 * np.mean(shares[1:], axis=0) + 0.67)
    ratio = shares[0] / expected
    relative = [np.mean(value / ratio[known] >= 2) for value in ratio]
    mean = special.logsumexp(signals[1:], axis=0) - np.log(len(signals) - 1)
    return np.stack([relative, signals[0] - mean], axis=1)


def test_ratios_of_lengths():
    images = two_references()
    signals = [lengths(one) for one in (images, *images.references.values())]
    found = features('reference-ratio', images)
    np.testing.assert_allclose(found, ratios(signals, images), atol=1e-6)
    assert len(np.unique(found[:, 0])) > 3


def test_ratios_of_mean_distances():
    """Closer is higher, as longer is."""
    images = two_references()
    networks = (images, *images.references.values())
    signals = [-np.log(one.distances + 1e-12).mean(1).astype(np.float64) for one in networks]
    found = features('reference-ratio-distances', images)
    np.testing.assert_allclose(found, ratios(signals, images), atol=1e-4)


@pytest.mark.parametrize('name', NAMES)
def test_not_without_references(name):
    images = planted.drawn(0)
    fit = planted.halves(images)
    alone = dataclasses.replace(images, references={})
    assert attacks.get(name).examples(alone, fit, 0) is None
    assert attacks.get(name).references


@pytest.mark.parametrize('name', ['reference-distances', 'reference-ratio-distances'])
def test_not_without_layers(name):
    images = planted.drawn(0)
    fit = planted.halves(images)
    assert attacks.get(name).examples(planted.without_layers(images), fit, 0) is None
    bare = dataclasses.replace(
        images, references={'base': planted.without_layers(images).references['base']}
    )
    plain = dataclasses.replace(bare.references['base'], layers=(), distances=bare.distances[:, :0])
    bare = dataclasses.replace(bare, references={'base': plain})
    assert attacks.get(name).examples(bare, fit, 0) is None


SETTINGS = [
    ('reference', 'partial', 'direction'),
    ('reference', 'auxiliary', 'direction'),
    ('reference-distances', 'partial', 'shortly-closer'),
    ('reference-distances', 'auxiliary', 'shortly-closer'),
    ('reference-ratio', 'partial', 'shortly-longer'),
    ('reference-ratio', 'strangers', 'shortly-longer'),
    ('reference-ratio-distances', 'partial', 'shortly-closer'),
]


class TestFinds:
    @pytest.mark.parametrize(('name', 'setting', 'leak'), SETTINGS)
    def test_what_leaks(self, name, setting, leak):
        planted.assert_found(name, setting, leak)

    def test_what_pictures_hide_from_the_length_itself(self):
        assert all(
            planted.interval('reference-ratio', 'strangers', seed, 'shortly-longer')[0]
            > planted.interval('norm', 'strangers', seed, 'shortly-longer')[0]
            for seed in range(4)
        )

    @pytest.mark.parametrize(('name', 'setting', 'leak'), SETTINGS)
    def test_nothing_without_a_leak(self, name, setting, leak):
        planted.assert_nothing(name, setting, leak)

    @pytest.mark.parametrize('name', NAMES)
    def test_keeps_to_its_half(self, name):
        planted.assert_keeps_to_its_half(name)
