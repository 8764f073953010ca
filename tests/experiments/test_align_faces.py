"""The alignment program: one PNG for each row of landmarks, nothing outside its folder."""

import csv

import numpy as np
import pytest
from PIL import Image

from experiments import cli
from fr_inference.data import align, sources
from tests.experiments import programs

POINTS = align.TEMPLATE * 0.5 + 20
HEADER = [
    'path',
    *(
        f'{p}_{a}'
        for p in ('left_eye', 'right_eye', 'nose', 'mouth_left', 'mouth_right')
        for a in 'xy'
    ),
]


def write_csv(path, rows, header=HEADER):
    with open(path, 'w', newline='') as file:
        csv.writer(file).writerows([header, *rows])
    return path


def row(name, points=POINTS):
    return [name, *np.ravel(points).tolist()]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('align')
    (folder / 'faces' / 'al').mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 256, (90, 80, 3), np.uint8)
    for name in ('al/1.png', 'al/1.bmp', 'bea.png'):
        Image.fromarray(image).save(folder / 'faces' / name)
    (folder / 'faces' / 'text.png').write_text('text')
    return folder


@pytest.fixture(scope='module')
def results(folder):
    cases = {
        'plain': [row('al/1.png'), row('bea.png', POINTS + 3)],
        'climbs': [row('../bea.png')],
        'collides': [row('al/1.png'), row('al/1.bmp')],
        'short': [['bea.png', 1, 2]],
        'no_path': [row('')],
        'not_finite': [row('bea.png', POINTS * np.nan)],
        'one_point': [row('bea.png', POINTS * 0)],
        'far': [row('bea.png', POINTS * 1e200)],
        'nul': [row('a\0.png')],
        'root': [row('/')],
        'missing': [row('none.png')],
        'unreadable': [row('text.png')],
    }
    arguments = {}
    for case, rows in cases.items():
        landmarks = write_csv(folder / f'{case}.csv', rows)
        arguments[case] = [
            f'--faces={folder / "faces"}',
            f'--landmarks={landmarks}',
            f'--out={folder / case}',
        ]
    write_csv(folder / 'columns.csv', [], HEADER[:-2])
    (folder / 'bytes.csv').write_bytes(b'path,\xff\xfe')
    for case in ('columns', 'bytes', 'none'):
        arguments[case] = [
            f'--faces={folder / "faces"}',
            f'--landmarks={folder / case}.csv',
            f'--out={folder / case}',
        ]
    arguments['no_faces'] = [*arguments['plain'][1:], '--faces=none']
    return programs.run_all('align_faces', arguments)


def test_aligned(folder, results):
    assert results['plain'].code == 0
    assert results['plain'].out == f'{folder / "plain"}: 2 aligned images\n'
    for name, points in (('al/1.png', POINTS), ('bea.png', POINTS + 3)):
        expected = align.align(sources.read_image(folder / 'faces' / name), points)
        found = sources.read_image(folder / 'plain' / name)
        assert found.shape == (112, 112, 3)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ('case', 'words'),
    [
        ('climbs', "line 2: '../bea.png' climbs out of --out"),
        ('collides', "line 3: 'al/1.bmp' would overwrite what 'al/1.png' gave"),
        ('short', 'line 2: expected a path and ten numbers'),
        ('no_path', 'line 2: expected a path and ten numbers'),
        ('not_finite', 'line 2: expected a path and ten numbers'),
        ('one_point', 'line 2: landmarks: all points fall together'),
        ('far', 'line 2: landmarks: found numbers from'),
        ('nul', r"line 2: 'a\x00.png' is no name of a file"),
        ('root', "line 2: '/' is no name of a file"),
        ('missing', 'none.png: not found'),
        ('unreadable', 'text.png: not a readable image'),
        ('columns', 'lacks the columns mouth_right_x,mouth_right_y'),
        ('bytes', 'is not a UTF-8 CSV file'),
        ('none', 'none.csv not found, expected a CSV file'),
        ('no_faces', '--faces: none not found, expected a folder'),
    ],
)
def test_bad_input_is_one_line(results, case, words):
    result = results[case]
    assert result.code == cli.EXIT_BAD_INPUT
    assert words in result.err
    assert result.err.count('\n') == 1


def test_nothing_is_written_outside(folder, results):
    assert results['climbs'].code
    assert not (folder / 'bea.png').exists()
    assert not (folder / 'climbs' / 'bea.png').exists()
