"""Aligned files: one PNG for each row of landmarks, nothing outside the folder."""

import csv

import numpy as np
import pytest
from PIL import Image

from fr_inference import program_config
from fr_inference.data import align, landmarks
from fr_inference.errors import InputError
from fr_inference.formats import images
from tests.data import detectors

POINTS = align.TEMPLATE * 0.5 + 20
HEADER = ['path', *landmarks.COLUMNS]


def write_csv(path, rows, header=HEADER):
    with open(path, 'w', newline='') as file:
        csv.writer(file).writerows([header, *rows])
    return path


def row(name, points=POINTS):
    return [name, *np.ravel(points).tolist()]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'faces' / 'al').mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 256, (90, 80, 3), np.uint8)
    for name in ('al/1.png', 'al/1.bmp', 'bea.png'):
        Image.fromarray(image).save(tmp_path / 'faces' / name)
    (tmp_path / 'faces' / 'text.png').write_text('text')
    return tmp_path


def aligned(folder, rows=(), **options):
    table = write_csv(folder / 'landmarks.csv', rows) if rows else folder / 'landmarks.csv'
    given = {'faces': folder / 'faces', 'landmarks': table, 'out': folder / 'out', **options}
    return landmarks.align_files(program_config.Alignment(**given))


@pytest.fixture
def people(tmp_path):
    """Photographs of three people; the last two cannot be used: nobody on it, and no image."""
    draw = np.random.default_rng(0)
    for name in ('al/1.png', 'al/2.bmp', 'bea/1.png', 'nobody/1.png'):
        (tmp_path / 'faces' / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (90, 80, 3), np.uint8) * (name[0] != 'n')
        Image.fromarray(pixels).save(tmp_path / 'faces' / name)
    (tmp_path / 'faces' / 'nobody' / '2.png').write_text('text')
    return tmp_path


def found_in(folder, out='out', faces=1, **options):
    given = {'faces': folder / 'faces', 'out': folder / out, **options}
    return landmarks.align_files(program_config.Alignment(**given), detectors.Planted(faces=faces))


def test_found_landmarks(people):
    made = found_in(people, skip_bad=True, faces=2)
    assert made.images == 3
    assert [path for path, _ in made.left_out] == ['nobody/1.png', 'nobody/2.png']
    assert made.several == [('al/1.png', 2), ('al/2.bmp', 2), ('bea/1.png', 2)]
    assert str(made) == (
        '3 aligned images, 2 photographs left out, 3 with several faces (the main face was used)'
    )
    for name in ('al/1.png', 'al/2.bmp', 'bea/1.png'):
        expected = align.align(images.read_image(people / 'faces' / name), detectors.LANDMARKS)
        written = images.read_image((people / 'out' / name).with_suffix('.png'))
        np.testing.assert_array_equal(written, expected)
    assert not (people / 'out' / 'nobody').exists()


def test_found_landmarks_can_be_read_again(people):
    found_in(people, skip_bad=True)
    again = aligned(people, landmarks=people / 'out' / 'landmarks.csv', out=people / 'again')
    assert again.images == 3
    for name in ('al/1.png', 'al/2.png', 'bea/1.png'):
        assert (people / 'again' / name).read_bytes() == (people / 'out' / name).read_bytes()


def test_a_photograph_of_nobody_stops(people):
    with pytest.raises(images.BadImageError) as caught:
        found_in(people)
    assert caught.value.field.endswith('nobody/1.png')
    assert not (people / 'out' / 'landmarks.csv').exists()


def test_nobody_at_all(people):
    with pytest.raises(InputError) as caught:
        found_in(people, skip_bad=True, faces=0)
    assert caught.value.field == 'faces'


def test_two_photographs_of_one_name(people):
    Image.new('RGB', (90, 80), 'white').save(people / 'faces' / 'al' / '1.jpg')
    with pytest.raises(InputError) as caught:
        found_in(people, skip_bad=True)
    assert caught.value.field == 'faces'
    assert "'al/1.png'" in caught.value.found
    assert not (people / 'out').exists()  # found before anything is written


def test_known_landmarks_of_an_unreadable_image(folder):
    made = aligned(folder, [row('text.png'), row('bea.png')], skip_bad=True)
    assert made.images == 1
    assert [path for path, _ in made.left_out] == ['text.png']


def test_aligned(folder):
    rows = [row('al/1.png'), row('bea.png', POINTS + 3)]
    assert aligned(folder, rows).images == 2
    for name, points in (('al/1.png', POINTS), ('bea.png', POINTS + 3)):
        expected = align.align(images.read_image(folder / 'faces' / name), points)
        found = images.read_image(folder / 'out' / name)
        assert found.shape == (112, 112, 3)
        np.testing.assert_array_equal(found, expected)


def test_paths_of_windows(folder):
    assert aligned(folder, [row('al\\1.png')]).images == 1
    assert (folder / 'out' / 'al' / '1.png').is_file()


@pytest.mark.parametrize(
    ('rows', 'line', 'found'),
    [
        ([row('../bea.png')], 2, "'../bea.png', which lies outside out"),
        (
            [row('al/1.png'), row('al/1.bmp')],
            3,
            "'al/1.bmp', which would overwrite the image of 'al/1.png'",
        ),
        ([['bea.png', 1, 2]], 2, "'bea.png'"),
        ([row('')], 2, "''"),
        ([row('bea.png', POINTS * np.nan)], 2, "'bea.png'"),
        ([row('bea.png', POINTS * 0)], 2, 'points that all coincide'),
        ([row('bea.png', POINTS * 1e200)], 2, 'numbers from '),
        ([row('a\0.png')], 2, r"'a\x00.png'"),
        ([row('/')], 2, "'/'"),
    ],
)
def test_bad_rows(folder, rows, line, found):
    with pytest.raises(InputError) as caught:
        aligned(folder, rows)
    assert caught.value.field == 'landmarks'
    assert caught.value.inside == f'{folder / "landmarks.csv"}: line {line}'
    assert caught.value.found.startswith(found)
    assert '\n' not in str(caught.value)
    assert not (folder / 'bea.png').exists()  # nothing is written outside


@pytest.mark.parametrize(
    ('name', 'found'), [('none.png', 'no such file'), ('text.png', 'no known image format')]
)
def test_unreadable_images(folder, name, found):
    with pytest.raises(images.BadImageError) as caught:
        aligned(folder, [row(name)])
    assert caught.value.field.endswith(name)
    assert caught.value.found == found


def test_bad_tables_and_folders(folder):
    write_csv(folder / 'columns.csv', [], HEADER[:-2])
    (folder / 'bytes.csv').write_bytes(b'path,\xff\xfe')
    for options, field, expected in (
        ({'landmarks': folder / 'columns.csv'}, 'landmarks', ','.join(HEADER)),
        ({'landmarks': folder / 'bytes.csv'}, 'landmarks', 'a UTF-8 CSV file'),
        ({'landmarks': folder / 'none.csv'}, 'landmarks', 'a CSV file'),
        ({'faces': folder / 'none'}, 'faces', 'a folder'),
    ):
        write_csv(folder / 'landmarks.csv', [row('bea.png')])
        with pytest.raises(InputError) as caught:
            aligned(folder, **options)
        assert (caught.value.field, caught.value.expected) == (field, expected)


def test_an_output_that_cannot_be_written(folder):
    (folder / 'out').write_text('a file')
    with pytest.raises(InputError) as caught:
        aligned(folder, [row('bea.png')])
    assert caught.value.field == 'out'
