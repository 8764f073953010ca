"""Folders, manifests and image files, the damaged ones included."""

import os
import pathlib
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fr_inference.data import faces as faces_module
from fr_inference.data import overlap, sources
from fr_inference.data.faces import BadImageError
from fr_inference.errors import InputError
from tests.data import records

DRAWN = 'procedural:easy,people=2,images=1,size=8'


def picture(seed=0, height=12, width=10):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def write(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(('bea/2.png', 'bea/1.png', 'al/x.bmp', 'al/notes.txt')):
        if name.endswith('.txt'):
            (tmp_path / name).write_text('not an image')
        else:
            write(tmp_path / name, picture(number))
    return tmp_path


def problem(source, field='members'):
    """Returns the InputError, in one line, that opening must raise."""
    with pytest.raises(InputError) as caught:
        sources.open_faces(source, field)
    assert caught.value.field == field
    assert '\n' not in str(caught.value)
    return caught.value


def attempt(call, *arguments):
    """Returns what the call gives, or the InputError it raises; nothing else may be raised."""
    try:
        return call(*arguments)
    except InputError as error:
        return error


class TestFolder:
    def test_people_and_files_are_sorted(self, folder):
        faces = sources.open_faces(folder)
        assert faces.identities == ('al', 'bea', 'bea')
        assert [pathlib.Path(path).name for path in faces.paths] == ['x.bmp', '1.png', '2.png']
        np.testing.assert_array_equal(faces.read(2), picture(0))
        assert len(faces) == 3

    def test_digest_is_of_the_file(self, folder):
        faces = sources.open_faces(folder)
        before = faces.digest(1)
        assert before != faces.digest(2)
        (folder / 'bea/1.png').write_bytes((folder / 'bea/2.png').read_bytes())
        assert faces.digest(1) == faces.digest(2) != before

    def test_loose_images(self, tmp_path):
        write(tmp_path / 'a.png', picture())
        error = problem(tmp_path)
        assert (error.inside, error.found) == (str(tmp_path), 'images but no sub-folders')

    def test_empty(self, tmp_path):
        assert problem(tmp_path).found == 'no images in sub-folders'

    def test_absent(self, tmp_path):
        error = problem(tmp_path / 'nowhere', 'nonmembers')
        assert 'does not exist' in error.found
        assert 'CSV manifest' in error.expected

    def test_links_to_nowhere_and_folders_called_like_images(self, folder):
        (folder / 'al' / 'lost.png').symlink_to(folder / 'nowhere.png')
        (folder / 'al' / 'sub.jpg').mkdir()
        os.mkfifo(folder / 'al' / 'pipe.png')
        faces = sources.open_faces(folder)
        names = [pathlib.Path(path).name for path in faces.paths]
        assert names == ['lost.png', 'pipe.png', 'sub.jpg', 'x.bmp', '1.png', '2.png']
        for index, name in enumerate(names[:3]):
            for call in (faces.read, faces.digest):
                with pytest.raises(BadImageError, match=name):
                    call(index)
        assert len(overlap.readable(faces, skip_bad=True)) == 3
        (folder / 'cleo').symlink_to(folder / 'nowhere')
        error = problem(folder)
        assert (error.inside, error.found) == (str(folder / 'cleo'), 'a broken link')

    def test_names_too_long_for_the_system(self):
        error = problem('x' * 5000)
        assert error.found.startswith("'xxx")
        assert len(str(error)) < 500

    def test_neither_folder_nor_manifest(self, tmp_path):
        write(tmp_path / 'a.png', picture())
        assert problem(tmp_path / 'a.png').found.startswith('the file')


class TestManifest:
    def manifest(self, tmp_path, text, encoding='utf-8'):
        path = tmp_path / 'faces.csv'
        path.write_bytes(text.encode(encoding))
        return path

    def test_rows_stay_in_order_files_and_drawn_faces_mixed(self, tmp_path):
        drawn = 'procedural:easy,people=4,images=2,size=16'
        other = 'procedural:hard,people=2,images=1,size=16'
        write(tmp_path / 'sub/one.png', picture(1))
        write(tmp_path / 'two.png', picture(2))
        path = self.manifest(
            tmp_path,
            f'identity,path,remark\nzoe,two.png,x\n"anna","{drawn}#5",x\n'
            f'"cleo","{other}#1",x\nanna,sub/one.png,x\nbob,"{drawn}#0",x\n',
        )
        faces = sources.open_faces(path)
        assert faces.identities == ('zoe', 'anna', 'cleo', 'anna', 'bob')
        assert faces.paths[0] == str(tmp_path / 'two.png')
        assert faces.paths[1].endswith('#5')
        expected = [
            picture(2),
            sources.open_faces(drawn).read(5),
            sources.open_faces(other).read(1),
            picture(1),
            sources.open_faces(drawn).read(0),
        ]
        assert len(faces) == len(expected)
        for index, image in enumerate(expected):
            np.testing.assert_array_equal(faces.read(index), image)

    def test_paths_of_windows(self, tmp_path):
        write(tmp_path / 'P00' / '1.png', picture())
        path = self.manifest(tmp_path, 'path, identity\nP00\\1.png, P00\n')
        faces = sources.open_faces(path)
        assert faces.identities == ('P00',)
        np.testing.assert_array_equal(faces.read(0), picture())
        path = self.manifest(tmp_path, 'path,identity\nP00\\1.png,a\nP00/1.png,a\n')
        assert problem(path).found.endswith("1.png' twice")
        path = self.manifest(tmp_path, 'path,identity\nP00/1.png,a\n./P00/1.png,b\n')
        assert problem(path).found.endswith("1.png' twice")

    def test_a_table_of_windows(self, tmp_path, shared):
        table = (shared / 'cases' / 'winpaths.csv').read_text()
        for person in range(3):
            for number in range(2):
                name = f'P{person:02d}/P{person:02d}_{number:04d}.jpg'
                write(tmp_path / name, picture(10 * person + number))
        for text in (table, table.replace(',', ';'), table.replace(',', '\t')):
            faces = sources.open_faces(self.manifest(tmp_path, text))
            assert faces.identities == ('P00', 'P00', 'P01', 'P01', 'P02', 'P02')
            assert all(faces.read(index).shape == (12, 10, 3) for index in range(6))

    def test_records_by_paths_of_windows(self, tmp_path):
        people = {3: [records.jpeg(0), records.jpeg(1)]}
        (tmp_path / 'sub').mkdir()
        records.write(tmp_path / 'sub' / 'train', records.training_set(people))
        path = self.manifest(tmp_path, 'path,identity\nsub\\train.rec#1,ann\n')
        assert sources.open_faces(path).encoded(0) == people[3][1]

    def test_spellings_of_one_person(self, tmp_path):
        for name in 'ab':
            write(tmp_path / f'{name}.png', picture())
        path = self.manifest(tmp_path, 'path,identity\na.png,Ann_B\nb.png,ann b\n')
        faces = sources.open_faces(path)
        assert faces.identities == ('Ann_B', 'Ann_B')
        assert len(faces.remarks) == 1

    def test_byte_order_mark_of_spreadsheets(self, tmp_path):
        write(tmp_path / 'a.png', picture())
        path = self.manifest(tmp_path, 'path,identity\r\na.png,Zoë\r\n', 'utf-8-sig')
        assert sources.open_faces(path).identities == ('Zoë',)

    @pytest.mark.parametrize(
        ('text', 'below', 'found'),
        [
            ('', '', "the columns ''"),
            ('file,person\na.png,a\n', '', "the columns 'file,person'"),
            ('path,identity\n', '', 'no images'),
            ('path,identity\na.png,\n', 'line 2', 'an empty path or identity'),
            ('path,identity\na.png\n', 'line 2', 'an empty path or identity'),
            ('path,identity\na.png,a\na.png,b\n', 'line 3', "'a.png' twice"),
            (f'path,identity\n"{DRAWN}#2",a\n', 'line 2', f"'{DRAWN}#2'"),
            (f'path,identity\n"{DRAWN}",a\n', 'line 2', f"'{DRAWN}'"),
            ('path,identity\nprocedural:brutal#0,a\n', 'difficulty', "'brutal'"),
            (f'path,identity\n"{DRAWN}#{"1" * 5000}",a\n', 'line 2', f"'{DRAWN}#111"),
        ],
    )
    def test_problems(self, tmp_path, text, below, found):
        path = self.manifest(tmp_path, text)
        error = problem(path)
        assert error.inside.startswith(str(path))
        assert error.inside.endswith(below)
        assert error.found.startswith(found)

    def test_not_utf8(self, tmp_path):
        path = self.manifest(tmp_path, 'path,identity\na.png,Zoë\n', 'latin-1')
        assert problem(path).expected == 'a UTF-8 CSV file'

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=80))
    def test_arbitrary_bytes(self, rest):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / 'faces.csv'
            path.write_bytes(b'path,identity\n' + rest)
            found = attempt(sources.open_faces, path)
        if isinstance(found, InputError):
            assert str(path) in str(found)
        else:
            assert len(found) == len(set(found.paths)) > 0
            assert all(found.identities)

    def test_drawn_faces_have_the_manifests_identity(self, tmp_path):
        path = self.manifest(
            tmp_path, 'path,identity\n"procedural:easy,people=2,images=1,size=16#1",anna\n'
        )
        assert sources.open_faces(path).identities == ('anna',)

    def test_a_pipe_is_not_waited_for(self, tmp_path):
        os.mkfifo(tmp_path / 'faces.csv')
        assert 'not a regular file' in problem(tmp_path / 'faces.csv').found

    def test_nul_in_a_path(self, tmp_path):
        faces = sources.open_faces(self.manifest(tmp_path, 'path,identity\na\0.png,a\n'))
        for call in (faces.read, faces.digest):
            with pytest.raises(BadImageError, match='null'):
                call(0)

    def test_missing_file_is_named_when_read(self, tmp_path):
        faces = sources.open_faces(self.manifest(tmp_path, 'path,identity\ngone.png,a\n'))
        for call in (faces.read, faces.digest):
            with pytest.raises(BadImageError, match=r'gone\.png'):
                call(0)


