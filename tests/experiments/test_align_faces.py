"""The alignment program: flags, output, exit codes. The cases are in tests/data/test_landmarks.py."""

import numpy as np
import pytest
from PIL import Image

from fr_inference.cli.joining import EXIT_BAD_INPUT
from tests.data.test_landmarks import row, write_csv
from tests.experiments import programs


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('align')
    (folder / 'faces').mkdir()
    Image.fromarray(np.zeros((90, 80, 3), np.uint8)).save(folder / 'faces' / 'bea.png')
    write_csv(folder / 'plain.csv', [row('bea.png')])
    write_csv(folder / 'climbs.csv', [row('../bea.png')])
    return folder


@pytest.fixture(scope='module')
def results(folder):
    faces, out = f'--faces={folder / "faces"}', f'--out={folder / "out"}'
    return programs.run_all(
        'align_faces',
        {
            'plain': [faces, f'--landmarks={folder / "plain.csv"}', out],
            'climbs': [faces, f'--landmarks={folder / "climbs.csv"}', out],
            'no_faces': ['--faces=none', f'--landmarks={folder / "plain.csv"}', out],
            'no_people': [faces, out],
        },
    )


def test_aligned(folder, results):
    assert results['plain'].code == 0
    assert results['plain'].out == f'{folder / "out"}: 1 aligned images\n'
    assert (folder / 'out' / 'bea.png').is_file()


@pytest.mark.parametrize(
    ('case', 'flag'),
    [('climbs', '--landmarks'), ('no_faces', '--faces'), ('no_people', '--faces')],
)
def test_bad_input_is_one_line(results, case, flag):
    result = results[case]
    assert result.code == EXIT_BAD_INPUT
    assert result.err.startswith(f'{flag}: ')
    assert result.err.count('\n') == 1
