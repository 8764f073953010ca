"""RecordIO: the index that names the records, and records in one part or several."""

import os
import pickle

import numpy as np
import pytest

from fr_inference.errors import InputError
from fr_inference.formats import recordio
from tests.data import records

CONTENT = {key: records.header(10 + key, key) + bytes([key] * key) for key in range(5)}


@pytest.fixture
def path(tmp_path):
    records.write(tmp_path / 'x', CONTENT)
    return tmp_path / 'x.rec'


def refused(path, file):
    """Returns the error of a file that must be refused, in one line whose field is `file`."""
    with pytest.raises(InputError) as caught:
        recordio.RecordFile(path)
    assert caught.value.field == str(file)
    assert '\n' not in str(caught.value)
    return caught.value


def check(file):
    assert file.keys.tolist() == list(CONTENT)
    for row, content in enumerate(CONTENT.values()):
        found = file.read(row)
        assert found.labels.tolist() == [10 + row]
        assert bytes(found.content) == content[24:]
        labels, more = file.header(row)
        assert (labels.tolist(), more) == ([10 + row], row > 0)


def test_records(path):
    check(recordio.RecordFile(path))


def test_where_files_are_read_after_seeking(path, monkeypatch):
    monkeypatch.delattr(os, 'pread')
    check(recordio.RecordFile(path))


def test_sent_to_another_process(path):
    check(pickle.loads(pickle.dumps(recordio.RecordFile(path))))


def test_the_magic_number_within_a_record(tmp_path):
    content = records.header(3, 0) + 4 * records.MAGIC + b'end'
    records.write(tmp_path / 'x', {7: content})
    assert (tmp_path / 'x.rec').read_bytes().count(records.MAGIC) == 5
    assert bytes(recordio.RecordFile(tmp_path / 'x.rec').read(0).content) == content[24:]


def test_several_labels(tmp_path):
    records.write(tmp_path / 'x', {0: records.header([1.5, 2, 3]) + b'rest'})
    file = recordio.RecordFile(tmp_path / 'x.rec')
    np.testing.assert_array_equal(file.read(0).labels, [1.5, 2, 3])
    assert bytes(file.read(0).content) == b'rest'
    np.testing.assert_array_equal(file.header(0)[0], [1.5, 2, 3])


def test_no_index(path):
    index = path.with_suffix('.idx')
    index.unlink()
    assert 'No such file' in refused(path, index).found


@pytest.mark.parametrize(
    ('text', 'inside', 'found'),
    [
        ('', '', '0 numbers'),
        ('\n', '', '0 numbers'),
        ('0\t0\n1\n', '', '3 numbers on 2 lines'),
        ('0\tx\n', '', "b'x'"),
        ('0\t-8\n', '', "b'-'"),
        ('0\t0\n0\t0\n', '', 'record 0 twice'),
        ('0\t0\n1\t2\n', 'record 1', 'byte 2 as its beginning'),
        ('0\t0\n1\t40000\n', 'record 1', 'byte 40000 as its beginning'),
        ('0\t9999999999999999999999\n', '', 'a number of more than 18 digits'),
        ('\u00b2\t0\n', '', "b'\\xc2\\xb2'"),
    ],
)
def test_damaged_index(path, text, inside, found):
    index = path.with_suffix('.idx')
    index.write_bytes(text.encode())
    error = refused(path, index)
    assert error.inside == inside
    assert error.found.startswith(found)


def test_not_a_regular_file(tmp_path, path):
    os.mkfifo(tmp_path / 'pipe.rec')
    assert 'not a regular file' in refused(tmp_path / 'pipe.rec', tmp_path / 'pipe.rec').found
    index = path.with_suffix('.idx')
    index.unlink()
    index.mkdir()
    assert 'not a regular file' in refused(path, index).found


def test_a_record_error_names_file_record_and_byte(path):
    file = recordio.RecordFile(path)
    content = bytearray(path.read_bytes())
    content[int(file.offsets[2])] = 0
    path.write_bytes(content)
    with pytest.raises(recordio.RecordError) as caught:
        file.read(2)
    assert caught.value.field == str(path)
    assert caught.value.inside == f'record 2 at byte {file.offsets[2]}'
