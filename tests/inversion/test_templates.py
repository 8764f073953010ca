"""Stored templates: files of any bytes are refused in one line, and faces come closer to each."""

import csv
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_inference import config, errors
from fr_inference.inversion import templates
from tests.inversion import worlds

HOW = config.replace(worlds.HOW, candidates=2, keep=1, steps=2)


@pytest.fixture(scope='module')
def target():
    return worlds.networks()[0]


def saved(path, array):
    np.save(path, array)
    return path


def test_directions_are_read(tmp_path, target):
    rows = np.random.default_rng(0).normal(size=(3, worlds.WIDTH))
    scaled = rows * [[1e300], [1.0], [1e-42]]
    found = templates.read(saved(tmp_path / 'a.npy', scaled), target)
    assert found.dtype == np.float32
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(rows, axis=1)
    np.testing.assert_allclose((found * rows).sum(1), lengths, rtol=1e-5)
    whole = templates.read(saved(tmp_path / 'b.npy', np.arange(16)[None] + 1), target)
    assert whole.shape == (1, 16)


@pytest.mark.parametrize(
    ('array', 'found'),
    [
        (np.zeros((2, 3)), 'float64 [2, 3]'),
        (np.zeros((0, 16)), 'float64 [0, 16]'),
        (np.zeros(16), 'float64 [16]'),
        (np.array([['x'] * 16]), '<U1 [1, 16]'),
        (np.eye(16)[[0, 1]] * [[1], [0]], '1 rows that are zero or not finite, such as number 1'),
        (np.full((1, 16), np.inf), '1 rows that are zero or not finite, such as number 0'),
    ],
)
def test_other_arrays(tmp_path, target, array, found):
    with pytest.raises(errors.InputError) as caught:
        templates.read(saved(tmp_path / 'a.npy', array), target, field='stored')
    assert (caught.value.field, caught.value.found) == ('stored', found)


HEADER = b'\x93NUMPY\x01\x00'


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'no numbers',
        HEADER + b'\x01\x00(',  # NumPy's tokeniser stumbles over it
        HEADER + b'\x05\x00((((\n',
        HEADER + b"\x40\x00{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 16)}  \n",
        HEADER + b"\x41\x00{'descr': '<f8', 'fortran_order': False, 'shape': (10**9,16)} \n",
        HEADER + b'\x01\x00{',
        b'PK\x03\x04',
    ],
)
def test_damaged_files(tmp_path, target, content):
    (tmp_path / 'a.npy').write_bytes(content)
    with pytest.raises(errors.InputError) as caught:
        templates.read(tmp_path / 'a.npy', target)
    assert caught.value.field == 'templates'
    assert '\n' not in str(caught.value)


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes(tmp_path_factory, rest, begun):
    target, _ = worlds.networks()
    path = tmp_path_factory.getbasetemp() / 'any.npy'
    path.write_bytes(HEADER * begun + rest)
    with pytest.raises(errors.InputError):
        templates.read(path, target)


def test_a_header_of_python_2_is_no_warning(tmp_path, target):
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 16L), }"
    head = HEADER + (len(text) + 2).to_bytes(2, 'little') + text + b' \n'
    (tmp_path / 'a.npy').write_bytes(head + np.ones((2, worlds.WIDTH), '<f4').tobytes())
    np.testing.assert_array_equal(templates.read(tmp_path / 'a.npy', target), 1)


def test_a_nan_that_signals_is_a_row_that_is_not_finite(tmp_path, target):
    stored = np.ones((2, worlds.WIDTH), np.float32)
    stored.view(np.uint32)[1, 3] = 0x7F800001
    np.save(tmp_path / 'a.npy', stored)
    with pytest.raises(errors.InputError, match='number 1'):
        templates.read(tmp_path / 'a.npy', target)


def test_a_hole_of_gigabytes(tmp_path, target):
    stored = np.lib.format.open_memmap(
        tmp_path / 'a.npy', 'w+', np.float32, (1 << 25, worlds.WIDTH)
    )
    with pytest.raises(errors.InputError) as caught:
        templates.read(tmp_path / 'a.npy', target)
    assert caught.value.found == f'{stored.nbytes} bytes of embeddings'


def test_a_pipe_is_not_waited_for(tmp_path, target):
    os.mkfifo(tmp_path / 'pipe.npy')
    for name in ('pipe.npy', 'absent.npy', '.'):
        with pytest.raises(errors.InputError) as caught:
            templates.read(tmp_path / name, target)
        assert caught.value.field == 'templates'


def test_reconstruct(tmp_path):
    rows = np.random.default_rng(1).normal(size=(2, worlds.WIDTH))
    made = templates.reconstruct(
        *worlds.networks(), rows, seed=worlds.SEED, how=HOW, names=['a', 'b']
    )
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(
        made.columns['similarity'], (made.found.embeddings * units).sum(1), rtol=1e-6
    )
    assert made.found.group.tolist() == [0, 1]
    middle = np.median(made.columns['similarity'])
    assert str(made) == f'2 reconstructions, median similarity {middle:.3f}'
    assert made.found.logits is None
    made.save(tmp_path)
    with open(tmp_path / 'reconstructions.csv', encoding='utf-8', newline='') as file:
        assert [row['template'] for row in csv.DictReader(file)] == ['a', 'b']
    assert len(list((tmp_path / 'reconstructions').glob('*.png'))) == 2
    with pytest.raises(errors.InputError) as caught:
        templates.reconstruct(*worlds.networks(), rows[:, 1:], seed=0, how=HOW)
    assert caught.value.field == 'templates'
