"""Names made when asked for behave as tuples of them."""

import pickle

import numpy as np
import pytest

from fr_inference.data import lazy_names

MADE = {
    'numbered': (lazy_names.Numbered('a#', np.array([3, 1, 3])), ('a#3', 'a#1', 'a#3')),
    'repeated': (lazy_names.Repeated(['x', 'y'], np.array([1, 0, 1])), ('y', 'x', 'y')),
}


@pytest.mark.parametrize('kind', MADE)
def test_as_a_tuple(kind):
    made, expected = MADE[kind]
    assert made == expected
    assert made != expected[:2]
    assert (len(made), list(made), made[0], made[-1]) == (
        3,
        list(expected),
        expected[0],
        expected[2],
    )
    assert made[1:] == expected[1:]
    assert expected[1] in made
    assert set(made) == set(expected)
    assert [*zip(made, expected, strict=True)] == [*zip(expected, expected, strict=True)]
    with pytest.raises(IndexError):
        made[3]
    assert pickle.loads(pickle.dumps(made)) == expected
    assert all(type(name) is str for name in made)


@pytest.mark.parametrize('kind', MADE)
def test_taken(kind):
    made, expected = MADE[kind]
    for source in (made, expected):
        taken = lazy_names.take(source, np.array([1, 1, 0]))
        assert type(taken) is type(source)
        assert list(taken) == [expected[1], expected[1], expected[0]]
