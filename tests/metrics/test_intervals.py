"""Intervals: closed forms, and coverage by simulation with images that resemble each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fr_inference.errors import InputError
from fr_inference.metrics import intervals, roc
from fr_inference.metrics.intervals import Scored

DRAWS = 100


def null_draw(seed, people=40, images=8, spread=2.0):
    """No leak, but a person's images score alike: half the people are called members."""
    generator = np.random.default_rng([11, seed])
    person = np.repeat(np.arange(people), images)
    scores = spread * generator.normal(size=people)[person] + generator.normal(size=len(person))
    return scores, person % 2 == 0, person


def covers(seed, by_person):
    scores, member, person = null_draw(seed)
    identities = person if by_person else np.arange(len(person))
    scored = Scored(scores=scores, member=member, identities=tuple(map(str, identities)))
    low, high = intervals.figures(scored, seed=seed, replicates=200)['auc_ci95']
    return low <= 0.5 <= high


def test_auc_interval_covers_when_people_are_resampled():
    """95 % intervals contain the truth in at least 90 of 100 independent draws."""
    assert sum(covers(seed, by_person=True) for seed in range(DRAWS)) >= 90


def test_auc_interval_would_not_cover_when_images_are_resampled():
    """The draws above are such that treating images as independent fails: the first test can."""
    assert sum(covers(seed, by_person=False) for seed in range(DRAWS)) < 75


@pytest.mark.parametrize(('people', 'images'), [(12, 4), (20, 1)])
def test_auc_interval_covers_with_few_people(people, images):
    """Plain percentiles contain the truth in 89 of 100 draws of 6 people a side."""
    inside = 0
    for seed in range(DRAWS):
        scores, member, person = null_draw(seed, people, images, spread=1.0)
        scored = Scored(scores=scores, member=member, identities=tuple(map(str, person)))
        low, high = intervals.figures(scored, seed=seed, replicates=300)['auc_ci95']
        inside += low <= 0.5 <= high
    assert inside >= 92


@pytest.mark.parametrize('people', [4, 6, 10, 40, 1000])
def test_percentiles_are_students(people):
    """Hesterberg's expanded percentiles of a normal sample are n / (n - 1) and Student's quantile."""
    sample = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    low, high = intervals.percentiles(sample, people)
    expected = np.sqrt(people / (people - 1)) * stats.t.ppf(0.975, people - 1)
    assert [low, high] == pytest.approx([-expected, expected], rel=0.01)


def test_percentiles_of_many_people_are_plain():
    sample = np.random.default_rng(0).normal(size=5000)
    found = intervals.percentiles(sample, 10**7)
    assert found == pytest.approx(np.quantile(sample, [0.025, 0.975]), rel=1e-4)
    for people in (1, 2):
        assert intervals.percentiles(sample, people) == [sample.min(), sample.max()]


def binormal(draw, auc, people, images, replicates=200):
    """The AUC and the accuracy of one set of clustered normal scores, as (truth, value, replicates)."""
    far = np.sqrt(2) * stats.norm.ppf(auc)

    def side(middle):
        person = np.sqrt(0.5) * draw.normal(size=(people, 1))
        return middle + person + np.sqrt(0.5) * draw.normal(size=(people, images))

    members, others = side(far), side(0.0)
    wins = (members[:, None, :, None] > others[None, :, None, :]).mean((2, 3))
    share = np.full(people, 1 / people)
    weights = [draw.multinomial(people, share, replicates) / people for _ in range(2)]
    weights = [np.vstack([share, some]) for some in weights]
    area = np.einsum('rp,pq,rq->r', weights[0], wins, weights[1], optimize=True)
    right = weights[0] @ (members > far / 2).mean(1) + weights[1] @ (others <= far / 2).mean(1)
    return [
        (truth, found[0], found[1:])
        for truth, found in ((auc, area), (stats.norm.cdf(far / 2), right / 2))
    ]


def misses(interval, auc, people, sets=500):
    """Shares of intervals of AUC and accuracy above and below the truth: [2, 2]."""
    draw, count = np.random.default_rng(people), np.zeros((2, 2))
    for _ in range(sets):
        for row, (truth, value, sample) in enumerate(binormal(draw, auc, people, images=4)):
            low, high = interval(value, sample)
            count[row] += low > truth, high < truth
    return count / sets


@pytest.mark.parametrize(('auc', 'people'), [(0.5, 30), (0.8, 30), (0.95, 15), (0.95, 30)])
def test_intervals_miss_on_either_side(auc, people):
    """Above and below each 2.5 % of the time: up to 4.4 % of 500 are chance (99.5 %)."""
    found = misses(lambda *one: intervals.interval(*one, people), auc, people)
    assert (found <= 0.044).all()
    assert (found.sum(1) >= 0.01).all()


def test_percentiles_would_overstate_a_leak():
    """The draws above are such that percentiles near 1 fail: the test can."""
    found = misses(lambda _, sample: intervals.percentiles(sample, 15), 0.95, 15)
    assert (found[:, 0] > 0.04).all()
    assert (found[:, 1] < 0.02).all()


