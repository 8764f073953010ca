"""tfds sets that we write: the same images whatever they came from, gone on with after any stop."""

import concurrent.futures
import contextlib
import os
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from fr_inference import program_config
from fr_inference.data import align, detector, prepare, sources
from fr_inference.data.faces import BadImageError, from_arrays
from fr_inference.errors import InputError
from fr_inference.formats import images
from tests.data import detectors, records

PEOPLE = {label: [records.jpeg(10 * label + n) for n in range(3)] for label in range(7)}


@pytest.fixture(scope='module')
def given(tmp_path_factory):
    """The same faces as a folder and as a `.rec`."""
    folder = tmp_path_factory.mktemp('given')
    for label, own in PEOPLE.items():
        for number, image in enumerate(own):
            path = folder / 'faces' / str(label) / f'{number}.jpg'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image)
    records.write(folder / 'train', records.training_set(PEOPLE))
    return folder


def plan(given, out, source='faces', **options):
    settings = {'name': 'toy', 'shards': 4, 'workers': 1, **options}
    return program_config.Preparation(faces=str(given / source), out=str(out), **settings)


def counts(made):
    """Returns (images written, images left out)."""
    found = prepare.prepare(made)
    return found.images, found.left_out


def reopened(out, name='toy'):
    return sources.open_faces(f'tfds:{name}:train', data_dir=str(out))


def content(out, name='toy'):
    """All that a set holds, record by record, and what it says of itself."""
    folder = out / name / '1.0.0'
    source = tfds.builder_from_directory(folder).as_data_source(
        'train', decoders={'image': tfds.decode.SkipDecoding()}
    )
    lengths = source.dataset_info.splits['train'].shard_lengths
    return sorted(path.name for path in folder.iterdir()), lengths, list(source)


@pytest.mark.parametrize('source', ['faces', 'train.rec'])
@pytest.mark.parametrize('shards', [1, 4, None, 500])
def test_equal_to_its_source(given, tmp_path, source, shards):
    made = plan(given, tmp_path, source, shards=shards)
    assert counts(made) == (21, 0)
    before, after = sources.open_faces(given / source), reopened(tmp_path)
    assert list(after.identities) == list(before.identities)
    for row in range(21):
        np.testing.assert_array_equal(after.read(row), before.read(row))
        assert after.digest(row) == before.digest(row)
        assert after.encoded(row) == before.encoded(row)


def test_folder_record_and_set_are_one(given, tmp_path):
    prepare.prepare(plan(given, tmp_path))
    # Made from a set, as from anything else.
    place = {'out': str(tmp_path), 'data_dir': str(tmp_path)}
    prepare.prepare(program_config.Preparation(faces='tfds:toy:train', name='again', **place))
    opened = [
        sources.open_faces(given / 'faces'),
        sources.open_faces(given / 'train.rec'),
        reopened(tmp_path),
        reopened(tmp_path, 'again'),
    ]
    for faces in opened:
        assert list(faces.identities) == list(opened[0].identities)
        for row in range(21):
            np.testing.assert_array_equal(faces.read(row), opened[0].read(row))
            assert faces.digest(row) == opened[0].digest(row)


def test_tfds_itself_reads_it(given, tmp_path):
    prepare.prepare(plan(given, tmp_path))
    before = sources.open_faces(given / 'faces')
    for source in (
        tfds.builder_from_directory(tmp_path / 'toy' / '1.0.0').as_data_source('train'),
        tfds.data_source('toy', split='train', data_dir=tmp_path),
    ):
        assert len(source) == 21
        for row, example in enumerate(source):
            np.testing.assert_array_equal(example['image'], before.read(row))
            assert example['identity'].decode() == before.identities[row]
            assert example['path'].decode() == before.paths[row]


