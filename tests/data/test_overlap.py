"""The same person or image on both sides stops an audit, with examples."""

import dataclasses

import numpy as np
import pytest

from fr_inference.data import overlap
from fr_inference.data.faces import BadImageError, from_arrays
from fr_inference.errors import InputError


def side(name, seeds, people):
    images = np.stack(
        [np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8) for seed in seeds]
    )
    return from_arrays(images, people, name)


def check(first, second, **options):
    digests = (overlap.content_digests(first), overlap.content_digests(second))
    return overlap.check_disjoint(first, second, digests=digests, **options)


def test_disjoint():
    assert check(side('m', [1, 2], ['a', 'b']), side('n', [3, 4], ['c', 'd'])) == []


def test_same_identity_is_named():
    first, second = side('m', range(5), 'abcde'), side('n', range(10, 15), 'xbcde')
    with pytest.raises(InputError) as caught:
        check(first, second, names=('members', 'auxiliary'))
    assert caught.value.field == 'auxiliary'
    assert caught.value.found == '4 identities on both sides (b, c, d, ...)'
    assert 'members and auxiliary' in caught.value.hint
    assert '\n' not in str(caught.value)


def test_spellings_of_one_name_are_one_person():
    first, second = (
        side('m', [1, 2, 5], ['Ann_B', 'ann b', 'c']),
        side('n', [3, 4], ['ANN  B', 'd']),
    )
    found = 'members and nonmembers: 1 identities on both sides (Ann_B = ANN  B)'
    assert check(first, second, allow=True) == [found]


def test_same_content_under_another_name_is_found():
    first, second = side('m', [1, 2, 3], 'abc'), side('n', [7, 3], 'xy')
    with pytest.raises(InputError) as caught:
        check(first, second)
    assert caught.value.found == '1 images with the same content on both sides (m#2 = n#1)'


def test_identity_names_may_be_let_pass_but_not_content():
    first = side('m', [1, 2], 'ab')
    assert check(first, side('n', [3], 'a'), identities=False) == []
    with pytest.raises(InputError) as caught:
        check(first, side('n', [2], 'b'), identities=False)
    assert caught.value.field == 'nonmembers'
    assert caught.value.found.endswith('(m#1 = n#0)')


def test_allow_returns_the_findings():
    lines = check(side('m', [1, 2], 'ab'), side('n', [2, 3], 'bc'), allow=True)
    assert len(lines) == 2
    assert 'identities' in lines[0]
    assert 'm#1 = n#0' in lines[1]


def test_unreadable_files_are_never_the_same_image():
    faces = side('m', [1, 2], 'ab')

    def digest(index):
        raise BadImageError(faces.paths[index], 'broken bytes')

    broken = dataclasses.replace(faces, digest=digest)
    with pytest.raises(BadImageError, match='broken'):
        overlap.content_digests(broken)
    empty = overlap.content_digests(broken, skip_bad=True)
    assert empty == ['', '']
    other = dataclasses.replace(broken, identities=('c', 'd'))
    assert overlap.check_disjoint(broken, other, digests=(empty, empty)) == []


def test_digests_stay_in_order():
    faces = side('m', range(40), range(40))
    assert overlap.content_digests(faces) == [faces.digest(index) for index in range(40)]
