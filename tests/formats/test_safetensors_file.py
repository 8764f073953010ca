"""`.safetensors`: what is written, everybody reads; what anybody wrote, we read; lies are one line."""

import os
import struct

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_inference.errors import InputError
from fr_inference.formats import safetensors_file

TENSORS = {
    'params/a/kernel': np.arange(6, dtype=np.float32).reshape(2, 3),
    'params/a/scalar': np.array(3, np.float32),
    'params/half': np.array([1.5, -2], np.float16),
    'params/wide': np.array([[1e300]], np.float64),
    'count': np.array([1, 2**40], np.int64),
    'flags': np.array([True, False, True]),
    'bytes': np.arange(3, dtype=np.uint8),
    'ünïcode': np.array([-1], np.int32),
}
BRAIN = np.array([[1.5, -2, 0.25]], ml_dtypes.bfloat16)


def same(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)


def test_the_library_reads_what_is_written(tmp_path):
    safetensors_file.write(tmp_path / 'f', TENSORS, {'by': 'me'})
    same(safetensors.numpy.load_file(tmp_path / 'f'), TENSORS)
    with safetensors.safe_open(tmp_path / 'f', framework='numpy') as file:
        assert file.metadata() == {'by': 'me'}
    assert safetensors_file.metadata(tmp_path / 'f') == {'by': 'me'}


def test_what_the_library_writes_is_read(tmp_path):
    safetensors.numpy.save_file(TENSORS, tmp_path / 'f')
    same(safetensors_file.read(tmp_path / 'f'), TENSORS)


def test_round_trip_with_bfloat16(tmp_path):
    everything = {**TENSORS, 'brain': BRAIN, 'turned': TENSORS['params/a/kernel'].T}
    safetensors_file.write(tmp_path / 'f', everything, {})
    same(safetensors_file.read(tmp_path / 'f'), everything)
    with safetensors.safe_open(tmp_path / 'f', framework='numpy') as file:
        assert file.get_slice('brain').get_dtype() == 'BF16'
        assert file.get_slice('brain').get_shape() == [1, 3]


def test_the_same_arrays_give_the_same_bytes(tmp_path):
    safetensors_file.write(tmp_path / 'a', TENSORS, {'k': 'v'})
    safetensors_file.write(tmp_path / 'b', dict(reversed(TENSORS.items())), {'k': 'v'})
    assert (tmp_path / 'a').read_bytes() == (tmp_path / 'b').read_bytes()


def test_numbers_are_aligned(tmp_path):
    """So that readers need not copy: wide types come first, behind a padded header."""
    safetensors_file.write(tmp_path / 'f', TENSORS, {})
    for array in safetensors_file.read(tmp_path / 'f').values():
        assert array.flags.aligned
        assert not array.flags.writeable


def test_types_that_the_format_lacks(tmp_path):
    with pytest.raises(ValueError, match='complex64'):
        safetensors_file.write(tmp_path / 'f', {'c': np.ones(1, np.complex64)}, {})


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='no /dev/full')
def test_a_full_disk_is_named():
    with pytest.raises(OSError, match='No space left') as caught:
        safetensors_file.write('/dev/full', TENSORS, {})
    assert caught.value.filename == '/dev/full'


def refused(path):
    with pytest.raises(InputError) as caught:
        safetensors_file.read(path)
    assert caught.value.field == str(path)
    assert '\n' not in str(caught.value)
    return caught.value.found


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'empty').touch()
    assert refused(tmp_path / 'pipe') == 'not a regular file'
    assert refused(tmp_path) == 'a directory'
    assert refused(tmp_path / 'none') == 'no such file'
    assert refused(tmp_path / 'empty') == 'an empty file'
    for path in (tmp_path, tmp_path / 'pipe', tmp_path / 'none', tmp_path / 'empty'):
        assert safetensors_file.metadata(path) == {}


def test_types_that_numpy_lacks(tmp_path):
    header = b'{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}'
    (tmp_path / 'f').write_bytes(struct.pack('<Q', len(header)) + header + b'\0')
    assert 'F8_E4M3' in refused(tmp_path / 'f')


@pytest.fixture(scope='module')
def scratch(tmp_path_factory):
    folder = tmp_path_factory.mktemp('safetensors')
    safetensors_file.write(folder / 'honest', {**TENSORS, 'brain': BRAIN}, {'k': 'v'})
    return folder


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4),
    st.none() | st.integers(0, 2000),
)
def test_damaged_files(scratch, changes, length):
    """Some bytes changed, cut somewhere: arrays of the size that the file has, or one line."""
    data = bytearray((scratch / 'honest').read_bytes())
    for position, value in changes:
        data[position % len(data)] = value
    (scratch / 'damaged').write_bytes(data[:length])
    try:
        found = safetensors_file.read(scratch / 'damaged')
        fine = sum(array.nbytes for array in found.values()) <= len(data)
    except InputError as error:
        fine = '\n' not in str(error)
    assert fine
