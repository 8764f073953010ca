"""Verification: thresholds and folds against brute force, pairs, mirror images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_inference.errors import InputError
from fr_inference.metrics import verification


def hits(scores, same, threshold):
    return int(np.sum((scores >= threshold) == same))


def brute_force(scores, same):
    """The most right answers that any threshold reaches."""
    return max(hits(scores, same, t) for t in [*np.unique(scores), np.inf])


@st.composite
def pairs(draw):
    count = draw(st.integers(2, 30))
    scores = draw(st.lists(st.integers(-3, 3), min_size=count, max_size=count))
    same = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    return np.array(scores, float) / 4, np.array(same)


@settings(max_examples=200)
@given(pairs())
def test_best_threshold_is_the_best(data):
    scores, same = data
    threshold = verification.best_threshold(scores, same)
    assert hits(scores, same, threshold) == brute_force(scores, same)


def test_best_threshold_lies_in_the_middle_of_the_gap():
    scores, same = np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, False, False])
    assert verification.best_threshold(scores, same) == pytest.approx(0.5)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_verify_against_a_direct_computation(seed, count):
    generator = np.random.default_rng(seed)
    folds = generator.permutation(np.arange(20 * count) % count)
    same = generator.random(20 * count) < 0.5
    scores = generator.normal(size=20 * count) + 2 * same
    accuracies = []
    for fold in range(count):
        rest, own = folds != fold, folds == fold
        best = brute_force(scores[rest], same[rest])
        reached = hits(
            scores[rest], same[rest], verification.best_threshold(scores[rest], same[rest])
        )
        assert reached == best
        threshold = verification.best_threshold(scores[rest], same[rest])
        accuracies.append(hits(scores[own], same[own], threshold) / own.sum())
    found = verification.verify(scores, same, folds)
    assert found.accuracy == pytest.approx(np.mean(accuracies))
    assert found.deviation == pytest.approx(np.std(accuracies))
    assert (found.folds, found.pairs) == (count, 20 * count)


def test_the_tested_fold_does_not_choose_its_threshold():
    """Fold 1's scores are shifted: on fold 0's threshold all its strangers pass."""
    scores = np.array([1.0, 1.0, 0.0, 0.0, 5.0, 5.0, 4.0, 4.0])
    same = np.array([True, True, False, False] * 2)
    folds = np.array([0] * 4 + [1] * 4)
    found = verification.verify(scores, same, folds)
    assert found.accuracy == 0.5
    assert verification.verify(scores[4:], same[4:], folds[4:]).accuracy == 1.0


def test_string_form():
    result = verification.Verification(0.98967, 0.005, 10, 6000)
    assert str(result) == 'accuracy 98.97 % ± 0.50 (10 folds, 6000 pairs)'


@pytest.mark.parametrize('same', [[], [True, True], [False]])
def test_one_kind_of_pairs_only(same):
    with pytest.raises(InputError) as caught:
        verification.verify(np.zeros(len(same)), np.array(same, bool), np.zeros(len(same)))
    assert (caught.value.field, caught.value.expected) == ('pairs', 'both kinds')


class TestSamplePairs:
    def test_labels_and_cosines(self):
        """One axis per person: pairs of one person have cosine 1, of two people 0."""
        identities = [name for name in 'abcd' for _ in range(5)]
        embeddings = np.repeat(np.eye(4), 5, axis=0) * np.arange(1, 21)[:, None]
        scores, same = verification.sample_pairs(embeddings, identities, seed=0)
        np.testing.assert_allclose(scores, same.astype(float))
        assert same.sum() == 4 * 10 == (~same).sum()

    def test_seeded_and_bounded(self):
        generator = np.random.default_rng(0)
        embeddings, identities = generator.normal(size=(60, 4)), np.arange(60) // 6
        first, again, other = (
            verification.sample_pairs(embeddings, identities, seed=seed, most=50)
            for seed in (0, 0, 1)
        )
        np.testing.assert_array_equal(first, again)
        assert (first[0] != other[0]).any()
        assert first[1].sum() == 50 == (~first[1]).sum()

    @pytest.mark.parametrize('identities', ['aaaa', 'abcd'])
    def test_too_few(self, identities):
        with pytest.raises(InputError) as caught:
            verification.sample_pairs(np.eye(4), list(identities), seed=0)
        assert caught.value.field == 'identities'


class TestOfPeople:
    def embedded(self, people, images, spread, seed=0):
        generator = np.random.default_rng(seed)
        person = np.repeat(np.arange(people), images)
        centres = generator.normal(size=(people, 16))
        embeddings = centres[person] + spread * generator.normal(size=(len(person), 16))
        return embeddings, [f'p{one}' for one in person]

    def test_perfect_but_not_certain(self):
        found = verification.of_people(*self.embedded(40, 4, 0.01), seed=0)
        assert found['accuracy'] == 1.0
        low, high = found['accuracy_ci95']
        assert 0.8 < low < 1.0 == high
        assert (found['people'], found['folds'], found['pairs']) == (40, 10, 2 * 40 * 6)

    def test_chance(self):
        """Where the embedding says nothing of the person."""
        embeddings, names = self.embedded(60, 4, 0.0, seed=1)
        shuffled = np.random.default_rng(2).permutation(embeddings)
        found = verification.of_people(shuffled, names, seed=0, replicates=200)
        low, high = found['accuracy_ci95']
        assert low < 0.5 < high
        assert found['accuracy'] == pytest.approx(0.5, abs=0.06)

    def test_interval_resamples_people_not_pairs(self):
        """With 20 images of each, 190 pairs of a person are not 190 people."""
        embeddings, names = self.embedded(12, 20, 1.4)
        found = verification.of_people(embeddings, names, seed=0)
        low, high = found['accuracy_ci95']
        by_pairs = 2 * 1.96 * np.sqrt(found['accuracy'] * (1 - found['accuracy']) / found['pairs'])
        assert low < found['accuracy'] < high
        assert high - low > 2 * by_pairs

    def test_seeded_and_bounded(self):
        embeddings, names = self.embedded(30, 6, 1.0)
        first, again, other = (
            verification.of_people(embeddings, names, seed=seed, most=100, replicates=100)
            for seed in (0, 0, 1)
        )
        assert first == again != other
        assert first['pairs'] <= 2 * 100

    def test_of_many_people_some_are_drawn(self):
        found = verification.of_people(*self.embedded(400, 2, 0.01), seed=0, most=100)
        assert (found['accuracy'], found['pairs']) == (1.0, 200)
        assert 100 <= found['people'] <= 300

    @pytest.mark.parametrize(('people', 'images'), [(1, 5), (9, 1), (3, 4)])
    def test_too_few(self, people, images):
        assert verification.of_people(*self.embedded(people, images, 1.0), seed=0) is None


class TestMirror:
    first, second = np.arange(6.0).reshape(2, 3), np.ones((2, 3))

    def test_ways(self):
        combine = verification.combine_mirror
        np.testing.assert_array_equal(combine(self.first, None, 'none'), self.first)
        np.testing.assert_array_equal(combine(self.first, self.second, 'none'), self.first)
        np.testing.assert_array_equal(combine(self.first, self.second, 'add'), self.first + 1)
        joined = combine(self.first, self.second, 'concat')
        np.testing.assert_array_equal(joined, [[0, 1, 2, 1, 1, 1], [3, 4, 5, 1, 1, 1]])

    def test_unknown_way(self):
        with pytest.raises(InputError) as caught:
            verification.combine_mirror(self.first, self.second, 'mean')
        assert (caught.value.field, caught.value.found) == ('mirror', "'mean'")


def test_cosine():
    first = np.array([[3.0, 4.0], [1.0, 0.0], [2.0, 0.0], [0.0, 0.0]])
    second = np.array([[6.0, 8.0], [0.0, 5.0], [-1.0, 0.0], [1.0, 1.0]])
    np.testing.assert_allclose(verification.cosine(first, second), [1, 0, -1, 0])


@pytest.mark.parametrize(('accuracy', 'suspicious'), [(0.99, False), (0.95, False), (0.94, True)])
def test_what_to_expect(accuracy, suspicious):
    said = verification.Verification(accuracy, 0.01, 10, 6000).expectation
    assert said.startswith('expected: 95 % or more')
    assert ('--colour' in said) == suspicious