def test_images_without_files_become_png(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 9, 7, 3), np.uint8)
    arrays = from_arrays(pixels, 'aabbb')
    monkeypatch.setattr(prepare, '_open', lambda options: arrays)
    prepare.prepare(program_config.Preparation(faces='', out=str(tmp_path), name='drawn'))
    after = reopened(tmp_path, 'drawn')
    assert list(after.identities) == list('aabbb')
    for row in range(5):
        np.testing.assert_array_equal(after.read(row), pixels[row])
        assert after.encoded(row).startswith(b'\x89PNG')


class TestUnreadable:
    @pytest.fixture
    def bad(self, given, tmp_path):
        shutil.copytree(given / 'faces', tmp_path / 'bad')
        (tmp_path / 'bad' / '2' / '1.jpg').write_bytes(b'no image')
        return tmp_path

    def test_stops_and_goes_on_when_mended(self, bad, given, tmp_path):
        with pytest.raises(BadImageError, match=r'2/1\.jpg: found no known image format'):
            prepare.prepare(plan(bad, tmp_path, 'bad'))
        shutil.copy(given / 'faces' / '2' / '1.jpg', bad / 'bad' / '2' / '1.jpg')
        assert counts(plan(bad, tmp_path, 'bad')) == (21, 0)

    def test_stops_and_goes_on_without_it(self, bad, tmp_path):
        with pytest.raises(BadImageError):
            prepare.prepare(plan(bad, tmp_path, 'bad'))
        assert counts(plan(bad, tmp_path, 'bad', skip_bad=True)) == (20, 1)

    def test_left_out(self, bad, tmp_path, capsys):
        assert counts(plan(bad, tmp_path, 'bad', skip_bad=True)) == (20, 1)
        assert '2/1.jpg: found no known image format' in capsys.readouterr().err
        assert len(reopened(tmp_path)) == 20

    def test_nothing_readable(self, tmp_path):
        (tmp_path / 'none' / 'ann').mkdir(parents=True)
        (tmp_path / 'none' / 'ann' / '1.jpg').write_bytes(b'no image')
        with pytest.raises(InputError) as caught:
            prepare.prepare(plan(tmp_path, tmp_path, 'none', skip_bad=True))
        assert (caught.value.field, caught.value.found) == ('faces', 'no image that can be read')


class Killed(BaseException):
    """Stands for the end of the process: nothing in the program catches it."""


