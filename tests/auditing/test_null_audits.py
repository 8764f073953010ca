"""Verdicts on many audits of drawn measurements: a leak is rarely false, and clear is never unfounded.

`python -m tests.auditing.null_audits` does the same with a backbone; docs/power.md has the results.
"""

import dataclasses

import numpy as np
import pytest

from fr_inference.measuring.measurements import Measurements
from fr_inference.membership import picture_statistics
from fr_inference.membership.comparison import CLEAR, LEAK
from fr_inference.metrics.intervals import Scored
from tests.auditing import null_audits
from tests.auditing.null_audits import Pool

PEOPLE, IMAGES, LAYERS = 600, 6, 4


def drawn(generator):
    """Returns measurements of people who share a twentieth of the variance among their images."""
    person = np.repeat(np.arange(PEOPLE), IMAGES)

    def values(count):
        own = generator.normal(size=(PEOPLE, count))[person]
        rest = generator.normal(size=own.shape)
        return (np.sqrt(0.05) * own + np.sqrt(0.95) * rest).astype(np.float32)

    return Measurements(
        layers=tuple(f'layer{number}' for number in range(LAYERS)),
        distances=np.exp(values(LAYERS)),
        embeddings=values(8),
        identities=tuple(f'p{number}' for number in person),
        index=np.arange(len(person), dtype=np.int32),
        extra={picture_statistics.FEATURE.name: values(3)},
    )


@pytest.fixture(scope='module')
def pool():
    generator = np.random.default_rng(0)
    return Pool(in_target=drawn(generator), in_blind=drawn(generator))


def audits(pool, side, count, **how):
    return [null_audits.audit(pool, side, seed, replicates=100, **how) for seed in range(count)]


def test_nothing_leaked(pool):
    """At 2.5 % three or more of 24 audits end in a leak once in 50 times, at 1 % once in 600."""
    ended = audits(pool, 32, 24)  # with fewer the null control never holds
    counted = {one.key for one in ended[0].comparisons if not one.further}
    assert counted == {'combined-file/partial', 'people/partial'}
    assert len(ended[0].comparisons) > 10
    assert sum(one.kind == LEAK for one in ended) <= 2
    assert not any(one.kind == CLEAR for one in ended)  # so few people never suffice
    assert abs(np.mean([one.comparisons[0].excess['auc'] for one in ended])) < 0.05


def test_clear_is_only_said_where_a_leak_would_have_been_found(pool):
    ended = audits(pool, 290, 12, attacks=('bn-distance',))
    smallest = [one.comparisons[0].smallest_excess for one in ended]
    clear = [one.kind == CLEAR for one in ended]
    assert any(clear)
    assert not any(said and least > 0.1 for said, least in zip(clear, smallest, strict=True))
    assert sum(one.kind == LEAK for one in ended) <= 2


def test_a_planted_leak_is_found(pool):
    ended = audits(pool, 64, 12, leak=1.0, attacks=('bn-distance',))
    assert all(one.comparisons[0].excess['auc'] > 0.2 for one in ended)
    # Controls fail by chance in about one of 14.
    assert sum(one.kind == LEAK for one in ended) >= 8
    assert 'bn-distance/partial: leak in' in null_audits.summary(ended)


def test_views_are_of_the_drawn_people(pool):
    views, other = (null_audits.views_of(pool, 24, seed) for seed in (0, 1))
    members = {views.in_target.identities[row] for row in np.flatnonzero(views.in_target.member)}
    assert len(members) == 24
    assert len(set(views.in_target.identities)) == 48
    assert views.in_target.identities == views.in_blind.identities
    assert members != {other.in_target.identities[row] for row in range(24 * IMAGES)}
    names = list(pool.in_target.identities)
    first = names.index(views.in_target.identities[0])
    np.testing.assert_array_equal(views.in_target.distances[0], pool.in_target.distances[first])
    leaking = null_audits.views_of(pool, 24, 0, leak=1.0).in_target
    member = views.in_target.member
    np.testing.assert_array_equal(leaking.distances[~member], views.in_target.distances[~member])
    assert (leaking.distances[member] < views.in_target.distances[member]).all()


@pytest.mark.parametrize('share', [0.0, 0.3])
def test_correlation(share):
    """Of many normal scores it is the share of the variance, nearly so for ranks."""
    generator = np.random.default_rng(1)
    person = np.repeat(np.arange(2000), 4)
    own, rest = generator.normal(size=2000)[person], generator.normal(size=8000)
    scored = Scored(
        scores=np.sqrt(share) * own + np.sqrt(1 - share) * rest,
        member=person < 1000,
        identities=tuple(map(str, person)),
    )
    assert null_audits.correlation(scored) == pytest.approx(share, abs=0.04)
    alone = dataclasses.replace(
        scored, scores=own[::4], member=scored.member[::4], identities=scored.identities[::4]
    )
    assert null_audits.correlation(alone) == 0.0
