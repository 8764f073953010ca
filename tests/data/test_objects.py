"""Faces at an address are those of the same files on a disk, and are read ahead, together."""

import os
import pickle
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from fr_inference import addresses, errors
from fr_inference.data import loader, objects, overlap, sources
from fr_inference.data.faces import BadImageError
from fr_inference.formats import images
from tests import stores

# Whatever a folder of people may hold; the content of images follows from the name.
NAMES = (
    *('ann/1.png', 'ann/2.png', 'bob/1.png', 'Bob /2.png', 'bob/notes.txt', 'ann/.hidden.png'),
    *('loose.png', 'carl/deeper/1.png', 'dora/readme.md', '@eaDir/thumb.png', 'list.json'),
)


def content(name):
    pixels = np.random.default_rng(len(name)).integers(0, 256, (16, 16, 3), np.uint8)
    return images.encode_png(pixels)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('faces')
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content(name))
    return folder


@pytest.fixture(scope='module')
def memory(folder, tmp_path_factory):
    """The same names below memory://b/faces, and beside them a manifest."""
    cache = str(tmp_path_factory.mktemp('cache'))
    with mock.patch.dict(os.environ, {'XDG_CACHE_HOME': cache}), stores.in_memory() as files:
        for name in NAMES:
            files.pipe_file(f'/b/faces/{name}', content(name))
        listed = 'path,identity\nann/2.png,Ann\nmemory://b/faces/bob/1.png,Bob\n./ann/1.png,Ann\n'
        files.pipe_file('/b/faces/list.csv', listed.encode())
        yield files


def test_a_folder_is_listed_as_on_a_disk(folder, memory):
    here = sources.open_faces(folder)
    there = sources.open_faces('memory://b/faces')
    assert [path.removeprefix('memory://b/faces/') for path in there.paths] == [
        os.path.relpath(path, folder) for path in here.paths
    ]
    assert there.identities == here.identities
    assert there.name == 'memory://b/faces'
    kinds = [remark.partition(':')[0] for remark in here.remarks]
    assert [remark.partition(':')[0] for remark in there.remarks] == kinds
    assert overlap.content_digests(there) == overlap.content_digests(here)


def test_a_manifest_at_an_address(memory):
    faces = sources.open_faces('memory://b/faces/list.csv')
    root = 'memory://b/faces'
    assert faces.paths == (f'{root}/ann/2.png', f'{root}/bob/1.png', f'{root}/ann/1.png')
    assert faces.name == f'{root}/list.csv'
    assert faces.encoded(1) == content('bob/1.png')
    assert faces.read(0).shape == (16, 16, 3)


def test_a_manifest_here_of_images_there(memory, tmp_path, monkeypatch):
    """Only stores that are common: a stranger's manifest reaches nothing else."""
    Image.new('RGB', (8, 8)).save(tmp_path / 'own.png')
    path = tmp_path / 'list.csv'
    path.write_text('path,identity\nown.png,A\nmemory://b/faces/ann/1.png,B\n')
    with pytest.raises(errors.InputError) as caught:
        sources.open_faces(path)
    assert (caught.value.field, caught.value.inside) == ('faces', str(path))
    monkeypatch.setattr(sources, '_STORES', ('memory',))
    faces = sources.open_faces(path)
    assert [faces.read(index).shape[0] for index in (0, 1)] == [8, 16]
    faces.select([1, 0]).ahead([0, 1])  # a file has nothing to read ahead


@pytest.mark.parametrize('processes', [0, 1])
def test_batches_are_read_ahead_and_together(memory, processes):
    """In the threads of this process each task asks once; other processes get no worse images."""
    faces = sources.open_faces('memory://b/faces')
    if processes:  # where this memory is not
        held = pickle.loads(pickle.dumps((faces.ahead, faces.read)))
        held[0]([0])
        assert held[1].args[0]._waiting.keys() == {0}
        return
    asked = []
    read_some = addresses.read_some

    def counted(paths, *rest):
        asked.append(len(paths))
        return read_some(paths, *rest)

    with mock.patch.object(addresses, 'read_some', counted):
        (batch,) = loader.batches(faces.select([3, 0, 2]), height=16, width=16, batch_size=3)
    assert sum(asked) == 3
    for image, index in zip(batch.images, [3, 0, 2], strict=True):
        np.testing.assert_array_equal(image, faces.read(index))


def test_what_is_wrong_with_an_image(memory):
    """A bad image can be skipped; a store that does not answer cannot: no image is bad for that."""
    paths = ['memory://b/faces/none.png', 'memory://b/faces/bob/notes.txt']
    memory.pipe_file('/b/faces/bob/notes.txt', b'text')
    faces = objects.from_addresses('some', paths, ['a', 'b'], 'members')
    skipped = []
    options = {'height': 8, 'width': 8, 'batch_size': 2, 'skip_bad': True, 'skipped': skipped}
    assert not list(loader.batches(faces, **options))
    assert [path for path, _ in skipped] == paths
    with pytest.raises(BadImageError):
        faces.read(0)
    with (
        mock.patch(
            'fsspec.implementations.memory.MemoryFileSystem.cat_ranges', side_effect=OSError
        ),
        pytest.raises(errors.InputError) as caught,
    ):
        list(loader.batches(faces, **options))
    assert not isinstance(caught.value, BadImageError)
    assert caught.value.field == 'members'


def test_too_long_an_image(memory, monkeypatch):
    monkeypatch.setattr(images, 'MOST_BYTES', 10)
    faces = objects.from_addresses('some', ['memory://b/faces/ann/1.png'], ['a'], 'members')
    with pytest.raises(BadImageError, match='longer'):
        faces.read(0)


def test_what_waits_is_bounded(memory, monkeypatch):
    size = len(content('ann/1.png'))
    monkeypatch.setattr(objects, '_MOST_WAITING', 2 * size + 100)
    held = objects.Objects([f'memory://b/faces/ann/{n}.png' for n in (1, 2, 1, 2)], 'members')
    held.ahead([0, 1, 2, 3])
    assert list(held._waiting) == [2, 3]
    assert held.encoded(3) == content('ann/2.png')
    assert held._bytes == size == len(held.encoded(2))
    assert held._bytes == 0


def test_a_changed_object_has_another_version(memory):
    """A batch looks at it before it keeps a finished audit."""
    faces = sources.open_faces('memory://b/faces/list.csv')
    before = faces.version(0)
    memory.pipe_file('/b/faces/ann/2.png', content('ann/2.png'))
    assert before
    assert sources.open_faces('memory://b/faces/list.csv').version(0) != before
    assert faces.select([0]).version(0) == before
