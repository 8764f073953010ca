"""The folder for the results: made, or one error that names the field."""

import os

import pytest

from fr_inference.cli import folders
from fr_inference.errors import InputError


def test_makes_the_folder(tmp_path):
    path = folders.make(tmp_path / 'a' / 'b', 'out')
    assert path.is_dir()
    assert folders.make(path, 'out') == path


def test_a_file_that_is_replaced_may_be_there(tmp_path):
    (tmp_path / 'old.csv').write_text('')
    folders.make(tmp_path, 'out', ['old.csv', 'new.csv'])


@pytest.mark.parametrize(
    ('name', 'files', 'found'),
    [
        ('file', (), 'file, which cannot be created'),
        ('/proc', (), '/proc, which cannot be written to'),
        (os.fsdecode(b'o\xeb'), (), 'o'),
        ('.', ['folder'], 'folder, which is not a file that can be replaced'),
    ],
)
def test_refused(tmp_path, name, files, found):
    (tmp_path / 'file').write_text('')
    (tmp_path / 'folder').mkdir()
    with pytest.raises(InputError) as caught:
        folders.make(tmp_path / name, 'out', files)
    assert caught.value.field == 'out'
    assert found in caught.value.found
    assert caught.value.hint == 'choose another folder'
