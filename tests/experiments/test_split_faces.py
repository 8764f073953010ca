"""The splitting program: manifests that share nobody."""

import pytest

from experiments import cli
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
            'again': arguments('again'),
            'other_seed': arguments('other_seed', '--seed=1'),
            'three': arguments(
                'three', '--parts=members:0.4, nonmembers:0.4,aux-1:0.2', '--holdout_images=0.25'
            ),
            'limited': arguments('limited', '--limit_images=1'),
            'no_share': arguments('refused', '--parts=members'),
            'negative': arguments('refused', '--parts=members:-0.5'),
            'too_much': arguments('refused', '--parts=a:0.6,b:0.6'),
            'twice': arguments('refused', '--parts=a:0.3,a:0.3'),
            'collision': arguments('refused', '--parts=a:0.3,a_other:0.3'),
            'climbs': arguments('refused', '--parts=../a:0.5'),
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


def test_the_seed_decides(folder, results):
    assert results['again'].code == results['other_seed'].code == 0
    first, again, other = (
        (folder / out / 'members.csv').read_text() for out in ('deep/plain', 'again', 'other_seed')
    )
    assert first == again != other


def test_other_images_of_the_same_people(folder, results):
    assert results['three'].code == 0
    for name, count in (('members', 4), ('nonmembers', 4), ('aux-1', 2)):
        own, other = (folder / 'three' / f'{name}{end}.csv' for end in ('', '_other'))
        assert people(own) == people(other)
        assert len(people(own)) == count
        assert (len(sources.open_faces(own)), len(sources.open_faces(other))) == (3 * count, count)


def test_limited(folder, results):
    assert results['limited'].code == 0
    assert len(sources.open_faces(folder / 'limited' / 'members.csv')) == 5


@pytest.mark.parametrize(
    ('case', 'words'),
    [
        ('no_share', "--parts: found 'members', expected NAME:SHARE as in members:0.5"),
        ('negative', "--parts: found 'members:-0.5'"),
        ('too_much', 'add up to at most 1'),
        ('twice', "--parts: 'a' would write a file that another part writes"),
        ('collision', "--parts: 'a_other' would write"),
        ('climbs', "--parts: found '../a:0.5'"),
        ('nobody', '0 people have 5 to'),
        ('zero', 'limit_images'),
        ('seed', '--seed=-1'),
        ('no_faces', "--faces: 'none' not found"),
        ('out_is_a_file', '--out: '),
    ],
)
def test_bad_input_is_one_line(folder, results, case, words):
    result = results[case]
    assert result.code == cli.EXIT_BAD_INPUT
    assert words in result.err
    assert result.err.count('\n') == 1
    assert not list((folder / 'refused').glob('*'))
