"""Who is listed as most exposed: members of the evaluated half, by the attack on people, else images."""

import types

import numpy as np

from fr_inference.membership.exposed import exposed

IMAGES = types.SimpleNamespace(
    identities=['a', 'b', 'a', 'c', 'd', 'b', 'e'],
    member=np.array([1, 1, 1, 1, 1, 1, 0], bool),
)
FIT = np.array([0, 0, 0, 0, 1, 0, 0], bool)  # 'd' was fitted on, 'e' is no member
LOGITS = np.array([1.0, 5.0, 3.0, 2.5, 9.0, -1.0, 9.0])


def test_by_their_images():
    found = exposed(IMAGES, FIT, LOGITS, {})
    assert [one['identity'] for one in found] == ['c', 'a', 'b']  # means 2.5, 2 and 2
    assert [one['mean_image_logit'] for one in found] == [2.5, 2.0, 2.0]
    assert [one['rows'] for one in found] == [[3], [2, 0], [1, 5]]
    assert {one['person_logit'] for one in found} == {None}


def test_by_the_attack_on_people():
    found = exposed(IMAGES, FIT, None, {'a': 0.1, 'b': 0.7})
    assert [one['identity'] for one in found] == ['b', 'a', 'c']
    assert [one['person_logit'] for one in found] == [0.7, 0.1, None]
    assert [one['images'] for one in found] == [2, 2, 1]


def test_twelve_people_and_four_images_each():
    many = types.SimpleNamespace(
        identities=[f'p{row % 20}' for row in range(120)], member=np.ones(120, bool)
    )
    found = exposed(many, np.zeros(120, bool), np.arange(120.0), {})
    assert [one['identity'] for one in found] == [f'p{person}' for person in range(19, 7, -1)]
    assert found[0]['rows'] == [119, 99, 79, 59]
    assert found[0]['images'] == 6
