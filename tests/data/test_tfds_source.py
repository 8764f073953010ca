"""tfds sets of others: images and identities without TensorFlow, and errors that say what is there."""

import hashlib
import io
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from fr_inference.data import sources
from fr_inference.data.faces import BadImageError
from fr_inference.errors import InputError
from tests import stores
from tests.data import records, tfds_sets

IMAGES = [records.jpeg(seed) for seed in range(10)]
PEOPLE = ('ann', 'bob', 'cy')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tfds')
    features = {
        'image': tfds.features.Image(shape=(None, None, 3), encoding_format='jpeg'),
        'label': tfds.features.ClassLabel(names=list(PEOPLE)),
        'who': tfds.features.Text(),
        'number': np.int64,
        'weight': np.float32,
        'box': tfds.features.Tensor(shape=(2,), dtype=np.float32),
    }
    examples = [
        {
            'image': io.BytesIO(image),
            'label': row % 3,
            'who': f'caf\u00e9 {row % 2}',
            'number': 40 + row % 4,
            'weight': 0.5,
            'box': np.zeros(2, np.float32),
        }
        for row, image in enumerate(IMAGES)
    ]
    tfds_sets.write(folder, 'toy', features, examples)
    face = {name: features[name] for name in ('image', 'who')}
    tfds_sets.write(folder, 'nameless', face, [{n: e[n] for n in face} for e in examples])
    bad = [
        {'image': io.BytesIO(b'no image'), 'who': 'x'},
        {'image': io.BytesIO(IMAGES[0]), 'who': ''},
    ]
    tfds_sets.write(folder, 'bad', face, bad)
    two = {'left': features['image'], 'right': features['image'], 'label': features['label']}
    sides = {'left': io.BytesIO(IMAGES[0]), 'right': io.BytesIO(IMAGES[1]), 'label': 0}
    tfds_sets.write(folder, 'two', two, [sides, sides])
    return folder


def opened(folder, spec='tfds:toy:train', **options):
    return sources.open_faces(spec, 'members', data_dir=str(folder), **options)


def refused(folder, spec, **options):
    with pytest.raises(InputError) as caught:
        opened(folder, spec, **options)
    assert caught.value.field == 'members'
    assert '\n' not in str(caught.value)
    return caught.value


def test_images_and_labels(folder):
    faces = opened(folder)
    assert list(faces.identities) == [PEOPLE[row % 3] for row in range(10)]
    assert faces.paths[7] == 'tfds:toy:train#7'
    for row, image in enumerate(IMAGES):
        np.testing.assert_array_equal(faces.read(row), np.asarray(Image.open(io.BytesIO(image))))
        assert faces.digest(row) == hashlib.sha256(image).hexdigest()
        assert faces.encoded(row) == image


@pytest.mark.parametrize(
    ('key', 'names'),
    [
        ('who', [f'caf\u00e9 {row % 2}' for row in range(10)]),
        ('number', [str(40 + row % 4) for row in range(10)]),
    ],
)
def test_identity_key(folder, key, names):
    assert list(opened(folder, identity_key=key).identities) == names


@pytest.mark.parametrize('spec', ['toy:1.0.0:train[20%:50%]', 'toy:train[2:5]'])
def test_versions_and_parts(folder, spec):
    faces = opened(folder, f'tfds:{spec}')
    assert [faces.encoded(row) for row in range(len(faces))] == IMAGES[2:5]
    assert list(faces.identities) == ['cy', 'ann', 'bob']


def test_sent_to_another_process(folder):
    read = pickle.loads(pickle.dumps(opened(folder).select([3]).read))
    np.testing.assert_array_equal(read(0), np.asarray(Image.open(io.BytesIO(IMAGES[3]))))


def test_manifest_of_part_of_it(folder, tmp_path):
    sources.write_manifest(tmp_path / 'part.csv', opened(folder).select([8, 2]))
    part = opened(folder, tmp_path / 'part.csv')
    assert part.identities == ('cy', 'cy')
    assert [part.encoded(0), part.encoded(1)] == [IMAGES[8], IMAGES[2]]