class TestWriteManifest:
    def round_trip(self, path, faces):
        path.parent.mkdir(exist_ok=True)
        sources.write_manifest(path, faces)
        again = sources.open_faces(path)
        assert again.identities == faces.identities
        assert again.paths == faces.paths
        for index in range(len(faces)):
            np.testing.assert_array_equal(again.read(index), faces.read(index))
            assert again.digest(index) == faces.digest(index)

    def test_files(self, folder):
        faces = sources.open_faces(folder).select([2, 0])
        self.round_trip(folder.parent / f'{folder.name}_elsewhere' / 'faces.csv', faces)

    def test_relative_paths_become_absolute(self, folder, monkeypatch):
        monkeypatch.chdir(folder.parent)
        faces = sources.open_faces(folder.name)
        sources.write_manifest(folder / 'faces.csv', faces)
        monkeypatch.chdir('/')
        np.testing.assert_array_equal(sources.open_faces(folder / 'faces.csv').read(0), picture(2))

    def test_names_that_need_quoting(self, tmp_path):
        write(tmp_path / 'in' / 'a, "b"\u00e9' / '1.png', picture())
        self.round_trip(tmp_path / 'out' / 'faces.csv', sources.open_faces(tmp_path / 'in'))

    def test_names_that_are_not_utf8(self, tmp_path):
        name = os.fsdecode(b'Zo\xeb')
        write(tmp_path / 'in' / name / f'{name}.png', picture())
        self.round_trip(tmp_path / 'out' / 'faces.csv', sources.open_faces(tmp_path / 'in'))

    def test_procedural_and_mixed(self, folder):
        drawn = sources.open_faces('procedural:hard,people=4,images=2,size=16,seed=3,first=2')
        mixed = faces_module.concat([drawn.select([7, 0, 3]), sources.open_faces(folder)])
        self.round_trip(folder.parent / f'{folder.name}.csv', mixed)


