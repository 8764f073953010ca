"""Further columns of a manifest: they stay with their images, from file to file."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from fr_inference import program_config
from fr_inference.data import manifest_columns, pseudonyms, sources, splits
from fr_inference.data.faces import concat, from_arrays
from fr_inference.errors import InputError


def write(path, number):
    Image.new('RGB', (8, 8), (number, 0, 0)).save(path)


TEXT = (
    'camera,path,identity, year,\n'
    'a,1.png,ann,1990,x\n,2.png,ann, 1991 ,\n"b, ""c""",3.png,bob\nz\u00e9,4.png,bob,1990,\n'
)
FOUND = {
    'camera': ('a', '', 'b, "c"', 'z\u00e9'),
    'year': ('1990', '1991', '', '1990'),
}


@pytest.fixture
def faces(tmp_path):
    for number in range(4):
        write(tmp_path / f'{number + 1}.png', number)
    (tmp_path / 'faces.csv').write_text(TEXT, encoding='utf-8')
    return sources.open_faces(tmp_path / 'faces.csv')


def columns(faces):
    return {name: tuple(values) for name, values in faces.columns.items()}


def test_further_columns_are_kept_beside_their_images(faces):
    assert columns(faces) == FOUND
    assert [path[-5:] for path in faces.paths] == ['1.png', '2.png', '3.png', '4.png']


def test_they_follow_the_images(faces):
    some = faces.select([3, 0])
    assert columns(some) == {'camera': ('z\u00e9', 'a'), 'year': ('1990', '1990')}
    both = concat([some, from_arrays(np.zeros((2, 2, 2, 3), np.uint8), 'cd'), faces])
    assert columns(both)['year'] == ('1990', '1990', '', '', *FOUND['year'])
    other = dataclasses.replace(some, columns={'place': ('x', 'y')})
    assert columns(concat([other, some])) == {
        'place': ('x', 'y', '', ''),
        'camera': ('', '', 'z\u00e9', 'a'),
        'year': ('', '', '1990', '1990'),
    }


def test_a_manifest_that_is_written_has_them(faces, tmp_path):
    sources.write_manifest(tmp_path / 'again.csv', faces.select([2, 1]))
    again = sources.open_faces(tmp_path / 'again.csv')
    assert columns(again) == {'camera': ('b, "c"', ''), 'year': ('', '1991')}


def test_images_of_several_kinds_keep_their_rows(tmp_path):
    write(tmp_path / '1.png', 1)
    (tmp_path / 'faces.csv').write_text(
        'path,identity,kind\nprocedural:easy#3,a,drawn\n1.png,b,file\n'
        'procedural:easy#0,c,drawn too\n'
    )
    faces = sources.open_faces(tmp_path / 'faces.csv')
    assert dict(zip(faces.identities, faces.columns['kind'], strict=True)) == {
        'a': 'drawn',
        'b': 'file',
        'c': 'drawn too',
    }


def test_without_any_there_are_none():
    assert sources.open_faces('procedural:easy,people=2,images=1').columns == {}


def test_a_column_twice_is_refused(tmp_path):
    (tmp_path / 'faces.csv').write_text('path,identity,a,b,a\n1.png,ann,1,2,3\n')
    with pytest.raises(InputError) as caught:
        sources.open_faces(tmp_path / 'faces.csv', 'members')
    assert caught.value.field == 'members'


def test_of_very_many_the_first_are_read(tmp_path):
    """A stranger's table would take memory and time for each of them, and each row."""
    names = ','.join(f'c{number}' for number in range(103))
    (tmp_path / 'faces.csv').write_text(f'path,identity,{names}\n1.png,ann,x\n')
    faces = sources.open_faces(tmp_path / 'faces.csv')
    assert list(faces.columns) == [f'c{number}' for number in range(100)]
    assert faces.remarks == ('left out, further columns: 3 (c100, c101, c102)',)


def test_a_split_keeps_them(faces, tmp_path):
    """Whichever row comes into which part."""
    asked = program_config.Split(
        faces=faces.name, out=str(tmp_path / 'out'), parts=('one:0.5', 'two:0.5')
    )
    found = {}
    for path, _ in splits.write(asked):
        part = sources.open_faces(path)
        rows = zip(part.paths, *part.columns.values(), strict=True)
        found |= {file: row for file, *row in rows}
    assert found == {
        file: list(row) for file, *row in zip(faces.paths, *FOUND.values(), strict=True)
    }


def test_pseudonyms_leave_them_as_they_are(faces):
    found = pseudonyms.renamed({'members': faces}, b'sixteen bytes of')['members']
    years = {found.digest(row): found.columns['year'][row] for row in range(4)}
    assert years == {faces.digest(row): FOUND['year'][row] for row in range(4)}


def test_a_column_with_too_many_values_is_left_out(monkeypatch):
    """Whatever a stranger's table holds, memory is bounded: each other column is kept whole."""
    monkeypatch.setattr(manifest_columns, '_MOST_VALUES', 12)
    monkeypatch.setattr(manifest_columns, '_ROWS', 4)
    columns = manifest_columns.ManifestColumns(['text', 'side', 'number'])
    for row in range(40):
        columns.add([f'text {row}', 'ab'[row % 2], str(row % 9)])
    found = columns.found()
    assert list(found) == ['side', 'number']
    assert list(found['side']) == ['a', 'b'] * 20
    assert list(found['number']) == [str(row % 9) for row in range(40)]
    assert columns.remarks == ['left out, further columns: 1 (text)']
