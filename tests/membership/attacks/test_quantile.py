"""The standard score among strangers who look like this, by scikit-learn's ridge regression."""

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from fr_inference import rng
from fr_inference.membership import attacks, trials
from fr_inference.membership.attacks.norm import log_norms
from fr_inference.membership.labelled import Labelled
from fr_inference.metrics import intervals
from tests.membership.attacks import planted

LENGTHS, DISTANCES = attacks.get('quantile'), attacks.get('quantile-distances')


def standard_scores(seen, signal, learn, judge):
    """(signal - mean) / spread of the images in `judge`, with both learned from `learn`."""
    scale = np.sqrt(((seen[learn] - seen[learn].mean(0)) ** 2).mean())
    seen, known = seen / scale, seen[learn] / scale
    ridge = Ridge(alpha=len(known))
    means = ridge.fit(known, signal[learn]).predict
    left = signal - means(seen)
    logs = np.log(left**2 + 1e-4 * left[learn].var() + 1e-12)
    spreads = ridge.fit(known, logs[learn]).predict
    low, high = np.quantile(spreads(known), [0.05, 0.95])
    return (left / np.exp(0.5 * np.clip(spreads(seen), low, high)))[judge]


def by_hand(images, signal, fit, seed):
    """Strangers of the fit half by those of its other half of the people, everybody else by all."""
    seen = images.blind.embeddings.astype(np.float64)
    strangers = fit & ~images.member
    names = np.array(images.identities)
    people = np.unique(names[strangers])
    order = rng.numpy_generator(seed, 'quantile').permutation(len(people))
    first = np.isin(names, people[order[: len(people) // 2]])
    found = np.zeros(len(names))
    for learn, judge in (
        (strangers, ~strangers),
        (strangers & first, strangers & ~first),
        (strangers & ~first, strangers & first),
    ):
        assert learn is strangers or not set(names[learn]) & set(names[judge])
        found[judge] = standard_scores(seen, signal, learn, judge)
    return found


def test_of_lengths():
    images = planted.drawn(0)
    fit = planted.halves(images)
    found = LENGTHS.examples(images, fit, 4).features
    expected = by_hand(images, log_norms(images.embeddings)[:, 1], fit, 4)
    assert found.shape == (len(images), 1)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-8)


def test_of_each_layer():
    images = planted.drawn(0)
    fit = planted.halves(images)
    found = DISTANCES.examples(images, fit, 4).features
    logs = images.log_distances.astype(np.float64)
    expected = [by_hand(images, layer, fit, 4) for layer in logs.T]
    np.testing.assert_allclose(found, np.stack(expected, 1), rtol=1e-7)


def test_looks_at_no_member():
    """Whatever the members of the fit half are, everybody else's scores stay."""
    images = planted.drawn(0)
    fit = planted.halves(images)
    own = fit & images.member
    found = LENGTHS.examples(images, fit, 0).features
    other = images.embeddings.copy()
    other[own] = np.random.default_rng(0).normal(size=other[own].shape)
    changed = dataclasses.replace(images, embeddings=other)
    np.testing.assert_array_equal(LENGTHS.examples(changed, fit, 0).features[~own], found[~own])


def test_not_without_a_blind_backbone_or_with_three_strangers():
    images = planted.drawn(0)
    fit = planted.halves(images)
    assert LENGTHS.examples(dataclasses.replace(images, blind=None), fit, 0) is None
    assert DISTANCES.examples(planted.without_layers(images), fit, 0) is None
    names = np.array(images.identities)
    for count, runs in ((3, False), (4, True)):
        people = np.unique(names[~images.member])[:count]
        some = images.member | np.isin(names, people)
        assert (LENGTHS.examples(images, some, 0) is not None) == runs


def test_a_signal_that_never_varies_is_no_division_by_nothing():
    images = planted.drawn(0)
    same = dataclasses.replace(images, embeddings=np.ones_like(images.embeddings))
    found = LENGTHS.examples(same, planted.halves(images), 0).features
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, 0, atol=1e-3)


class TestAsAControl:
    """In the blind backbone, which is then its own blind backbone."""

    @staticmethod
    def low_and_high(seed, longer=0.0):
        """The AUC's interval, with the members' embeddings longer than the picture lets expect."""
        images = planted.drawn(seed, 'shortly-longer')
        scale = np.exp(longer * images.member)[:, None].astype(np.float32)
        base = images.references['base']
        blind = dataclasses.replace(base, embeddings=scale * base.embeddings)
        seen = Labelled.of(blind, images.member, blind=blind)
        trial = trials.run_attack(LENGTHS, seen, planted.halves(images, seed), seed, 'strangers')
        return intervals.figures(trial.scored, seed=seed, replicates=100)['auc_ci95']

    def test_sees_that_one_side_is_longer(self):
        assert sum(self.low_and_high(seed, longer=3.0)[0] > 0.5 for seed in range(8)) >= 7

    def test_sees_nothing_where_only_the_target_leaks(self):
        found = [self.low_and_high(seed) for seed in range(40)]
        assert sum(low <= 0.5 <= high for low, high in found) >= 36

    def test_a_length_is_not_predicted_from_itself(self):
        """Scaling one image scales its length, and nothing that predicts it."""
        images = planted.drawn(0)
        fit = planted.halves(images)
        row = np.flatnonzero(~fit)[0]
        blind = images.blind.embeddings.copy()
        blind[row] *= np.float32(np.e)
        found = [
            LENGTHS.examples(Labelled.of(one, images.member, blind=one), fit, 0).features[row, 0]
            for one in (images.blind, dataclasses.replace(images.blind, embeddings=blind))
        ]
        by_hand_spread = found[1] - found[0]
        twice = images.blind.embeddings.copy()
        twice[row] *= np.float32(np.e**2)
        doubled = dataclasses.replace(images.blind, embeddings=twice)
        last = LENGTHS.examples(Labelled.of(doubled, images.member, blind=doubled), fit, 0)
        assert by_hand_spread > 0
        np.testing.assert_allclose(last.features[row, 0] - found[0], 2 * by_hand_spread, rtol=1e-4)


SETTINGS = [
    ('quantile', 'partial', 'shortly-longer'),
    ('quantile', 'strangers', 'shortly-longer'),
    ('quantile-distances', 'partial', 'shortly-closer'),
]


class TestFinds:
    @pytest.mark.parametrize(('name', 'setting', 'leak'), SETTINGS)
    def test_what_leaks(self, name, setting, leak):
        planted.assert_found(name, setting, leak)

    def test_what_pictures_hide_from_the_length_itself(self):
        assert all(
            planted.interval('quantile', 'strangers', seed, 'shortly-longer')[0]
            > planted.interval('norm', 'strangers', seed, 'shortly-longer')[0]
            for seed in range(4)
        )

    @pytest.mark.parametrize(('name', 'setting', 'leak'), SETTINGS)
    def test_nothing_without_a_leak(self, name, setting, leak):
        planted.assert_nothing(name, setting, leak)

    @pytest.mark.parametrize('name', ['quantile', 'quantile-distances'])
    def test_keeps_to_its_half(self, name):
        planted.assert_keeps_to_its_half(name)
