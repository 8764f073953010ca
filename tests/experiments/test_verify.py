"""The verification program: figures against the library, bad pairs and faces in one line."""

import csv
import pickle

import jax
import numpy as np
import pytest
from PIL import Image

from fr_inference.data import sources
from fr_inference.measuring import measurements
from fr_inference.metrics import verification
from fr_inference.models import registry
from fr_inference.weights import native_targets
from tests.experiments import programs

PEOPLE, IMAGES, FOLDS = 4, 3, 2


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Noise for faces, a tiny network of random weights, every pair of images."""
    folder = tmp_path_factory.mktemp('verify')
    draw = np.random.default_rng(0)
    names = []
    for person in range(PEOPLE):
        (folder / 'faces' / f'p{person}').mkdir(parents=True)
        base = draw.integers(0, 200, (32, 32, 3))
        for image in range(IMAGES):
            names.append(f'p{person}/{image}.png')
            pixels = (base + draw.integers(0, 56, base.shape)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / 'faces' / names[-1])
    (folder / 'faces' / 'p0' / 'unread.png').write_text('no image, and in no pair')
    variant = registry.VARIANTS['tiny']
    abstract = registry.abstract_variables(variant.build(), variant.input)
    # Drawn here: to compile the initialisation takes seconds. Above 0, as variances are.
    variables = jax.tree.map(lambda leaf: draw.uniform(0.1, 1, leaf.shape).astype('f'), abstract)
    native_targets.save_target(folder / 'target', registry.make_target('tiny', variables))
    pairs = [
        (fold, first, second, int(first[:2] == second[:2]))
        for i, first in enumerate(names)
        for fold, second in enumerate(names[i + 1 :])
    ]
    write(folder / 'pairs.csv', [(fold % FOLDS, *rest) for fold, *rest in pairs])
    write(folder / 'missing.csv', [(0, 'p0/0.png', 'p0/1.png', 1), (0, 'p0/0.png', 'p9/0.png', 0)])
    write(
        folder / 'climbs.csv', [(0, 'p0/0.png', '../pairs.csv', 1), (0, 'p0/0.png', 'p1/0.png', 0)]
    )
    write(folder / 'bad.csv', [(0, 'p0/0.png', 'p0/unread.png', 1), (0, 'p0/0.png', 'p1/0.png', 0)])
    write(folder / 'same.csv', [(0, 'p0/0.png', 'p0/1.png', 1)])
    write(folder / 'label.csv', [(0, 'p0/0.png', 'p0/1.png', 'yes')])
    write(folder / 'none.csv', [])
    # The same pairs as one file with its images, in other folds.
    content = {name: (folder / 'faces' / name).read_bytes() for name in names}
    images = [content[name] for _, *sides, _ in pairs for name in sides]
    same = [bool(label) for *_, label in pairs]
    (folder / 'pairs.bin').write_bytes(pickle.dumps((images, same)))
    (folder / 'half.bin').write_bytes(pickle.dumps((images[:-1], same)))
    (folder / 'columns.csv').write_text('first,second\na,b\n')
    (folder / 'binary.csv').write_bytes(bytes(range(256)))
    return folder


def write(path, rows):
    with open(path, 'w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows([('fold', 'first', 'second', 'same'), *rows])


@pytest.fixture(scope='module')
def results(folder):
    def flags(pairs='pairs.csv', target='target', faces='faces', mirror=None):
        return [
            f'--target={folder / target}',
            f'--faces={folder / faces}',
            f'--pairs={folder / pairs}',
            *([f'--mirror={mirror}'] if mirror else []),
        ]

    cases = {'by default': flags(), 'mirror none': flags(mirror='none')}
    for name in (
        'missing',
        'climbs',
        'bad',
        'same',
        'label',
        'none',
        'columns',
        'binary',
        'absent',
    ):
        cases[name] = flags(f'{name}.csv')
    both = [f'--target={folder / "target"}', f'--pairs={folder / "pairs.bin"}']
    cases['bin'] = both
    cases['bin_and_faces'] = flags('pairs.bin')
    cases['bin_half'] = [both[0], f'--pairs={folder / "half.bin"}']
    cases['faces_left_out'] = [both[0], f'--pairs={folder / "pairs.csv"}']
    cases['pairs_folder'] = flags('faces')
    cases['no_target'] = flags(target='nothing')
    cases['not_a_target'] = flags(target='pairs.csv')
    cases['no_faces'] = flags(faces='nothing')
    cases['no_way'] = flags(mirror='mean')
    return programs.run_all('verify', cases)


@pytest.mark.parametrize(('case', 'mirror'), [('by default', 'add'), ('mirror none', 'none')])
def test_figures(folder, results, case, mirror):
    """Computed again without the program, on all the images of the folder."""
    result = results[case]
    assert result.code == 0, result.err
    target = native_targets.load_target(folder / 'target')
    faces = sources.open_faces(folder / 'faces')
    faces = faces.select([i for i, path in enumerate(faces.paths) if 'unread' not in path])
    embeddings = measurements.measure(target, faces).embeddings
    turned = measurements.measure(target, faces, mirror=True).embeddings
    joined = verification.combine_mirror(embeddings, turned, mirror)
    rows = {'/'.join(path.split('/')[-2:]): row for row, path in enumerate(faces.paths)}
    with open(folder / 'pairs.csv', encoding='utf-8') as file:
        pairs = list(csv.DictReader(file))
    first, second = (joined[[rows[pair[side]] for pair in pairs]] for side in ('first', 'second'))
    same = [pair['same'] == '1' for pair in pairs]
    expected = verification.verify(
        verification.cosine(first, second),
        np.array(same),
        np.array([pair['fold'] for pair in pairs]),
    )
    assert result.out.splitlines()[-2:] == [str(expected), expected.expectation]
    assert (expected.folds, expected.pairs) == (FOLDS, len(pairs))
    assert f'{PEOPLE * IMAGES} images' in result.out  # only those that the pairs name
    assert f'mirror {mirror}' in result.out


def test_a_verification_set_brings_its_images(results):
    """The same pairs as in the CSV; only the folds differ, and so a little the thresholds."""
    result = results['bin']
    assert result.code == 0, result.err
    assert f'{PEOPLE * IMAGES} images' in result.out
    line = result.out.splitlines()[-2]
    assert line.endswith('(10 folds, 66 pairs)')
    csv_line = results['by default'].out.splitlines()[-2]
    assert abs(float(line.split()[1]) - float(csv_line.split()[1])) < 10


@pytest.mark.parametrize(
    ('case', 'words'),
    [
        ('missing', ('--pairs', 'line 3', "'p9/0.png'")),
        ('climbs', ('--pairs', 'line 2', "'../pairs.csv'")),
        ('bad', ('unread.png', 'no known image format')),
        ('same', ('expected both kinds',)),
        ('label', ('--pairs', 'line 2', "'yes'")),
        ('none', ('--pairs', 'found no pairs')),
        ('columns', ('--pairs', 'fold,first,second,same')),
        ('binary', ('--pairs', 'binary.csv')),
        ('absent', ('--pairs', 'expected a CSV file')),
        ('bin_and_faces', ('--faces', 'holds its images')),
        ('bin_half', ('--pairs', 'half.bin', '131 images and 66 flags')),
        ('faces_left_out', ('--faces: found none',)),
        ('pairs_folder', ('--pairs', 'CSV')),
        ('no_target', ('--target', 'does not exist')),
        ('not_a_target', ('pairs.csv', 'not a checkpoint')),
        ('no_faces', ('--faces', 'does not exist')),
        ('no_way', ('--mirror', 'concat')),
    ],
)
def test_one_line_and_exit_code_2(results, case, words):
    result = results[case]
    assert result.code == 2, result.err
    *progress, message = result.err.splitlines()
    assert not [line for line in progress if 'Traceback' in line]
    for word in words:
        assert word in message