@pytest.mark.parametrize(
    ('spec', 'options', 'words'),
    [
        ('tfds:toy', {}, ('tfds:NAME:SPLIT',)),
        ('tfds:', {}, ('tfds:NAME:SPLIT',)),
        ('tfds:huggingface:toy:train', {}, ('tfds:NAME:SPLIT',)),
        ('tfds:../toy:train', {}, ('tfds:NAME:SPLIT',)),
        ('tfds:toy/x=1:train', {}, ('tfds:NAME:SPLIT',)),
        ('tfds:nothing:train', {}, ('no such set', 'data_dir')),
        ('tfds:toy:2.0.0:train', {}, ('no such set',)),
        ('tfds:toy:test', {}, ("'test'", 'train')),
        ('tfds:toy:train[:x]', {}, ('tfds:toy:train[:x]',)),
        ('tfds:lfw:train', {}, ('ArrayRecord files',)),
        ('tfds:toy:train', {'identity_key': 'person'}, ('called person', 'label (ClassLabel)')),
        ('tfds:toy:train', {'identity_key': 'weight'}, ('feature weight', 'whole number')),
        ('tfds:toy:train', {'identity_key': 'box'}, ('feature box', 'identity_key')),
        ('tfds:toy:train', {'identity_key': 'image'}, ('Image as the feature image',)),
        ('tfds:nameless:train', {}, ('label or identity', 'who (Text)', 'identity_key')),
        ('tfds:two:train', {}, ('left (Image)', 'one image')),
        ('tfds:bad:train', {'identity_key': 'who'}, ('record 1', 'an empty who')),
    ],
)
def test_what_is_wrong(folder, spec, options, words):
    error = refused(folder, spec, **options)
    assert len(str(error)) < 700
    told = (error.inside, error.found, error.expected, error.hint)
    for word in words:
        assert any(word in part for part in told if part)


def test_bad_image(folder):
    faces = opened(folder, 'tfds:bad:train[:1]', identity_key='who')
    with pytest.raises(BadImageError, match=r'tfds:bad:train\[:1\]#0: '):
        faces.read(0)


class TestHostile:
    @pytest.fixture
    def copied(self, tmp_path):
        features = {
            'image': tfds.features.Image(shape=(None, None, 3)),
            'identity': tfds.features.Text(),
        }
        examples = [{'image': io.BytesIO(image), 'identity': 'x'} for image in IMAGES]
        return tfds_sets.write(tmp_path, 'toy', features, examples)

    @pytest.mark.parametrize('key', ['pythonClassName', 'python_class_name', 'type', 'nested'])
    def test_its_features_import_nothing(self, copied, tmp_path, monkeypatch, key):
        (tmp_path / 'planted.py').write_text(f'open({str(tmp_path / "ran")!r}, "w")')
        monkeypatch.syspath_prepend(tmp_path)
        path = copied / 'features.json'
        found = json.loads(path.read_text())
        identity = found['featuresDict']['features']['identity']
        if key == 'nested':
            inner = json.dumps({'feature': {'type': 'planted.Feature', 'content': '{}'}})
            found['featuresDict']['features']['identity'] = {
                'pythonClassName': 'tensorflow_datasets.core.features.sequence_feature.Sequence',
                'jsonFeature': {'json': inner},
            }
        else:
            identity.pop('pythonClassName')
            identity[key] = 'planted.Feature'
        path.write_text(json.dumps(found))
        error = refused(tmp_path, 'tfds:toy:train')
        assert error.found == "the class 'planted.Feature'"
        assert not (tmp_path / 'ran').exists()

    @pytest.mark.parametrize('text', ['', '{', '[]', '{"featuresDict": 3}', '[' * 9999])
    @pytest.mark.parametrize('name', ['features.json', 'dataset_info.json'])
    def test_damaged_descriptions(self, copied, tmp_path, name, text):
        (copied / name).write_text(text)
        refused(tmp_path, 'tfds:toy:train')

    def test_missing_and_truncated_files(self, copied, tmp_path):
        path = next(copied.glob('*00001-of*'))
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        refused(tmp_path, 'tfds:toy:train')
        path.unlink()
        refused(tmp_path, 'tfds:toy:train')

    def test_damage_seen_when_an_image_is_read(self, copied, tmp_path):
        read = opened(tmp_path).read
        path = next(copied.glob('*00000-of*'))
        content = bytearray(path.read_bytes())
        content[300:340] = bytes(40)
        path.write_bytes(content)
        elsewhere = pickle.loads(pickle.dumps(read))
        bad = []
        for row in range(5):
            try:
                elsewhere(row)
            except BadImageError as error:
                bad.append(str(error))
        assert bad
        assert all(line.startswith('tfds:toy:train#') and 'cannot be read' in line for line in bad)


def test_tfds_is_imported_only_when_used():
    program = (
        'import sys; import fr_inference.data.sources; print("tensorflow_datasets" in sys.modules)'
    )
    done = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == 'False'


def test_a_set_of_a_store_is_checked_before_tfds_sees_it(tmp_path, monkeypatch):
    """tfds can read stores by itself, and would import what a set there names."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    with stores.in_memory() as memory:
        hostile = b'{"pythonClassName": "os.path.join"}'
        memory.pipe_file('/sets/bad/1.0.0/features.json', hostile)
        with pytest.raises(InputError, match='nothing was imported') as caught:
            sources.open_faces('tfds:bad:train', data_dir='memory://sets')
    assert 'memory://sets/bad/1.0.0/features.json' in str(caught.value)
