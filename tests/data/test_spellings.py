"""Spellings of one person."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_inference.data import spellings
from fr_inference.data.faces import from_arrays

COMPOSED, APART = 'Zo\u00eb', 'Zoe\u0308'


@pytest.mark.parametrize(
    ('first', 'second'),
    [
        ('John_Doe', 'john_doe'),
        ('John_Doe', 'John Doe'),
        ('John__Doe ', ' JOHN  DOE'),
        (COMPOSED, APART),
        (COMPOSED.upper(), APART),
        ('Stra\u00dfe', 'STRASSE'),
        ('\u1fb3', '\u0391\u0345'),  # the mark that is folded to a letter
    ],
)
def test_one_person(first, second):
    assert spellings.key(first) == spellings.key(second)


@pytest.mark.parametrize(
    ('first', 'second'),
    [('Ann', 'Anne'), ('Zoe', COMPOSED), ('1', '01'), ('a1', 'a_1'), ('_', '__'), ('a-b', 'a b')],
)
def test_two_people(first, second):
    assert spellings.key(first) != spellings.key(second)


@given(st.text())
def test_a_key_is_its_own_key_and_never_empty(name):
    assert spellings.key(spellings.key(name)) == spellings.key(name)
    assert bool(spellings.key(name)) == bool(name)


def test_names_that_are_not_utf8():
    assert spellings.key('Zo\udceb') == 'zo\udceb'


def test_one_spelling_in_a_source():
    names = ('Ann', 'ann', 'bob', COMPOSED, APART, 'ANN')
    found, remarks = spellings.merged(names)
    assert list(found) == ['Ann', 'Ann', 'bob', COMPOSED, COMPOSED, 'Ann']
    assert len(remarks) == 1
    assert remarks[0].endswith(f': 3 (ann = Ann, {APART} = {COMPOSED}, ANN = Ann)')
    assert spellings.merged(('a', 'b')) == (('a', 'b'), [])


def test_one_spelling_on_all_sides():
    image = np.zeros((2, 2, 2, 3), np.uint8)
    sides = {
        'members': from_arrays(image, ['Ann_B', 'bob'], 'm'),
        'shift': from_arrays(image, ['cy', 'ann b'], 's'),
    }
    found = spellings.unified(sides)
    assert found['members'] is sides['members']
    assert found['shift'].identities == ('cy', 'Ann_B')


def test_examples_are_few_and_printable():
    assert spellings.listed(['a\x1b[2J', 'b', 'c']) == 'a\\x1b[2J, b, c'
    assert spellings.listed(['x' * 1000] * 4) == ', '.join(['x' * 300] * 3) + ', ...'