@pytest.mark.parametrize('call', range(0, 40, 3))
def test_stopped_at_any_moment(given, tmp_path, monkeypatch, call):
    """Stopped at an image, or at the renaming of a shard, of the plan or of the whole."""
    calls = 0

    def dying(original):
        def counted(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls > call:
                raise Killed
            return original(*arguments, **options)

        return counted

    with monkeypatch.context() as patch:
        patch.setattr(images, 'decode', dying(images.decode))
        patch.setattr(os, 'replace', dying(os.replace))
        with contextlib.suppress(Killed):
            prepare.prepare(plan(given, tmp_path / 'stopped'))
    if not (tmp_path / 'stopped' / 'toy' / '1.0.0').exists():
        with pytest.raises(InputError) as caught:
            reopened(tmp_path / 'stopped')
        assert caught.value.found.startswith('no such set')
        prepare.prepare(plan(given, tmp_path / 'stopped'))
    prepare.prepare(plan(given, tmp_path / 'whole'))
    assert content(tmp_path / 'stopped') == content(tmp_path / 'whole')


def stop_at_the_end(made, monkeypatch):
    """All shards are there, what tfds reads first is not."""
    with monkeypatch.context() as patch:
        patch.setattr(prepare, '_finish', lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            prepare.prepare(made)


def test_only_what_is_missing_is_written(given, tmp_path, monkeypatch):
    made = plan(given, tmp_path)
    stop_at_the_end(made, monkeypatch)
    place = prepare.place_of(made)
    place.shard(2, 4).unlink()
    (place.unfinished / 'dataset_info.json').write_text('{"na')  # half written
    (place.unfinished / 'features.json').write_text('')
    (place.unfinished / 'x.part').write_text('of a shard')  # an earlier version's name
    (place.unfinished / '.x.17.42.part.array_record-00001-of-00004').write_text('of a shard')
    kept = place.shard(1, 4).stat().st_mtime_ns
    told = []
    prepare.prepare(made, progress=lambda *line: told.append(line))
    assert told == [('shards', 3, 4), ('shards', 4, 4)]
    assert (place.finished / place.shard(1, 4).name).stat().st_mtime_ns == kept
    assert not list(place.finished.glob('*.part*'))
    assert len(reopened(tmp_path)) == 21


class TestRefused:
    def refused(self, made, *words):
        with pytest.raises(InputError) as caught:
            prepare.prepare(made)
        assert caught.value.field == 'out'
        assert '\n' not in str(caught.value)
        told = (caught.value.found, caught.value.hint)
        for word in words:
            assert any(word in part for part in told if part)

    def test_there_already(self, given, tmp_path):
        prepare.prepare(plan(given, tmp_path))
        self.refused(plan(given, tmp_path), 'which exists', '1.0.0')

    @pytest.mark.parametrize('change', [{'source': 'train.rec'}, {'shards': 5}])
    def test_beginnings_of_another(self, given, tmp_path, monkeypatch, change):
        stop_at_the_end(plan(given, tmp_path), monkeypatch)
        self.refused(plan(given, tmp_path, **change), 'another run', 'with different', 'or remove ')

    def test_two_at_once(self, given, tmp_path, monkeypatch):
        """The first is still at its images when the second comes."""
        with concurrent.futures.ThreadPoolExecutor() as pool, monkeypatch.context() as patch:
            decode = images.decode

            def slow(*arguments, **options):
                if not started:
                    started.append(pool.submit(prepare.prepare, plan(given, tmp_path)))
                    with pytest.raises(InputError) as caught:
                        started[0].result()
                    assert caught.value.field == 'out'
                    assert 'another process' in caught.value.found
                return decode(*arguments, **options)

            started: list[concurrent.futures.Future] = []
            patch.setattr(images, 'decode', slow)
            assert counts(plan(given, tmp_path)) == (21, 0)

    @pytest.mark.parametrize('name', ['', 'Toy', '1toy', '../toy', 'a b', 'toy-2'])
    def test_names(self, given, tmp_path, name):
        with pytest.raises(InputError) as caught:
            plan(given, tmp_path, name=name)
        assert caught.value.field == 'name'

    def test_not_a_folder(self, given, tmp_path):
        (tmp_path / 'file').write_text('')
        self.refused(plan(given, tmp_path / 'file'), 'cannot be written')

    @pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
    def test_not_writable(self, given, tmp_path):
        tmp_path.chmod(0o500)
        self.refused(plan(given, tmp_path), 'cannot be written')


def test_aligned_photographs_are_another_set(tmp_path, monkeypatch):
    """The set holds the crops; one that was begun without them is not gone on with."""
    monkeypatch.setattr(detector, 'open_detector', detectors.Planted)
    (tmp_path / 'faces' / 'ann').mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 256, (90, 80, 3), np.uint8)
    (tmp_path / 'faces' / 'ann' / '1.png').write_bytes(images.encode_png(image))
    asked = plan(tmp_path, tmp_path / 'sets', align=True)
    assert counts(asked) == (1, 0)
    expected = align.align(image, detectors.LANDMARKS)
    np.testing.assert_array_equal(reopened(tmp_path / 'sets').read(0), expected)

    other = prepare.place_of(plan(tmp_path, tmp_path / 'other', align=True))
    other.unfinished.mkdir(parents=True)
    prepare._begin(other, sources.open_faces(tmp_path / 'faces'), 1)
    with pytest.raises(InputError) as caught:
        prepare.prepare(plan(tmp_path, tmp_path / 'other', align=True))
    assert caught.value.field == 'out'
