"""Intervals for the best of several attacks, against closed forms and by simulation."""

import math
import statistics

import numpy as np
import pytest
from scipy import stats

from fr_inference.membership import best_of
from fr_inference.membership.comparison import Comparison
from fr_inference.metrics import intervals
from fr_inference.metrics.intervals import Scored

SIMULATIONS = 300
WIDE = statistics.NormalDist().inv_cdf(0.995)  # 2.58, to both sides of a 99 % interval


def comparison(number, scores, blind, member, names):
    return Comparison(
        attack=f'attack{number}',
        title='',
        access='file',
        setting='partial',
        unit='image',
        headline=False,
        figures={},
        scored=Scored(scores=scores, member=member, identities=names),
        blind_scored=None
        if blind is None
        else Scored(scores=blind, member=member, identities=names),
    )


def drawn(seed, count, *, people=20, images=1, alike=0.5, shift=0.0, name='p'):
    """Scores of `count` attacks, and of as many in the blind backbone, that know nothing.

    Args:
      seed: of the draw.
      count: how many.
      people: on each side.
      images: of each person.
      alike: correlation of any two scores.
      shift: by which members' scores are higher in the target, in standard deviations.
      name: of people.
    """
    generator = np.random.default_rng([31, seed])
    person = np.repeat(np.arange(2 * people), images)
    member = person < people

    def noise(width):
        shared = generator.normal(size=(2 * people, width))[person]
        return (shared + generator.normal(size=shared.shape)) / np.sqrt(2)

    scores = np.sqrt(alike) * noise(1) + np.sqrt(1 - alike) * noise(2 * count)
    names = tuple(f'{name}{number}' for number in person)
    return [
        comparison(
            number,
            scores[:, number] + shift * member,
            scores[:, count + number],
            member,
            names,
        )
        for number in range(count)
    ]


def test_hardly_ever_finds_anything_where_there_is_nothing():
    """In 300 simulations of 20 attacks each, one side of a 99 % interval fails 0.5 % of the times."""
    failed = np.zeros(4, int)
    for seed in range(SIMULATIONS):
        found = best_of.intervals(drawn(seed, 20), seed=seed, replicates=200).values()
        failed += [
            any(one['auc_ci99'][0] > 0.5 for one in found),
            any(one['auc_ci99'][1] < 0.5 for one in found),
            any(one['excess_ci99'][0] > 0 for one in found),
            any(one['excess_ci99'][1] < 0 for one in found),
        ]
    assert (failed <= stats.binom.ppf(0.99, SIMULATIONS, 0.005)).all()


def half_widths(found, name):
    """Of intervals: of the AUC on the scale of the logit, where they are symmetric."""
    ends = np.array([one[name] for one in found.values()])
    ends = np.log(ends / (1 - ends)) if name == 'auc_ci99' else ends
    return 0.5 * (ends[:, 1] - ends[:, 0])


@pytest.mark.parametrize('name', ['auc_ci99', 'excess_ci99'])
def test_one_attack_has_a_plain_interval(name):
    (one,) = drawn(0, 1, people=100)
    found = best_of.intervals([one], seed=0, replicates=4000)
    values, samples = intervals.aucs(
        np.stack([one.scored.scores, one.blind_scored.scores]),
        one.scored.member,
        one.scored.identities,
        seed=0,
        replicates=4000,
    )
    if name == 'auc_ci99':
        low, high = intervals.interval(float(values[0]), samples[:, 0], 100)
        plain = 0.5 * (math.log(high / (1 - high)) - math.log(low / (1 - low)))
        wide = plain * WIDE / 1.96
    else:
        spread = (samples[:, 0] - samples[:, 1]).std()
        wide = WIDE * spread * intervals.student(100) / 1.96
    assert half_widths(found, name)[0] == pytest.approx(wide, rel=0.06)


