"""Splits by person: disjoint, seeded, with other images of the same people set aside."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_inference.data import splits
from fr_inference.data.faces import from_arrays
from fr_inference.errors import InputError


def crowd(counts):
    identities = [f'p{person}' for person, count in enumerate(counts) for _ in range(count)]
    order = np.random.default_rng(0).permutation(len(identities))
    images = np.zeros((len(identities), 1, 1, 3), np.uint8)
    return from_arrays(images, [identities[index] for index in order], 'crowd')


def per_person(faces):
    return collections.Counter(faces.identities)


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(1, 6), min_size=12, max_size=30),
    seed=st.integers(0, 1000),
    holdout=st.sampled_from([0.0, 0.25, 0.5]),
)
def test_nobody_is_in_two_parts_and_nothing_is_lost(counts, seed, holdout):
    faces = crowd(counts)
    parts = splits.split_identities(faces, {'a': 0.5, 'b': 0.5}, seed=seed, holdout=holdout)
    a, b = (
        {p for name in parts if name[0] == side for p in parts[name].identities} for side in 'ab'
    )
    assert not a & b
    assert a | b == set(faces.identities)
    paths = [path for part in parts.values() for path in part.paths]
    assert sorted(paths) == sorted(faces.paths)
    assert abs(len(a) - len(b)) <= 1


def test_shares_and_source_order():
    faces = crowd([2] * 40)
    parts = splits.split_identities(faces, {'a': 0.5, 'b': 0.25}, seed=3)
    assert len(per_person(parts['a'])) == 20
    assert len(per_person(parts['b'])) == 10
    numbers = [int(path.partition('#')[2]) for path in parts['a'].paths]
    assert numbers == sorted(numbers)


def test_seeded():
    faces = crowd([3] * 30)

    def people(seed):
        return splits.split_identities(faces, {'a': 0.5}, seed=seed, limit_images=1)['a'].paths

    assert people(1) == people(1)
    assert people(1) != people(2)


def test_the_order_of_the_source_does_not_choose_the_people():
    faces = crowd([2] * 30)
    turned = faces.select(range(len(faces))[::-1])
    first, second = (
        splits.split_identities(source, {'a': 0.5}, seed=1)['a'] for source in (faces, turned)
    )
    assert set(first.identities) == set(second.identities)


def test_holdout_leaves_an_image_on_each_side():
    faces = crowd([1, 2, 3, 4, 8] * 4)
    parts = splits.split_identities(faces, {'a': 1.0}, seed=0, holdout=0.5)
    own, other = per_person(parts['a']), per_person(parts['a_other'])
    for name, count in per_person(faces).items():
        assert own[name] >= 1
        assert own[name] + other[name] == count
        assert (other[name] >= 1) == (count > 1)
        if count == 8:
            assert other[name] == 4
    assert not set(parts['a'].paths) & set(parts['a_other'].paths)


def test_limit_min_and_max_images():
    faces = crowd([1, 2, 5, 9] * 5)
    part = splits.split_identities(
        faces, {'a': 1.0}, seed=0, min_images=2, max_images=5, limit_images=3
    )['a']
    assert sorted(per_person(part).values()) == [2] * 5 + [3] * 5


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'parts': {}}, 'parts'),
        ({'parts': {'a': 0.7, 'b': 0.4}}, 'add up to at most 1'),
        ({'parts': {'a': -0.1}}, 'shares above 0'),
        ({'parts': {'a': 0.5}, 'holdout': 1.0}, 'holdout: found 1.0'),
        ({'parts': {'a': 0.5}, 'holdout': -0.5}, 'holdout: found -0.5'),
        ({'parts': {'a': 0.5}, 'min_images': 3}, "part 'a' is empty"),
        ({'parts': {'a': 0.9, 'b': 0.001}}, "part 'b' is empty"),
    ],
)
def test_bad_splits(options, message):
    with pytest.raises(InputError, match=message):
        splits.split_identities(crowd([2] * 10), seed=0, **options)
