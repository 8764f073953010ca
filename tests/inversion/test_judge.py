"""Planted reconstructions are found, and nothing where there is nothing."""

import numpy as np
import pytest

from fr_inference import errors
from fr_inference.inversion import judge

PEOPLE = 60
WIDTH = 32


@pytest.fixture(scope='module')
def faces():
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(2 * PEOPLE, WIDTH))
    embeddings = np.repeat(centres, 4, axis=0) + 0.3 * draw.normal(size=(8 * PEOPLE, WIDTH))
    names = [f'p{i:03d}' for i in range(2 * PEOPLE) for _ in range(4)]
    return embeddings, names, np.arange(8 * PEOPLE) < 4 * PEOPLE


@pytest.fixture(scope='module')
def people(faces):
    return judge.gallery(*faces, seed=0)


def test_gallery(faces, people):
    assert len(people.names) == 2 * PEOPLE
    assert people.member.sum() == PEOPLE
    np.testing.assert_allclose(np.linalg.norm(people.centres, axis=1), 1)
    units = faces[0] / np.linalg.norm(faces[0], axis=1, keepdims=True)
    cosines = units @ people.centres.T
    own = np.array(faces[1])[:, None] == np.array(people.names)
    assert (cosines[~own] >= people.threshold).mean() == pytest.approx(1e-3, abs=2e-4)


def test_more_people_on_one_side(faces):
    embeddings, names, member = faces
    fewer = member | (np.arange(len(names)) < 5 * PEOPLE)
    rows = fewer.nonzero()[0]
    small = judge.gallery(embeddings[rows], [names[i] for i in rows], member[rows], seed=0)
    assert small.member.sum() == PEOPLE // 4
    assert len(small.names) == PEOPLE // 2


def test_planted(people):
    draw = np.random.default_rng(1)
    rows = draw.permutation(PEOPLE)[:30]
    found = people.centres[rows] + 0.05 * draw.normal(size=(30, WIDTH))
    judged = judge.judge(found, people, rows)
    np.testing.assert_array_equal(judged.nearest, rows)
    figures = judge.figures(judged, people, seed=0)
    assert figures['hit_rate'] == figures['top1'] == figures['top5'] == 1
    assert figures['hit_rate_ci95'][0] < 1
    assert figures['distinct_identities'] == 30
    assert figures['p_value'] == pytest.approx(1e-4)


def shown(people, rows):
    return judge.judge(people.centres[rows], people, np.zeros(len(rows), int))


def test_excess(people):
    # Ten members twice each and two strangers, against three of the members, twice, and strangers.
    ours = shown(people, [*range(10), *range(10), PEOPLE, PEOPLE + 1])
    theirs = shown(people, [0, 1, 2, 0, 1, 2, *range(PEOPLE, PEOPLE + 16)])
    found = judge.excess(ours, theirs, people, seed=0)
    assert found['hit_rate'] == pytest.approx(20 / 22 - 6 / 22)
    # Seven people differ, always to one side: one of 2^7 ways to exchange them.
    assert found['p_value'] == pytest.approx(1 / 128, abs=0.004)
    low, high = found['hit_rate_ci95']
    assert low > 0
    assert 0.7 < high < 1
    back = judge.excess(theirs, ours, people, seed=0)
    assert back['hit_rate'] == pytest.approx(-14 / 22)
    assert back['p_value'] == pytest.approx(1, abs=0.01)
    same = judge.excess(ours, ours, people, seed=0)
    assert (same['hit_rate'], same['p_value']) == (0, 1)
    # No resample differs; that is as uncertain as 12 people of whom none was found.
    assert same['hit_rate_ci95'] == pytest.approx([-0.2425, 0.2425], abs=1e-4)
    strangers = judge.excess(ours, None, people, seed=0)
    assert strangers['hit_rate'] == pytest.approx((20 - 2) / 22)
    assert strangers['p_value'] < 0.01


def test_excess_of_two_searches_alike_has_a_uniform_p(people):
    draw = np.random.default_rng(3)
    small = 0
    for trial in range(60):
        both = [np.repeat(draw.permutation(2 * PEOPLE)[:20], 6) for _ in range(2)]
        found = judge.excess(*(shown(people, rows) for rows in both), people, seed=trial)
        small += found['p_value'] < 0.05
    assert small <= 8  # 3 expected; P(over 8) < 0.5 %


def test_wrong_claims_are_no_top1(people):
    rows = np.arange(30)
    judged = judge.judge(people.centres[rows], people, (rows + 1) % 30)
    figures = judge.figures(judged, people, seed=0)
    assert figures['hit_rate'] == 1
    assert figures['top1'] == 0


def test_random_directions_hit_nobody_and_p_is_uniform(people):
    draw = np.random.default_rng(2)
    small = 0
    for trial in range(60):
        # Many reconstructions of few people, whoever they are: dependent as a search's are.
        rows = np.repeat(draw.permutation(2 * PEOPLE)[:10], 6)
        found = people.centres[rows] + 0.05 * draw.normal(size=(60, WIDTH))
        judged = judge.judge(found, people, np.zeros(60, int))
        small += judge.figures(judged, people, seed=trial)['p_value'] < 0.05
    assert small <= 8  # 3 expected; P(over 8) < 0.5 %
    away = judge.judge(draw.normal(size=(200, WIDTH)), people, np.zeros(200, int))
    assert judge.figures(away, people, seed=0)['hit_rate'] < 0.2


def test_claims(people):
    rows = np.array([3, 7])
    np.testing.assert_array_equal(judge.claim(people.centres[rows], people), rows)
    outside = np.flatnonzero(~people.member)[:2]
    assert people.member[judge.claim(people.centres[outside], people)].all()


def test_bad_galleries(faces):
    embeddings, names, member = faces
    with pytest.raises(errors.InputError) as both:
        judge.gallery(embeddings, ['a'] * len(names), member, seed=0)
    assert (both.value.field, both.value.expected) == ('gallery', 'each on one side')
    with pytest.raises(errors.InputError) as few:
        judge.gallery(embeddings[:8], names[:8], np.arange(8) < 4, seed=0)
    assert (few.value.field, few.value.found) == ('gallery', '1 members and 1 non-members')


def test_acceptance_at_false_match_rates(faces, people):
    """By counting: at each rate that share of strangers passes, and what is not resolved is not said."""
    units = judge.unit(faces[0])
    cosines = units @ people.centres.T
    own = np.array(faces[1])[:, None] == np.array(people.names)
    strangers = cosines[~own]
    for rate in (1e-2, 1e-3):
        assert (strangers >= people.thresholds[rate]).mean() == pytest.approx(rate, rel=0.2)
    assert 1e-4 * len(strangers) < 10
    assert people.thresholds[1e-4] is None
    claims = np.array([0, 1, 2])
    near = people.centres[claims]
    judged = judge.judge(near * [[1], [1], [-1]], people, claims)
    passed = judge.accepted(judged, people)
    assert passed[1e-3].tolist() == [True, True, False]
    assert passed[1e-4] is None
