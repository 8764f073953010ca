"""Who is named: judged members whom conformal p-values and Benjamini and Hochberg leave."""

import types

import numpy as np
import pytest
from scipy import stats

from fr_inference.membership import exposed

# 'd' was fitted on; 'e', 'f' and 54 more are strangers.
OTHERS = [f's{number}' for number in range(54)]
IMAGES = types.SimpleNamespace(
    identities=['a', 'b', 'a', 'c', 'd', 'b', 'e', 'f', *OTHERS],
    member=np.arange(8 + len(OTHERS)) < 6,
)
FIT = np.arange(8 + len(OTHERS)) == 4
LOGITS = np.array([1.0, 5.0, 3.0, 2.5, 9.0, -1.0, 1.5, 2.2, *[0.0] * len(OTHERS)])
LOW = dict.fromkeys(OTHERS, 0.0)


def test_by_their_images():
    scores = exposed.of_people(IMAGES, FIT, LOGITS)
    assert scores == {'a': 2.0, 'b': 2.0, 'c': 2.5, 'e': 1.5, 'f': 2.2, **LOW}
    found = exposed.exposed(IMAGES, FIT, scores, by='bn-distance/partial', logits=LOGITS)
    (person,) = found['people'][:1]
    assert person == {
        'identity': 'c',
        'score': 2.5,
        'p_value': pytest.approx(1 / 57),
        'images': 1,
        'rows': [3],
    }
    assert (found['by'], found['members']) == ('bn-distance/partial', 3)
    assert (found['strangers'], found['false_discovery_rate']) == (56, 0.1)


def test_the_highest_first_and_their_clearest_pictures():
    scores = {'a': 0.7, 'b': 0.9, 'e': 0.5, **LOW}
    found = exposed.exposed(IMAGES, FIT, scores, by='people/partial', logits=LOGITS)
    assert [one['identity'] for one in found['people']] == ['b', 'a']
    assert [one['rows'] for one in found['people']] == [[1, 5], [2, 0]]


def test_nobody_without_a_stranger_below():
    """All score alike: every p-value is 1."""
    assert exposed.exposed(IMAGES, FIT, {**LOW, 'a': 0.0}, by='people/partial') is None


@pytest.mark.parametrize(('strangers', 'named'), [(0, False), (8, False), (9, True)])
def test_nobody_is_named_beside_few_strangers(strangers, named):
    """The smallest p-value of n strangers is 1 / (n + 1): one member takes nine of them."""
    scores = {'a': 0.7, **dict.fromkeys(OTHERS[:strangers], 0.0)}
    found = exposed.exposed(IMAGES, FIT, scores, by='people/partial')
    assert (found is not None) == named


@pytest.mark.parametrize('seed', range(5))
def test_against_scipy(seed):
    generator = np.random.default_rng(seed)
    strangers = generator.normal(size=80).round(2)  # with ties
    members = {f'm{n}': float(one) for n, one in enumerate(generator.normal(1.5, 1, 60).round(2))}
    values = [(1 + (strangers >= score).sum()) / 81 for score in members.values()]
    adjusted = stats.false_discovery_control(values, method='bh')
    expected = {
        name: value
        for name, value, one in zip(members, values, adjusted, strict=True)
        if one <= exposed.FALSE_DISCOVERIES
    }
    assert exposed.named(members, strangers) == pytest.approx(expected)
    assert 0 < len(expected) < 60


def test_one_in_ten_is_wrong_on_average():
    """40 of 60 called members are strangers in truth."""
    generator = np.random.default_rng(0)
    wrong = []
    for _ in range(300):
        scores = generator.normal([*[3.0] * 20, *[0.0] * 40])
        found = exposed.named(dict(enumerate(scores)), generator.normal(size=60))
        wrong.append(sum(name >= 20 for name in found) / max(1, len(found)))
    assert 0.02 < np.mean(wrong) < 0.1


def test_nobody_is_named_who_is_not_in_the_list_of_training_images():
    scores = {'a': 0.7, 'b': 0.9, 'c': 0.8, **LOW}
    found = exposed.exposed(IMAGES, FIT, scores, by='people/partial', trained={'a', 'c'})
    assert [one['identity'] for one in found['people']] == ['c', 'a']
    assert (found['members'], found['named']) == (2, 2)
    assert exposed.exposed(IMAGES, FIT, scores, by='people/partial', trained=set()) is None


def test_twelve_people_and_four_images_each():
    names = [f'p{row % 20}' for row in range(120)] + OTHERS
    many = types.SimpleNamespace(identities=names, member=np.arange(len(names)) < 120)
    fit = np.zeros(len(names), bool)
    logits = np.append(np.arange(120.0), [-1] * len(OTHERS))
    scores = exposed.of_people(many, fit, logits)
    found = exposed.exposed(many, fit, scores, by='x', logits=logits)
    assert [one['identity'] for one in found['people']] == [f'p{one}' for one in range(19, 7, -1)]
    assert found['named'] == 20
    assert found['people'][0]['rows'] == [119, 99, 79, 59]
    assert found['people'][0]['images'] == 6