@given(st.floats(0.001, 0.999), st.integers(2, 1000), st.integers(0, 99))
def test_interval_is_the_students_of_the_logit(value, people, seed):
    sample = value + 0.1 * min(value, 1 - value) * np.random.default_rng(seed).normal(size=50)
    low, high = intervals.interval(value, sample, people)
    assert 0 <= low <= value <= high <= 1
    spread = sample.std() / (value * (1 - value)) * np.sqrt(people / (people - 1))
    if people > 5:
        student = stats.t.ppf(0.975, people - 1)
        expected = stats.logistic.cdf(
            stats.logistic.ppf(value) + np.array([-1, 1]) * student * spread
        )
        np.testing.assert_allclose([low, high], expected, rtol=2e-3)
    mirrored = intervals.interval(1 - value, 1 - sample, people)
    np.testing.assert_allclose(mirrored, [1 - high, 1 - low], atol=1e-9)


def test_accuracy_interval_covers():
    """Balanced accuracy of a null attack is 0.5 as well."""
    inside = 0
    for seed in range(DRAWS):
        scores, member, person = null_draw(seed)
        scored = Scored(scores=scores, member=member, identities=tuple(map(str, person)))
        low, high = intervals.figures(scored, seed=seed, replicates=300)['accuracy_ci95']
        inside += low <= 0.5 <= high
    assert inside >= 90


def test_interval_width_matches_the_spread_between_draws():
    """The bootstrap's standard error is that of the AUC over independent draws (to a third)."""
    values, errors = [], []
    for seed in range(60):
        scores, member, person = null_draw(seed)
        value, sampled = intervals.aucs(scores[None], member, person, seed=seed, replicates=200)
        values.append(value[0])
        errors.append(sampled.std())
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.33)


def scored_of(members, nonmembers):
    return Scored(
        scores=np.concatenate([members, nonmembers]),
        member=np.arange(len(members) + len(nonmembers)) < len(members),
        identities=tuple(f'p{index}' for index in range(len(members) + len(nonmembers))),
    )


def test_figures_against_direct_counts():
    generator = np.random.default_rng(0)
    scored = scored_of(generator.normal(1, 1, 300), generator.normal(0, 1, 2000))
    found = intervals.figures(scored, seed=0, replicates=100, threshold=0.5)
    said = scored.scores > 0.5
    assert found['auc'] == pytest.approx(roc.auc(scored.scores, scored.member))
    expected = 0.5 * (said[scored.member].mean() + (~said[~scored.member]).mean())
    assert found['accuracy'] == pytest.approx(expected)
    limit = np.sort(scored.scores[~scored.member])[-20]  # 20 of 2000 at or above: 1 %
    assert found['tpr_at_fpr']['0.01'] == pytest.approx(
        (scored.scores[scored.member] >= limit).mean(), abs=1 / 300 + 1e-9
    )
    assert (found['members'], found['nonmembers'], found['identities']) == (300, 2000, 2300)
    for name in ('auc', 'accuracy'):
        low, high = found[f'{name}_ci95']
        assert low < found[name] < high
    assert found == intervals.figures(scored, seed=0, replicates=100, threshold=0.5)
    assert found != intervals.figures(scored, seed=1, replicates=100, threshold=0.5)


@pytest.mark.parametrize(
    ('nonmembers', 'resolved'),
    [
        (99, []),
        (100, ['0.1']),
        (999, ['0.1']),
        (1000, ['0.1', '0.01']),
        (10_000, ['0.1', '0.01', '0.001']),
    ],
)
def test_rates_that_can_not_be_resolved_are_null(nonmembers, resolved):
    generator = np.random.default_rng(0)
    scored = scored_of(generator.normal(size=30), generator.normal(size=nonmembers))
    found = intervals.figures(scored, seed=0, replicates=20)
    for block in ('tpr_at_fpr', 'tpr_at_fpr_ci95'):
        assert [rate for rate, value in found[block].items() if value is not None] == resolved
        assert tuple(found[block]) == intervals.RATES


def test_perfect_separation_is_not_certain():
    """30 people of 30 told apart say no more than that: Wilson's interval, not zero width."""
    found = intervals.figures(scored_of(np.arange(1, 31), -np.arange(1, 201)), seed=0)
    assert found['auc'] == found['accuracy'] == found['tpr_at_fpr']['0.1'] == 1
    lowest = intervals.wilson(1.0, 30)[0]
    for interval in (found['auc_ci95'], found['accuracy_ci95'], found['tpr_at_fpr_ci95']['0.1']):
        assert interval == [pytest.approx(lowest), 1.0]
    assert 0.85 < lowest < 0.95


@pytest.mark.parametrize('people', range(20, 120, 7))
def test_perfect_separation_is_not_certain_for_any_rounding(people):
    person = np.repeat(np.arange(2 * people), 3)
    member = person < people
    scored = Scored(
        scores=np.where(member, 1.0, -1.0) * np.arange(1, len(person) + 1),
        member=member,
        identities=tuple(map(str, person)),
    )
    found = intervals.figures(scored, seed=0, replicates=200)
    assert found['auc_ci95'][0] == pytest.approx(intervals.wilson(1.0, people)[0])