class TestArrays:
    def test_concat_and_select(self):
        first = faces_module.from_arrays(np.stack([picture(0), picture(1)]), ['a', 7], 'one')
        second = faces_module.from_arrays(picture(2)[None], ['a'], 'two')
        both = faces_module.concat([first, second])
        assert both.name == 'one + two'
        assert both.identities == ('a', '7', 'a')
        picked = both.select([2, 0])
        assert picked.paths == ('two#0', 'one#0')
        np.testing.assert_array_equal(picked.read(0), picture(2))
        assert picked.digest(1) == first.digest(0)

    def test_digest_depends_on_shape_and_pixels(self):
        flat = np.zeros((4, 2, 3), np.uint8)
        tall = faces_module.pixel_digest(flat)
        assert tall != faces_module.pixel_digest(flat.reshape(2, 4, 3))
        assert tall != faces_module.pixel_digest(flat + 1)

    @pytest.mark.parametrize(
        ('images', 'identities', 'found'),
        [
            (np.zeros((2, 8, 8, 3), np.float32), 'ab', 'images '),
            (np.zeros((2, 8, 8), np.uint8), 'ab', 'images '),
            (np.zeros((2, 3, 8, 8), np.uint8), 'ab', 'images '),
            (np.zeros((2, 8, 8, 3), np.uint8), 'abc', '2 images and 3 identities'),
        ],
    )
    def test_bad_arrays(self, images, identities, found):
        with pytest.raises(InputError) as caught:
            faces_module.from_arrays(images, list(identities), 'members')
        assert caught.value.field == 'members'
        assert caught.value.found.startswith(found)
