"""The splitting program: flags, what it says, exit codes. The cases are in tests/data/test_splits.py."""

import pytest

from fr_inference.cli.joining import EXIT_BAD_INPUT
from fr_inference.data import sources
from tests.experiments import programs

FACES = '--faces=procedural:easy,people=10,images=4,size=8'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('split')
    (folder / 'file').write_text('text')
    return folder


@pytest.fixture(scope='module')
def results(folder):
    def arguments(out, *rest):
        return [FACES, f'--out={folder / out}', *rest]

    return programs.run_all(
        'split_faces',
        {
            'plain': arguments('deep/plain'),
            'three': arguments(
                'three', '--parts=members:0.4, nonmembers:0.4,aux-1:0.2', '--holdout_images=0.25'
            ),
            'no_share': arguments('refused', '--parts=members'),
            'too_much': arguments('refused', '--parts=a:0.6,b:0.6'),
            'nobody': arguments('refused', '--min_images=5'),
            'zero': arguments('refused', '--limit_images=0'),
            'seed': arguments('refused', '--seed=-1'),
            'no_faces': ['--faces=none', f'--out={folder / "refused"}'],
            'out_is_a_file': arguments('file'),
        },
    )


def people(path):
    return set(sources.open_faces(path).identities)


def test_parts_share_nobody(folder, results):
    assert results['plain'].code == 0
    members, others = (folder / 'deep/plain' / f'{name}.csv' for name in ('members', 'nonmembers'))
    assert len(people(members)) == len(people(others)) == 5
    assert not people(members) & people(others)
    assert results['plain'].out.splitlines() == [
        f'{members}: 20 images of 5 people',
        f'{others}: 20 images of 5 people',
    ]


def test_other_images_of_the_same_people(folder, results):
    assert results['three'].code == 0
    written = sorted(path.name for path in (folder / 'three').iterdir())
    assert written == sorted(
        f'{name}{end}.csv' for name in ('members', 'nonmembers', 'aux-1') for end in ('', '_other')
    )


@pytest.mark.parametrize(
    ('case', 'words'),
    [
        ('no_share', "--parts: found 'members', expected NAME:SHARE as in members:0.5"),
        ('too_much', '--parts: '),
        ('nobody', '--parts: '),
        ('zero', 'limit_images'),
        ('seed', '--seed'),
        ('no_faces', "--faces: found 'none'"),
        ('out_is_a_file', '--out: '),
    ],
)
def test_bad_input_is_one_line(folder, results, case, words):
    result = results[case]
    assert result.code == EXIT_BAD_INPUT
    assert words in result.err
    assert result.err.count('\n') == 1
    assert not list((folder / 'refused').glob('*'))
