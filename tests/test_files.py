"""Whole files: the old one or the new one, and errors that name the file."""

import json
import os

import pytest

from fr_inference import files


class TestReplacing:
    def test_whole_or_not_at_all(self, tmp_path):
        path = tmp_path / 'deep' / 'table.csv'
        files.write_text(path, 'first')

        def fails():
            with files.replacing(path) as temporary:
                assert temporary.suffix == '.csv'
                assert files.is_unfinished(temporary.name)
                temporary.write_text('half')
                raise KeyError

        with pytest.raises(KeyError):
            fails()
        assert path.read_text() == 'first'
        assert [file.name for file in path.parent.iterdir()] == ['table.csv']

    def test_errors_name_the_file(self, tmp_path):
        (tmp_path / 'file').write_text('')
        with pytest.raises(OSError, match='file') as caught:
            files.write_text(tmp_path / 'file' / 'other', 'x')
        assert str(tmp_path) in caught.value.filename

        def full():
            with files.replacing(tmp_path / 'table.csv'):
                raise OSError(28, 'No space left on device')

        with pytest.raises(OSError, match='No space left') as caught:
            full()
        assert caught.value.filename == str(tmp_path / 'table.csv')

    @pytest.mark.parametrize('name', ['table.csv', 'plan', 'a.b-00001-of-2', '.hidden', 'x' * 250])
    def test_what_a_kill_leaves_is_known(self, tmp_path, name):
        with files.replacing(tmp_path / name) as temporary:
            temporary.write_text('half')
            (left,) = os.listdir(tmp_path)
            assert files.is_unfinished(left)
        assert os.listdir(tmp_path) == [name]
        assert not files.is_unfinished(name)

    def test_synced(self, tmp_path):
        with files.replacing(tmp_path / 'a', synced=True) as temporary:
            temporary.write_bytes(b'whole')
        assert (tmp_path / 'a').read_bytes() == b'whole'
        assert os.listdir(tmp_path) == ['a']


def test_text_that_utf8_lacks(tmp_path):
    files.write_text(tmp_path / 'a', 'x\udcff', errors='backslashreplace')
    assert (tmp_path / 'a').read_text() == 'x\\udcff'


RECORD = {'b': [1, 0.1, None], 'a': {'x': 'é'}, '7': True}


class TestSealed:
    def test_round_trip(self):
        sealed = files.sealed(RECORD)
        assert list(sealed) == [*RECORD, 'sha256']
        assert files.unsealed(json.loads(json.dumps(sealed))) == RECORD
        assert files.sealed(sealed) == sealed
        assert files.sealed({7: (1, 2)})['sha256'] == files.sealed({'7': [1, 2]})['sha256']

    def test_changed(self):
        sealed = files.sealed(RECORD)
        others = [{'7': 1}, {'b': [1, 0.10000000000000002, None]}, {'c': None}, {'sha256': None}]
        for other in others:
            with pytest.raises(ValueError, match='checksum'):
                files.unsealed({**sealed, **other})
        del sealed['a']
        with pytest.raises(ValueError, match='checksum'):
            files.unsealed(sealed)

    def test_of_an_earlier_version(self):
        assert files.unsealed(RECORD) == RECORD
