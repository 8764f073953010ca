"""From faces to a generator to reconstructions: both programs, as a user runs them."""

import csv
import json

import pytest
from PIL import Image

from tests.experiments import programs

FACES = 'procedural:hard,images=2,seed=1,people=12'
SMALL = ('--draws=6', '--candidates=4', '--steps=2', '--keep=3', '--pictures=2')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('inversion')


@pytest.fixture(scope='module')
def generator(folder):
    return programs.run_all(
        'train_generator',
        {
            'trained': [
                '--faces=procedural:hard,images=1,seed=2,people=16,size=8',
                f'--out={folder / "generator"}',
                *('--resolution=8', '--z_dim=4', '--w_dim=4', '--channel_base=32'),
                *('--channel_max=4', '--mapping_layers=1', '--images=8', '--batch_size=4'),
                '--embedder=demo_easy',
            ],
            'size': [f'--faces={FACES}', f'--out={folder / "no"}', '--resolution=33'],
        },
    )


@pytest.fixture(scope='module')
def results(folder, generator):
    def flags(out, *rest):
        return [
            '--target=demo_leaky',
            f'--generator={folder / "generator"}',
            '--evaluator=demo_easy',
            f'--members={FACES}',
            f'--nonmembers={FACES},first=128',
            f'--out={folder / out}',
            *SMALL,
            *rest,
        ]

    return programs.run_all(
        'invert',
        {
            'done': flags('done', '--nountrained'),
            'again': flags('done', '--nountrained'),
            'other': flags('done', '--nountrained', '--steps=3'),
            'generator': flags('no', '--generator=nowhere'),
            'keep': flags('no', '--keep=5'),
        },
    )


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_generator(generator, folder):
    assert generator['trained'].code == 0, generator['trained'].err
    assert 'Fréchet distance' in generator['trained'].out
    assert size_of(folder / 'generator' / 'samples_000000008.png') == (64, 64)
    record = json.loads((folder / 'generator' / 'generator.json').read_text())
    assert record['recipe']['frechet'][0]['images'] == 8
    assert generator['size'].code == 2
    assert 'resolution: found 33' in generator['size'].err


def test_done(results, folder):
    assert results['done'].code == 0, results['done'].err
    assert '3 reconstructions' in results['done'].out
    record = json.loads((folder / 'done' / 'audit.json').read_text())['inversion']
    assert set(record['controls']) == {'random_latents', 'selected_only', 'nonmember_gallery'}
    assert 0 < record['p_value'] <= 1
    assert record['gallery']['members'] == 6
    assert len(list((folder / 'done' / 'reconstructions').glob('*.png'))) == 3
    with open(folder / 'done' / 'reconstructions.csv', encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row['hit']) for row in rows) == pytest.approx(3 * record['hit_rate'])
    assert all(float(row['similarity']) >= float(row['member_similarity']) for row in rows)
    assert size_of(folder / 'done' / 'reconstructions.png') == (64, 8)


def test_the_same_command_again_gives_the_same(results):
    assert results['again'].code == 0
    assert results['again'].out == results['done'].out


def test_bad_input_is_one_line(results):
    for name, message in (
        ('other', 'holds another run'),
        ('generator', "--generator: 'nowhere' not found"),
        ('keep', 'expected draws >= candidates >= keep'),
    ):
        assert results[name].code == 2, name
        line = results[name].err.strip().splitlines()[-1]
        assert message in line
