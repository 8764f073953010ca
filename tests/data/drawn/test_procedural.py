"""Drawn faces: the same person and picture give the same pixels, however they are asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fr_inference.data import sources
from fr_inference.data.drawn import procedural
from fr_inference.errors import InputError

# More than two chunks of 64, so that order and chunk borders matter.
SPEC = 'hard,people=50,images=3,size=16,seed=5'


def pixels(faces):
    return np.stack([faces.read(index) for index in range(len(faces))])


@pytest.fixture(scope='module')
def everything():
    return pixels(procedural.faces(SPEC))


def test_same_pixels_in_any_order(everything):
    faces = procedural.faces(SPEC)
    order = np.random.default_rng(0).permutation(len(faces))
    mixed = np.stack([faces.read(int(index)) for index in order])
    np.testing.assert_array_equal(mixed, everything[order])
    np.testing.assert_array_equal(pixels(faces.select(order[:9])), everything[order[:9]])


@settings(max_examples=15, deadline=None)
@given(first=st.integers(0, 48), start=st.integers(0, 2), people=st.integers(1, 2))
def test_person_and_picture_numbers_decide_the_pixels(everything, first, start, people):
    images = 3 - start
    spec = f'hard,people={people},images={images},size=16,seed=5,first={first},start={start}'
    part = procedural.faces(spec)
    expected = everything.reshape(50, 3, 16, 16, 3)[first : first + people, start:]
    np.testing.assert_array_equal(pixels(part), expected.reshape(-1, 16, 16, 3))
    assert part.identities == tuple(
        f'hard-5-{person}' for person in range(first, first + people) for _ in range(images)
    )


def test_no_two_pictures_are_alike(everything):
    assert len(np.unique(everything.reshape(len(everything), -1), axis=0)) == len(everything)


def test_people_differ_more_than_pictures_of_one_person():
    faces = procedural.faces('easy,people=20,images=4,size=16,seed=1')
    flat = pixels(faces).reshape(20, 4, -1).astype(np.float64)
    within = np.mean(flat.var(axis=1))
    between = np.mean(flat.mean(axis=1).var(axis=0))
    assert between > within


def test_other_seed_other_people(everything):
    other = pixels(procedural.faces(SPEC.replace('seed=5', 'seed=6')))
    assert all((one != two).any() for one, two in zip(everything, other, strict=True))
    seeds = [procedural.faces(f'easy,people=3,images=1,size=16,seed={seed}') for seed in (5, 6)]
    assert not set(seeds[0].identities) & set(seeds[1].identities)


def test_difficulty_spreads_people_and_pictures():
    def spread(difficulty):
        drawn = procedural.DIFFICULTIES[difficulty]
        return drawn.identity, drawn.nuisance

    assert spread('easy')[0] > spread('medium')[0] > spread('hard')[0]
    assert spread('studio')[1] < spread('easy')[1] < spread('medium')[1] < spread('hard')[1]
    spec = 'people=12,images=1,size=16'
    drawn = {name: pixels(procedural.faces(f'{name},{spec}')) for name in procedural.DIFFICULTIES}
    assert (drawn['easy'] != drawn['hard']).any()
    assert (drawn['medium'] != drawn['hard']).any()


@pytest.mark.parametrize('size', [9, 112])  # each size is compiled, which takes its time
def test_any_size_shows_the_same_picture(size):
    images = [
        procedural.faces(f'easy,people=1,images=1,size={pixels}').read(0) for pixels in (16, size)
    ]
    assert images[1].shape == (size, size, 3)
    assert images[1].dtype == np.uint8
    both = [Image.fromarray(image).resize((8, 8), Image.Resampling.BOX) for image in images]
    assert np.corrcoef(*(np.asarray(image, float).ravel() for image in both))[0, 1] > 0.95


def test_digest_follows_the_pixels():
    first, same, other = (
        procedural.faces(f'easy,people=2,images=1,size=16,seed={seed}') for seed in (0, 0, 1)
    )
    assert first.digest(0) == same.digest(0)
    assert len({first.digest(0), first.digest(1), other.digest(0)}) == 3


@given(
    st.builds(
        procedural.Spec,
        difficulty=st.sampled_from(sorted(procedural.DIFFICULTIES)),
        people=st.integers(1, 10_000),
        images=st.integers(1, 1000),
        size=st.integers(8, 1024),
        seed=st.integers(0, 2**31 - 1),
        first=st.integers(0, 2**31 - 1),
        start=st.integers(0, 2**31 - 1),
    )
)
def test_spec_round_trip(spec):
    assert procedural.parse(str(spec)) == spec


@pytest.mark.parametrize(
    ('text', 'option', 'found'),
    [
        ('', 'difficulty', "''"),
        ('brutal', 'difficulty', "'brutal'"),
        ('hard,persons=3', '', "'persons=3'"),
        ('hard,people', '', "'people'"),
        ('hard,people=-1', '', "'people=-1'"),
        ('hard,people=1.5', '', "'people=1.5'"),
        ('hard,people=0', 'people', '0'),
        (f'hard,people={"1" * 5000}', '', "'people=111"),
        ('hard,people=10000000,images=100000', 'images', '10000000 people x 100000'),
        ('hard,size=4', 'size', '4'),
        ('hard,size=100000', 'size', '100000'),
        ('hard,seed=99999999999', 'seed', '99999999999'),
        ('hard,difficulty=easy', '', "'difficulty=easy'"),
    ],
)
def test_bad_spec(text, option, found):
    with pytest.raises(InputError) as caught:
        sources.open_faces(f'procedural:{text}', 'members')
    assert caught.value.field == 'members'
    assert caught.value.inside == f'procedural:{text:.80}' + (f': {option}' if option else '')
    assert caught.value.found.startswith(found)
    assert '\n' not in str(caught.value)
