"""The training program: what it writes with unreadable images, what it refuses before it trains."""

import json

import numpy as np
import pytest
from PIL import Image

from fr_inference.cli import program
from fr_inference.weights import native_targets
from tests import traces
from tests.experiments import programs

TINY = ('--arch=tiny', '--width=4', '--embedding=8', '--input_size=16', '--epochs=1')
FACES = 'procedural:easy,people=10,images=2,size=16'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Ten people of three photographs, the last of each person damaged."""
    folder = tmp_path_factory.mktemp('train')
    images = np.random.default_rng(0).integers(0, 256, (10, 3, 16, 16, 3), np.uint8)
    for person, own in enumerate(images):
        (folder / 'faces' / f'p{person}').mkdir(parents=True)
        for number, image in enumerate(own):
            file = folder / 'faces' / f'p{person}' / f'{number}.png'
            Image.fromarray(image).save(file)
            if number == 2:
                file.write_bytes(file.read_bytes()[:60])
    (folder / 'taken' / 'target.json').mkdir(parents=True)
    return folder


@pytest.fixture(scope='module')
def results(folder):
    def flags(out, *rest, faces=FACES):
        return [f'--faces={faces}', f'--out={folder / out}', *TINY, *rest]

    photographs = str(folder / 'faces')
    return programs.run_all(
        'train_recognizer',
        {
            'skipped': flags(
                *('skipped', '--skip_bad', '--holdout=0.3', f'--profile={folder / "short"}'),
                faces=photographs,
            ),
            'profiled': flags(
                *('profiled', '--holdout=0', '--batch_size=4', f'--profile={folder / "traces"}')
            ),
            'audited': flags('audited', '--holdout=0.4', '--audit_every=1'),
            'unaudited': flags('refused', '--holdout=0', '--audit_every=1'),
            'profile': flags('refused', '--holdout=0', '--profile=/proc'),
            'damaged': flags('refused', '--holdout=0.3', faces=photographs),
            'few': flags('refused', '--holdout=0.1'),
            'seed': flags('refused', '--seed=-1'),
            'rate': flags('refused', '--learning_rate=inf', '--holdout=0'),
            'beyond': flags('beyond', '--holdout=0.3', '--save_epochs=2'),
            'digits': flags('refused', f'--save_epochs={"9" * 5000}', '--holdout=0'),
            'private': flags(
                *('private', '--holdout=0', '--batch_size=4', '--norm=group', '--epsilon=9'),
                '--privacy_unit=person',
            ),
            'norm': flags('refused', '--holdout=0', '--epsilon=9'),
            'clip': flags('refused', '--holdout=0', '--norm=group', '--clip_norm=2'),
            'init': flags('refused', '--init=demo_easy', '--holdout=0.3'),
            'taken': flags('taken', '--holdout=0.3'),
            'proc': [f'--faces={FACES}', '--out=/proc', *TINY, '--holdout=0.3'],
        },
    )


def test_unreadable_images_are_no_members(folder, results):
    result = results['skipped']
    assert result.code == 0, result.err
    rows = native_targets.read_member_rows(folder / 'skipped')
    assert len(rows) == 7 * 2
    assert not any(path.endswith('2.png') for path, _, _ in rows)
    assert '14 training images' in result.out
    assert 'held-out people: accuracy' in result.out


def test_a_private_training_says_what_it_guarantees(folder, results):
    result = results['private']
    assert result.code == 0, result.err
    privacy = native_targets.load_target(folder / 'private').recipe['privacy']
    assert 8.9 < privacy['epsilon'] <= 9
    assert (privacy['unit'], privacy['delta'], privacy['steps']) == ('person', 0.1, 5)
    assert 'Trained with differential privacy: epsilon 9 at delta 0.1 per person.' in result.out
    assert 'epsilon=9' in result.err


def test_a_profile_is_a_trace_of_some_steps(folder, results):
    assert results['profiled'].code == 0, results['profiled'].err
    assert traces.steps(folder / 'traces' / 'training', 'training') == [2, 3, 4]
    assert f'--profile: {folder / "traces"} holds a trace of training\n' in results['profiled'].err


def test_a_training_too_short_to_trace_says_so(folder, results):
    (line,) = (one for one in results['skipped'].err.splitlines() if '--profile' in one)
    assert 'found no loop' in line
    assert not list((folder / 'short').iterdir())


def test_the_leak_is_measured_on_the_way(folder, results):
    result = results['audited']
    assert result.code == 0, result.err
    rows = json.loads((folder / 'audited' / 'leak.json').read_text())['rows']
    assert [row['epoch'] for row in rows] == [0, 1]
    assert [line.partition(':')[0] for line in result.out.splitlines()[:2]] == [
        'epoch 0',
        'epoch 1',
    ]


@pytest.mark.parametrize(
    ('case', 'words'),
    [
        ('unaudited', '--audit_every: found holdout=0'),
        ('profile', '--profile: found /proc, which cannot be written to'),
        ('damaged', '2.png: found an unreadable image'),
        ('few', '--holdout: found 2 images of 1 people, expected two people or more'),
        ('seed', '--seed: found -1'),
        ('rate', 'learning_rate: found inf'),
        ('beyond', 'save_epochs: found [2], expected 0 to 1'),
        ('norm', '--norm: found BatchNorm in tiny'),
        ('clip', '--clip_norm: found no private training'),
        ('digits', "--save_epochs: found '9999"),
        ('init', '--width: found a checkpoint to start from'),
        ('taken', 'target.json, which is not a file that can be replaced'),
        ('proc', '--out: found /proc, which cannot be written to'),
    ],
)
def test_refused_before_training(folder, results, case, words):
    result = results[case]
    assert result.code == program.EXIT_BAD_INPUT, result.err
    assert words in result.err
    assert result.err.count('\n') == 1
    assert len(result.err) < 500
    assert not (folder / 'refused').exists()
