"""Who is listed as exposed: judged members whose score lies above that of every stranger."""

import types

import numpy as np
import pytest

from fr_inference.membership import exposed

# 'd' was fitted on; 'e', 'f' and fifteen more are strangers.
OTHERS = [f's{number}' for number in range(15)]
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
    assert found['people'] == [{'identity': 'c', 'score': 2.5, 'images': 1, 'rows': [3]}]
    assert (found['by'], found['members'], found['above']) == ('bn-distance/partial', 3, 1)
    # Of 17 strangers none lies above: Clopper and Pearson's upper bound is 1 - 0.05^(1/17).
    assert found['strangers'] == 17
    assert found['error_rate_ci95'] == pytest.approx(1 - 0.05 ** (1 / 17))


def test_the_highest_first_and_their_clearest_pictures():
    scores = {'a': 0.7, 'b': 0.9, 'e': 0.5, **LOW}
    found = exposed.exposed(IMAGES, FIT, scores, by='people/partial', logits=LOGITS)
    assert [one['identity'] for one in found['people']] == ['b', 'a']
    assert [one['rows'] for one in found['people']] == [[1, 5], [2, 0]]


@pytest.mark.parametrize('scores', [{'a': 0.1, 'e': 0.1}, {'a': 0.1, 'e': 0.2}])
def test_nobody_without_a_stranger_below(scores):
    assert exposed.exposed(IMAGES, FIT, {**LOW, **scores}, by='people/partial') is None


@pytest.mark.parametrize(('strangers', 'named'), [(0, False), (4, False), (13, False), (14, True)])
def test_nobody_is_named_beside_so_few_strangers_that_one_in_five_may_score_as_high(
    strangers, named
):
    scores = {'a': 0.7, **dict.fromkeys(OTHERS[:strangers], 0.0)}
    found = exposed.exposed(IMAGES, FIT, scores, by='people/partial')
    assert (found is not None) == named
    if named:
        assert found['error_rate_ci95'] < 0.2


def test_nobody_is_named_who_is_not_in_the_list_of_training_images():
    scores = {'a': 0.7, 'b': 0.9, 'c': 0.8, **LOW}
    found = exposed.exposed(IMAGES, FIT, scores, by='people/partial', trained={'a', 'c'})
    assert [one['identity'] for one in found['people']] == ['c', 'a']
    assert (found['members'], found['above']) == (2, 2)
    assert exposed.exposed(IMAGES, FIT, scores, by='people/partial', trained=set()) is None


def test_twelve_people_and_four_images_each():
    names = [f'p{row % 20}' for row in range(120)] + OTHERS
    many = types.SimpleNamespace(identities=names, member=np.arange(len(names)) < 120)
    fit = np.zeros(len(names), bool)
    logits = np.append(np.arange(120.0), [-1] * len(OTHERS))
    scores = exposed.of_people(many, fit, logits)
    found = exposed.exposed(many, fit, scores, by='x', logits=logits)
    assert [one['identity'] for one in found['people']] == [f'p{one}' for one in range(19, 7, -1)]
    assert found['above'] == 20
    assert found['people'][0]['rows'] == [119, 99, 79, 59]
    assert found['people'][0]['images'] == 6
