"""Who is listed as exposed: judged members whose score lies above that of every stranger."""

import types

import numpy as np
import pytest

from fr_inference.membership import exposed

IMAGES = types.SimpleNamespace(
    identities=['a', 'b', 'a', 'c', 'd', 'b', 'e', 'f'],
    member=np.array([1, 1, 1, 1, 1, 1, 0, 0], bool),
)
FIT = np.array([0, 0, 0, 0, 1, 0, 0, 0], bool)  # 'd' was fitted on, 'e' and 'f' are strangers
LOGITS = np.array([1.0, 5.0, 3.0, 2.5, 9.0, -1.0, 1.5, 2.2])


def test_by_their_images():
    scores = exposed.of_people(IMAGES, FIT, LOGITS)
    assert scores == {'a': 2.0, 'b': 2.0, 'c': 2.5, 'e': 1.5, 'f': 2.2}
    found = exposed.exposed(IMAGES, FIT, scores, by='bn-distance/partial', logits=LOGITS)
    assert found['people'] == [{'identity': 'c', 'score': 2.5, 'images': 1, 'rows': [3]}]
    assert (found['by'], found['members'], found['above']) == ('bn-distance/partial', 3, 1)
    # Of 2 strangers none lies above: Clopper and Pearson's upper bound is 1 - sqrt(0.05).
    assert found['strangers'] == 2
    assert found['error_rate_ci95'] == pytest.approx(1 - 0.05**0.5)


def test_the_highest_first_and_their_clearest_pictures():
    scores = {'a': 0.7, 'b': 0.9, 'e': 0.5}
    found = exposed.exposed(IMAGES, FIT, scores, by='people/partial', logits=LOGITS)
    assert [one['identity'] for one in found['people']] == ['b', 'a']
    assert [one['rows'] for one in found['people']] == [[1, 5], [2, 0]]


@pytest.mark.parametrize('scores', [{'a': 0.1, 'e': 0.1}, {'a': 0.1, 'e': 0.2}, {'a': 0.1}])
def test_nobody_without_a_stranger_below(scores):
    assert exposed.exposed(IMAGES, FIT, scores, by='people/partial') is None


def test_twelve_people_and_four_images_each():
    names = [f'p{row % 20}' for row in range(120)] + ['s']
    many = types.SimpleNamespace(identities=names, member=np.arange(121) < 120)
    fit, logits = np.zeros(121, bool), np.append(np.arange(120.0), -1)
    scores = exposed.of_people(many, fit, logits)
    found = exposed.exposed(many, fit, scores, by='x', logits=logits)
    assert [one['identity'] for one in found['people']] == [f'p{one}' for one in range(19, 7, -1)]
    assert found['above'] == 20
    assert found['people'][0]['rows'] == [119, 99, 79, 59]
    assert found['people'][0]['images'] == 6
