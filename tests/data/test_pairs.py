"""Verification pairs: what a CSV names, in folders, manifests and drawings."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from fr_inference.data import pairs
from fr_inference.data.faces import from_arrays
from fr_inference.errors import InputError

HEAD = 'fold,first,second,same\n'


@pytest.fixture
def faces(tmp_path):
    root = tmp_path / 'faces'
    for number, name in enumerate(('ann/1.png', 'ann/2.png', 'bob/1.png', 'cy/1.png')):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(root / name)
    return root


def opened(faces, text, spec=None):
    path = faces.parent / 'pairs.csv'
    path.write_text(text, encoding='utf-8')
    return pairs.open_pairs(path, faces if spec is None else spec)


def shown(found):
    """What pixel each side of each pair has."""
    values = [int(found.faces.read(i)[0, 0, 0]) for i in range(len(found.faces))]
    return [(values[a], values[b]) for a, b in zip(found.first, found.second, strict=True)]


def test_folder(faces):
    found = opened(faces, HEAD + '0,bob/1.png,ann/2.png,0\n3,ann/1.png,ann/2.png,1\n')
    assert len(found) == 2
    assert shown(found) == [(2, 1), (0, 1)]
    assert len(found.faces) == 3  # nobody named cy
    assert found.same.tolist() == [False, True]
    assert found.folds.tolist() == [0, 3]


def test_order_of_columns_and_a_byte_order_mark(faces):
    text = '\ufeffsame,second,first,note,fold\n1,ann/2.png,ann/1.png,x,7\n'
    found = opened(faces, text)
    assert shown(found) == [(0, 1)]
    assert (found.same.tolist(), found.folds.tolist()) == ([True], [7])


def test_who_is_on_the_images():
    """Where names do not tell, the pairs of one person do."""
    listed = pairs.Pairs(
        faces=from_arrays(np.zeros((4, 2, 2, 3), np.uint8), range(4)),
        first=np.array([0, 1, 2, 3]),
        second=np.array([1, 2, 3, 0]),
        same=np.array([True, False, True, True]),
        folds=np.zeros(4, int),
    )
    assert listed.twins(2) is None
    unnamed = dataclasses.replace(listed, named=False)
    assert unnamed.twins(2).tolist() == [[0, 1], [2, 3]]
    assert len(unnamed.twins(9)) == 3


def test_paths_of_windows_and_semicolons(faces):
    text = 'fold;first;second;same\n0; bob\\1.png; ann\\2.png ;0\n'
    assert shown(opened(faces, text)) == [(2, 1)]


def test_manifest(faces):
    manifest = faces.parent / 'manifest.csv'
    manifest.write_text('path,identity\nfaces/ann/1.png,a\nfaces/bob/1.png,b\n', encoding='utf-8')
    found = opened(faces, HEAD + '0,faces/bob/1.png,faces/ann/1.png,0\n', manifest)
    assert shown(found) == [(2, 0)]


@pytest.mark.parametrize(
    ('row', 'found'),
    [
        ('0,ann/1.png,ann/9.png,1', "'ann/9.png'"),
        ('0,ann/1.png,../pairs.csv,1', "'../pairs.csv'"),
        ('0,ann/1.png,/etc/passwd,1', "'/etc/passwd'"),
        ('0,,ann/1.png,1', "''"),
        ('0,ann/1.png', "same ''"),
        ('x,ann/1.png,ann/2.png,1', "fold 'x'"),
        ('-1,ann/1.png,ann/2.png,1', "fold '-1'"),
        ('\u00b2,ann/1.png,ann/2.png,1', "fold '\u00b2'"),
        ('0,ann/1.png,ann/2.png,True', "same 'True'"),
        ('0,ann/1.png,ann/2.png,', "same ''"),
        ('0,ann/1.png,ann/1.png,1', 'an image and itself'),
    ],
)
def test_bad_rows(faces, row, found):
    with pytest.raises(InputError) as caught:
        opened(faces, HEAD + row + '\n')
    assert (caught.value.field, caught.value.found) == ('pairs', found)
    assert caught.value.inside == f'{faces.parent / "pairs.csv"}: line 2'
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('text', 'found'),
    [
        ('', "the columns ''"),
        (HEAD, 'no pairs'),
        ('a,b\n1,2\n', "the columns 'a,b'"),
    ],
)
def test_bad_files(faces, text, found):
    with pytest.raises(InputError) as caught:
        opened(faces, text)
    assert (caught.value.field, caught.value.found) == ('pairs', found)


def test_not_text(faces):
    path = faces.parent / 'pairs.csv'
    path.write_bytes(b'fold,first,second,same\n\xff\xfe\x00')
    for given, expected in ((path, 'a UTF-8 CSV file'), (faces, 'a CSV file')):
        with pytest.raises(InputError) as caught:
            pairs.open_pairs(given, faces)
        assert (caught.value.field, caught.value.expected) == ('pairs', expected)
    with pytest.raises(InputError) as caught:
        pairs.open_pairs(path, faces / 'nowhere')
    assert caught.value.field == 'faces'