def test_perfect_separation_counts_people_not_images():
    one = scored_of(np.arange(1, 41), -np.arange(1, 41))
    few = Scored(
        scores=one.scores, member=one.member, identities=tuple(str(i // 10) for i in range(80))
    )
    low = intervals.figures(few, seed=0, replicates=50)['auc_ci95'][0]
    assert low < intervals.figures(one, seed=0, replicates=50)['auc_ci95'][0]
    assert low == pytest.approx(intervals.wilson(1.0, 4)[0])


class TestWeights:
    def drawn(self, identities, member, **options):
        chunks = intervals.resampled_weights(identities, np.asarray(member), seed=0, **options)
        return np.concatenate(list(chunks))

    def test_people_are_drawn_whole_and_each_side_keeps_its_size(self):
        identities = [*'aabbccdd', *'eeffgghh', *'xxxx']
        member = np.array([True] * 8 + [False] * 8 + [True, False, True, False])
        weights = self.drawn(identities, member, replicates=50)
        assert weights.shape == (50, 20)
        names = np.array(identities)
        for name in set(identities):
            own = weights[:, names == name]
            assert (own == own[:, :1]).all()
        np.testing.assert_array_equal(weights[:, :8].sum(1), 8)
        np.testing.assert_array_equal(weights[:, 8:16].sum(1), 8)
        np.testing.assert_array_equal(weights[:, 16:], 1)

    def test_mean_and_variance_are_the_multinomials(self):
        weights = self.drawn(range(40), np.arange(40) < 20, replicates=4000)
        np.testing.assert_allclose(weights.mean(0), 1, atol=0.08)
        np.testing.assert_allclose(weights.var(0), 1 - 1 / 20, atol=0.15)

    def test_chunks_do_not_change_the_draw(self, monkeypatch):
        member = np.arange(30) < 10
        whole = self.drawn(range(30), member, replicates=17)
        monkeypatch.setattr(intervals, '_CHUNK_NUMBERS', 30 * 5)
        chunks = list(intervals.resampled_weights(range(30), member, seed=0, replicates=17))
        assert [len(chunk) for chunk in chunks] == [5, 5, 5, 2]
        assert np.concatenate(chunks).shape == whole.shape


def test_aucs_are_paired():
    """The same scores twice differ by nothing in any resample; noise added makes the excess real."""
    generator = np.random.default_rng(0)
    scores, member, person = null_draw(3)
    scores = scores + member
    better = scores + 0.5 * member
    values, sampled = intervals.aucs(
        np.stack([scores, scores, better]), member, person, seed=0, replicates=200
    )
    np.testing.assert_allclose(values[:2], roc.auc(scores, member))
    assert values[2] == pytest.approx(roc.auc(better, member))
    assert sampled.shape == (200, 3)
    np.testing.assert_array_equal(sampled[:, 0], sampled[:, 1])
    alone = intervals.aucs(better[None], member, person, seed=0, replicates=200)[1][:, 0]
    np.testing.assert_allclose(sampled[:, 2], alone)
    paired = (sampled[:, 2] - sampled[:, 0]).std()
    unpaired = (sampled[:, 2] - generator.permutation(sampled[:, 0])).std()
    assert paired < 0.5 * unpaired
    assert intervals.percentiles(sampled[:, 2] - sampled[:, 0], 20)[0] > 0


def test_band_brackets_the_curve():
    generator = np.random.default_rng(0)
    scored = scored_of(generator.normal(1, 1, 200), generator.normal(0, 1, 400))
    rates = np.linspace(0, 1, 21)
    value, (low, high) = intervals.band(scored, rates, seed=0, replicates=200)
    assert (low <= value).all()
    assert (value <= high).all()
    assert (np.diff(value) >= 0).all()
    assert value[-1] == 1
    figures = intervals.figures(scored, seed=0, replicates=200)
    assert value[2] == pytest.approx(figures['tpr_at_fpr']['0.1'])
    assert [low[2], high[2]] == pytest.approx(figures['tpr_at_fpr_ci95']['0.1'])


@given(st.integers(1, 400), st.data())
def test_wilson_against_scipy(count, data):
    hits = data.draw(st.integers(0, count))
    expected = stats.binomtest(hits, count).proportion_ci(0.95, 'wilson')
    np.testing.assert_allclose(intervals.wilson(hits / count, count), expected, atol=1e-9)


def test_wilson_published_values():
    """Newcombe 1998, table I, method 3: 81/263 and 0/20."""
    np.testing.assert_allclose(intervals.wilson(81 / 263, 263), (0.2553, 0.3662), atol=5e-5)
    np.testing.assert_allclose(intervals.wilson(0, 20), (0, 0.1611), atol=5e-5)


def test_wilson_needs_draws():
    with pytest.raises(InputError) as caught:
        intervals.wilson(0.5, 0)
    assert (caught.value.field, caught.value.found) == ('count', '0')
