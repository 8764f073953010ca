"""Splits by person: disjoint, seeded, with other images of the same people set aside."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_inference import program_config
from fr_inference.data import sources, splits
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
    ('options', 'field', 'found'),
    [
        ({'parts': {}}, 'parts', '{}'),
        ({'parts': {'a': 0.7, 'b': 0.4}}, 'parts', "{'a': 0.7, 'b': 0.4}"),
        ({'parts': {'a': -0.1}}, 'parts', "{'a': -0.1}"),
        ({'parts': {'a': 0.5}, 'holdout': 1.0}, 'holdout', '1.0'),
        ({'parts': {'a': 0.5}, 'holdout': -0.5}, 'holdout', '-0.5'),
        ({'parts': {'a': 0.5}, 'min_images': 3}, 'parts', "nobody for the part 'a'"),
        ({'parts': {'a': 0.9, 'b': 0.001}}, 'parts', "nobody for the part 'b'"),
    ],
)
def test_bad_splits(options, field, found):
    with pytest.raises(InputError) as caught:
        splits.split_identities(crowd([2] * 10), seed=0, **options)
    assert (caught.value.field, caught.value.found) == (field, found)


class TestManifests:
    FACES = 'procedural:easy,people=10,images=4,size=8'

    def written(self, out, **options):
        """Returns name of the file -> its faces, opened again."""
        options = program_config.Split(faces=self.FACES, out=str(out), **options)
        out.mkdir(exist_ok=True)
        found = dict(splits.write(options))
        assert {path.name for path in found} <= set(splits.files(options.parts))
        assert sorted(found) == sorted(out.glob('*.csv'))
        opened = {path.stem: sources.open_faces(path) for path in found}
        for path, faces in found.items():
            assert opened[path.stem].paths == faces.paths
        return opened

    def test_other_images_of_the_same_people(self, tmp_path):
        parts = ('members:0.4', ' nonmembers:0.4', 'aux-1:0.2')
        found = self.written(tmp_path, parts=parts, holdout_images=0.25)
        people = [set(found[name].identities) for name in ('members', 'nonmembers', 'aux-1')]
        assert [len(part) for part in people] == [4, 4, 2]
        assert len(set().union(*people)) == 10
        for name, count in (('members', 4), ('nonmembers', 4), ('aux-1', 2)):
            own, other = found[name], found[f'{name}_other']
            assert set(own.identities) == set(other.identities)
            assert (len(own), len(other)) == (3 * count, count)

    def test_the_seed_decides(self, tmp_path):
        first, again, other = (
            self.written(tmp_path / name, seed=seed)['members'].paths
            for name, seed in (('first', 0), ('again', 0), ('other', 1))
        )
        assert first == again != other

    def test_limited(self, tmp_path):
        assert len(self.written(tmp_path, limit_images=1)['members']) == 5

    @pytest.mark.parametrize(
        ('parts', 'found'),
        [
            (('members',), "'members'"),
            (('members:-0.5',), "'members:-0.5'"),
            (('members:nan',), "'members:nan'"),
            (('../a:0.5',), "'../a:0.5'"),
            (('a:0.3', 'a:0.3'), "'a', whose file another part writes"),
            (('a:0.3', 'a_other:0.3'), "'a_other', whose file another part writes"),
            (('a_other:0.3', 'a:0.3'), "'a', whose file another part writes"),
            (('a:0.6', 'b:0.6'), "{'a': 0.6, 'b': 0.6}"),
        ],
    )
    def test_bad_parts(self, tmp_path, parts, found):
        with pytest.raises(InputError) as caught:
            self.written(tmp_path, parts=parts)
        assert (caught.value.field, caught.value.found) == ('parts', found)
        assert not list(tmp_path.glob('*'))

    @pytest.mark.parametrize(
        ('options', 'field'),
        [
            ({'parts': ()}, 'parts'),
            ({'holdout_images': 1.0}, 'holdout_images'),
            ({'limit_images': 0}, 'limit_images'),
            ({'seed': -1}, 'seed'),
        ],
    )
    def test_bad_options(self, tmp_path, options, field):
        with pytest.raises(InputError) as caught:
            program_config.Split(faces=self.FACES, out='out', **options)
        assert caught.value.field == field
