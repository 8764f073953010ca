"""People held out of a training: nobody on both sides, enough of them to be verified."""

import pytest

from fr_inference.data import sources
from fr_inference.errors import InputError
from fr_inference.training import held_out


def faces(people, images=2):
    return sources.open_faces(f'procedural:easy,people={people},images={images},size=16')


def test_nobody_is_on_both_sides():
    trained_on, others = held_out.split(faces(10), 0.3, seed=0)
    assert others is not None
    assert len(set(others.identities)) == 3
    assert not set(others.identities) & set(trained_on.identities)
    again = held_out.split(faces(10), 0.3, seed=0)
    assert again[0].paths == trained_on.paths


def test_none_is_held_out():
    whole = faces(4)
    assert held_out.split(whole, 0, seed=0) == (whole, None)


@pytest.mark.parametrize(('people', 'images', 'share'), [(10, 2, 0.1), (10, 1, 0.3)])
def test_too_few_to_verify(people, images, share):
    with pytest.raises(InputError) as caught:
        held_out.split(faces(people, images), share, seed=0)
    assert caught.value.field == 'holdout'