def test_as_wide_as_the_largest_of_independent_normal_numbers():
    count = 10
    drawn_together = drawn(1, count, people=100, alike=0.0)
    together = best_of.intervals(drawn_together, seed=0, replicates=2000)
    alone = {}
    for one in drawn_together:
        alone |= best_of.intervals([one], seed=0, replicates=2000)
    expected = statistics.NormalDist().inv_cdf((1 + 0.99 ** (1 / count)) / 2) / WIDE
    assert expected > 1.25
    for name in ('auc_ci99', 'excess_ci99'):
        ratio = half_widths(together, name).mean() / half_widths(alone, name).mean()
        assert ratio == pytest.approx(expected, rel=0.04)


def test_the_same_attack_many_times_is_one():
    first, _ = drawn(2, 2, people=50)
    many = [
        comparison(
            number,
            first.scored.scores,
            first.blind_scored.scores,
            first.scored.member,
            first.scored.identities,
        )
        for number in range(8)
    ]
    alone = best_of.intervals(many[:1], seed=0, replicates=500)['attack0/partial']
    for one in best_of.intervals(many, seed=0, replicates=500).values():
        for name, ends in one.items():
            assert ends == pytest.approx(alone[name], abs=1e-9)


def test_images_and_people_share_the_error():
    images = drawn(3, 1, people=100)
    (people,) = drawn(4, 1, people=100, name='somebody')
    people = comparison(
        'of-people',
        people.scored.scores,
        people.blind_scored.scores,
        people.scored.member,
        people.scored.identities,
    )
    alone = best_of.intervals(images, seed=0, replicates=4000)
    both = best_of.intervals([*images, people], seed=0, replicates=4000)
    assert set(both) == {'attack0/partial', 'attackof-people/partial'}
    ratio = half_widths(both, 'excess_ci99')[0] / half_widths(alone, 'excess_ci99')[0]
    assert ratio == pytest.approx(statistics.NormalDist().inv_cdf(0.9975) / WIDE, rel=0.05)


def test_finds_what_leaks_in_one_of_many():
    others, leaking = drawn(5, 19, people=50), drawn(5, 20, people=50, shift=2.0)[19]
    found = best_of.intervals([*others, leaking], seed=0, replicates=400)
    best = found.pop('attack19/partial')
    assert best['auc_ci99'][0] > 0.65
    assert best['excess_ci99'][0] > 0.1
    assert all(one['auc_ci99'][0] < 0.5 < one['auc_ci99'][1] for one in found.values())


@pytest.mark.parametrize('beside', [0, 5])
def test_a_perfect_attack_is_found_and_not_certain(beside):
    """Its AUC is 1 in every resample: Wilson's interval at the level in question."""
    others = drawn(6, beside, people=20) if beside else []
    (one,) = drawn(6, 1, people=20)
    member, names = one.scored.member, one.scored.identities
    perfect = comparison('perfect', member.astype(float), member.astype(float), member, names)
    found = best_of.intervals([*others, perfect], seed=0, replicates=400)['attackperfect/partial']
    low, high = found['auc_ci99']
    wilson = stats.binomtest(20, 20).proportion_ci(0.99, method='wilson').low
    assert high == 1
    assert 0.5 < low <= wilson + 1e-9
    # As perfect in the blind backbone: the difference of 0 is as uncertain.
    below, above = found['excess_ci99']
    assert below == -above <= wilson - 1 + 1e-9
    if not beside:
        assert (low, below) == pytest.approx((wilson, wilson - 1))


def test_without_a_blind_control_there_is_no_interval():
    one, two = drawn(7, 2)
    bare = comparison(1, two.scored.scores, None, two.scored.member, two.scored.identities)
    assert set(best_of.intervals([one, bare], seed=0, replicates=100)) == {'attack0/partial'}
    assert best_of.intervals([bare], seed=0, replicates=100) == {}
    assert best_of.intervals([], seed=0, replicates=100) == {}
