"""Arrays come out of pickles and `.npz` archives as NumPy put them in."""

import pickle

import numpy as np
import pytest

from fr_inference.errors import InputError
from fr_inference.formats.state_dicts import read_tensors
from tests.formats import writer

DRAW = np.random.default_rng(0)
ARRAYS = {
    'rows': DRAW.normal(size=(2, 3)).astype(np.float32),
    'columns': np.asfortranarray(DRAW.normal(size=(3, 4))),
    'scalar': np.asarray(7, np.int64),
    'nothing': np.zeros((0, 3), np.float32),
    'half': np.arange(5, dtype=np.float16),
    'truth': np.array([True, False]),
    'large': DRAW.integers(0, 255, (40, 40)).astype(np.uint8),
}


def same(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
def test_pickled(tmp_path, protocol):
    path = tmp_path / 'file.pkl'
    path.write_bytes(pickle.dumps({'net': ARRAYS, 'epoch': np.float64(3)}, protocol))
    found = read_tensors(path)
    same(found.tensors, {f'net/{name}': array for name, array in ARRAYS.items()})
    assert found.notes == ()


def test_in_a_file_of_torch(tmp_path):
    path = tmp_path / 'file.pt'
    path.write_bytes(writer.zip_bytes(pickle.dumps(ARRAYS, 2)))
    same(read_tensors(path).tensors, ARRAYS)


@pytest.mark.parametrize(
    'other',
    [np.array([1, 'a'], object), np.arange(3, dtype='>f4'), np.array(['a']), np.ones(2, complex)],
    ids=['objects', 'big-endian', 'text', 'complex'],
)
@pytest.mark.parametrize('protocol', [2, 4])
def test_other_arrays_are_set_aside(tmp_path, other, protocol):
    path = tmp_path / 'file.pkl'
    path.write_bytes(pickle.dumps({'w': ARRAYS['rows'], 'other': other}, protocol))
    found = read_tensors(path)
    same(found.tensors, {'w': ARRAYS['rows']})
    assert set(found.unread) == {'other'}


def test_npz(tmp_path):
    np.savez(tmp_path / 'file.npz', **ARRAYS)
    same(read_tensors(tmp_path / 'file.npz').tensors, ARRAYS)


@pytest.mark.parametrize(
    'save', [np.savez_compressed, lambda path: np.savez(path, a=np.array(['a']))]
)
def test_other_npz(tmp_path, save):
    path = tmp_path / 'file.npz'
    save(path, a=np.ones(3)) if save is np.savez_compressed else save(path)
    with pytest.raises(InputError) as caught:
        read_tensors(path)
    assert caught.value.field == str(path)
