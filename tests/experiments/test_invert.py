"""From faces to a generator to reconstructions: both programs, as a user runs them."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from tests.experiments import networks, programs

FACES = 'procedural:hard,images=2,seed=1,people=12,size=16'
SMALL = ('--draws=6', '--candidates=4', '--steps=2', '--keep=3', '--pictures=2')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp('inversion')
    networks.save(made)
    return made


@pytest.fixture(scope='module')
def generator(folder):
    return programs.run_all(
        'train_generator',
        {
            'trained': [
                '--faces=procedural:hard,images=1,seed=2,people=16,size=8',
                f'--out={folder / "trained"}',
                *('--resolution=4', '--z_dim=4', '--w_dim=4', '--channel_base=32'),
                *('--channel_max=4', '--mapping_layers=1', '--images=8', '--batch_size=4'),
                f'--embedder={folder / "evaluator"}',
            ],
            'size': [f'--faces={FACES}', f'--out={folder / "no"}', '--resolution=33'],
        },
    )


@pytest.fixture(scope='module')
def results(folder, generator):
    def flags(out, *rest):
        return [
            f'--target={folder / "target"}',
            f'--generator={folder / "trained"}',
            f'--evaluator={folder / "evaluator"}',
            f'--members={FACES}',
            f'--nonmembers={FACES},first=128',
            f'--out={folder / out}',
            *SMALL,
            *rest,
        ]

    return programs.run_all(
        'invert',
        {
            'done': flags('done', '--nountrained', '--targeted=2', '--sweep=0'),
            'again': flags('done', '--nountrained', '--targeted=2', '--sweep=0'),
            'gate': flags(
                *('done', '--nountrained', '--targeted=2', '--sweep=0'),
                '--fail_above=hit_excess:0.999,hit_rate_high:-0.5',
            ),
            'auc': flags('no', '--fail_above=auc:0.5', '--target=nowhere'),
            'other': flags('done', '--nountrained', '--steps=3'),
            'centres': flags('centres', '--centres=2', '--nothumbnails'),
            'more': flags('more', '--centres=3', '--keep=2', '--nountrained'),
            'wide': flags('no', '--centres=17', '--keep=17', '--candidates=17', '--draws=18'),
            'generator': flags('no', '--generator=nowhere'),
            'keep': flags('no', '--keep=5'),
            'sweep': flags('no', '--sweep=much'),
            'evaluator': [flag for flag in flags('no') if 'evaluator' not in flag],
        },
    )


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_generator(generator, folder):
    assert generator['trained'].code == 0, generator['trained'].err
    assert 'Fréchet distance' in generator['trained'].out
    assert size_of(folder / 'trained' / 'samples_000000008.png') == (32, 32)
    record = json.loads((folder / 'trained' / 'generator.json').read_text())
    assert record['recipe']['frechet'][0]['images'] == 8
    assert generator['size'].code == 2
    assert 'resolution: found 33' in generator['size'].err


def test_done(results, folder):
    assert results['done'].code == 0, results['done'].err
    assert 'Found: of 3 reconstructions' in results['done'].out
    record = json.loads((folder / 'done' / 'audit.json').read_text())['inversion']
    assert set(record['controls']) == {'random_latents', 'selected_only', 'nonmember_gallery'}
    assert (record['goal'], record['setting']) == ('membership', 'partial')
    assert 0 < record['p_value'] <= 1
    assert record['gallery']['members'] == 6
    assert [one['strength'] for one in record['sweep']] == [0, 1]
    assert record['targeted']['people'] == 2
    assert record['targeted']['gallery'] == 12
    assert set(record['targeted']['controls']) == {'random_latents', 'selected_only', 'nonmembers'}
    assert len(list((folder / 'done' / 'reconstructions').glob('*.png'))) == 3
    with open(folder / 'done' / 'reconstructions.csv', encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row['hit']) for row in rows) == pytest.approx(3 * record['hit_rate'])
    assert all(float(row['similarity']) >= float(row['member_similarity']) for row in rows)
    assert size_of(folder / 'done' / 'reconstructions.png') == (32, 4)


def test_the_same_command_again_gives_the_same(results):
    assert results['again'].code == 0
    assert results['again'].out == results['done'].out


def test_a_gate_of_the_search(results):
    assert results['gate'].code == 3
    assert results['gate'].out == results['done'].out
    (line,) = [line for line in results['gate'].err.splitlines() if 'fail_above' in line]
    assert line.startswith('--fail_above: hit_rate_high is ')


def test_centres(results, folder):
    assert results['centres'].code == 0, results['centres'].err
    whole = json.loads((folder / 'centres' / 'audit.json').read_text())
    assert 'membership' not in whole
    record = whole['inversion']
    assert (record['goal'], record['setting']) == ('centres', 'strangers')
    assert record['reconstructions'] == 2
    assert record['gallery']['members'] == 12  # it knows nobody
    assert record['controls']['untrained_target']['reconstructions'] == 2
    assert record['settings']['membership'] is None
    assert 'guidance' not in record


def test_fewer_are_kept_than_centres_estimated(results, folder):
    assert results['more'].code == 0, results['more'].err
    record = json.loads((folder / 'more' / 'audit.json').read_text())['inversion']
    assert record['settings']['centres'] == 3
    assert record['reconstructions'] == 2


def test_report(results, folder):
    page = (folder / 'done' / 'report.html').read_text()
    for words in ('What was reconstructed', 'From a stored template', 'strength of the guidance'):
        assert words in page
    assert page.count('<img') == 3 * 3 + 2 * 2
    assert '<img' not in (folder / 'centres' / 'report.html').read_text()


@pytest.fixture(scope='module')
def templates(folder, generator):
    np.save(folder / 'templates.npy', np.random.default_rng(0).normal(size=(2, networks.EMBEDDING)))
    np.save(folder / 'narrow.npy', np.zeros((2, 3)))
    np.save(folder / 'zero.npy', np.eye(2, networks.EMBEDDING)[[0, 1, 0]] * [[1e300], [0], [1e-42]])
    (folder / 'text.npy').write_text('no numbers')
    shared = [
        f'--target={folder / "target"}',
        f'--generator={folder / "trained"}',
        *('--draws=6', '--candidates=2', '--steps=2'),
    ]
    source = 'procedural:hard,images=1,seed=1,people=2,size=16'
    return programs.run_all(
        'reconstruct',
        {
            'done': [
                *shared,
                f'--out={folder / "templates"}',
                f'--templates={folder / "templates.npy"}',
            ],
            'photographs': [
                *shared,
                f'--out={folder / "photographs"}',
                f'--photographs={source}',
                f'--evaluator={folder / "evaluator"}',
            ],
            'neither': [*shared, f'--out={folder / "no"}'],
            'itself': [
                *shared,
                f'--out={folder / "no"}',
                f'--photographs={source}',
                f'--evaluator={folder / "target"}',
            ],
            **{
                name: [*shared, f'--out={folder / "no"}', f'--templates={folder / name}']
                for name in ('narrow.npy', 'text.npy', 'absent.npy', 'zero.npy')
            },
        },
    )


def test_templates(templates, folder):
    assert templates['done'].code == 0, templates['done'].err
    assert '2 reconstructions, median similarity' in templates['done'].out
    assert len(list((folder / 'templates' / 'reconstructions').glob('*.png'))) == 2
    assert templates['photographs'].code == 0, templates['photographs'].err
    with open(folder / 'photographs' / 'reconstructions.csv', encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert all(-1 <= float(row['evaluator_similarity']) <= 1 for row in rows)


def test_bad_templates_are_one_line(templates):
    for name, message in (
        ('neither', '--templates: found neither, expected one of templates and photographs'),
        ('narrow.npy', 'expected numbers [P, 16]'),
        ('text.npy', 'expected numbers [P, D] written by numpy.save'),
        ('absent.npy', 'no such file'),
        ('zero.npy', '1 rows that are zero or not finite, such as number 1'),
    ):
        assert templates[name].code == 2, name
        assert message in templates[name].err.strip().splitlines()[-1]


def test_bad_input_is_one_line(results):
    for name, message in (
        ('wide', 'centres: found 17, expected 1 to 16'),
        ('sweep', "--sweep: found 'much', expected numbers"),
        ('auc', '--fail_above: found auc without membership inference, expected verdict'),
        ('evaluator', '--evaluator: found no value'),
        ('other', 'found another run'),
        ('generator', "--generator: found 'nowhere', which does not exist"),
        ('keep', 'expected draws >= candidates >= keep'),
    ):
        assert results[name].code == 2, name
        line = results[name].err.strip().splitlines()[-1]
        assert message in line
