"""Copies of objects: made once for each version, whole, and called by their addresses."""

from unittest import mock

import fsspec
import pytest

from fr_inference import addresses, errors, local_copies
from fr_inference.weights import native_targets, targets
from tests import stores
from tests.experiments.targets import target_of


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """An empty file system in memory, and an empty cache."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    with stores.in_memory() as files:
        yield files


@pytest.fixture
def copied():
    """The addresses of what is copied."""
    seen = []
    download = addresses.download

    def counted(address, *rest):
        seen.append(address)
        download(address, *rest)

    with mock.patch.object(addresses, 'download', counted):
        yield seen


def test_a_version_is_copied_once(memory, copied):
    memory.pipe_file('/nets/a.pth', b'first')
    path = local_copies.path_of('memory://nets/a.pth', 'target')
    assert (path.name, path.read_bytes()) == ('a.pth', b'first')
    assert local_copies.path_of('memory://nets/a.pth', 'target') == path
    assert len(copied) == 1
    memory.pipe_file('/nets/a.pth', b'later')  # of the same size
    assert local_copies.path_of('memory://nets/a.pth', 'target').read_bytes() == b'later'
    assert len(copied) == 2


def test_nobody_else_can_look_into_it(memory, tmp_path):
    memory.pipe_file('/a/x.csv', b'1')
    local_copies.path_of('memory://a/x.csv', 'faces')
    assert (tmp_path / 'cache' / 'fr_inference' / 'objects').stat().st_mode & 0o77 == 0


def test_a_copy_that_was_cut_off_goes_on(memory, tmp_path):
    memory.pipe_file('/a/x.csv', b'0123456789')
    path = local_copies.path_of('memory://a/x.csv', 'faces')
    download = addresses.download

    def killed(address, entry, part, field):
        part.write_bytes(b'abc')
        raise KeyboardInterrupt

    memory.pipe_file('/a/x.csv', b'9876543210')
    with mock.patch.object(addresses, 'download', killed), pytest.raises(KeyboardInterrupt):
        local_copies.path_of('memory://a/x.csv', 'faces')
    assert path.read_bytes() == b'0123456789'  # the earlier one, whole
    with mock.patch.object(addresses, 'download', download):
        local_copies.path_of('memory://a/x.csv', 'faces')
    assert path.read_bytes() == b'abc6543210'


def test_a_folder_is_what_is_there(memory):
    for name in ('a.json', 'variables/d/0', 'deep/er/b'):
        memory.pipe_file(f'/nets/one/{name}', name.encode())
    folder = local_copies.path_of('memory://nets/one', 'target')
    found = {path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()}
    assert found == {'a.json'}
    memory.rm_file('/nets/one/a.json')
    memory.pipe_file('/nets/one/b.json', b'')
    local_copies.path_of('memory://nets/one', 'target')
    assert [path.name for path in folder.iterdir() if path.is_file()] == ['b.json']


def test_a_file_that_is_also_a_folder(memory):
    content = fsspec.implementations.memory.MemoryFile
    for name in ('/n/t/a', '/n/t/a/b'):
        memory.store[name] = content(memory, name, b'1')
    with pytest.raises((errors.InputError, OSError)):
        local_copies.path_of('memory://n/t', 'target')


def test_errors_speak_of_the_address(memory):
    memory.pipe_file('/nets/bad.pth', b'no checkpoint')
    with pytest.raises(errors.InputError) as caught:
        targets.open_target('memory://nets/bad.pth')
    assert caught.value.field == 'target'
    assert caught.value.inside == 'memory://nets/bad.pth'
    assert 'cache' not in str(caught.value)
    with pytest.raises(errors.InputError, match='does not exist') as caught:
        targets.open_target('memory://nets/none', field='blind')
    assert caught.value.field == 'blind'


def test_shards_come_with_their_index(memory):
    """All files of a checkpoint lie beside each other; an index that names files elsewhere stays bad."""
    memory.pipe_file(
        '/n/m.safetensors.index.json', b'{"weight_map": {"a": "one.st", "b": "two.st"}}'
    )
    memory.pipe_file('/n/one.st', b'1')
    memory.pipe_file('/n/two.st', b'2')
    memory.pipe_file('/n/three.st', b'3')
    path = targets.locate('memory://n/m.safetensors.index.json')
    assert {one.name for one in path.parent.iterdir()} == {path.name, 'one.st', 'two.st'}


def test_a_backbone_is_the_same_there(memory, tmp_path):
    fresh = target_of(1)
    native_targets.save_target(tmp_path / 'net', fresh, members=[('a', 'b', 'c')])
    for path in (tmp_path / 'net').iterdir():
        memory.pipe_file(f'/nets/net/{path.name}', path.read_bytes())
    found = targets.open_target('memory://nets/net')
    assert found.sha256 == targets.open_target(tmp_path / 'net').sha256
    assert native_targets.read_members(targets.locate('memory://nets/net')) == ['c']
