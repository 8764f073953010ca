"""Objects of a store: read within bounds, written once, and one line for whatever is wrong."""

import importlib
import sys
from unittest import mock

import fsspec
import pytest

from fr_inference import addresses, errors
from tests import stores


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    with stores.served(tmp_path_factory.mktemp('cache')) as store:
        yield store


@pytest.fixture(scope='module')
def google(tmp_path_factory):
    with stores.google(tmp_path_factory.mktemp('cache')) as store:
        yield store


@pytest.fixture(params=['store', 'google'])
def server(request):
    """S3's and Google's."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def memory():
    """An empty file system in memory."""
    with stores.in_memory() as files:
        yield files


@pytest.mark.parametrize(
    ('text', 'is_one'),
    [
        ('s3://bucket', True),
        ('memory://a/b c', True),
        ('C:/faces', False),
        ('C://faces', False),
        ('procedural:easy', False),
        ('tfds:lfw:train', False),
        ('zip://a.zip::s3://b/c', False),
        ('a/s3://b', False),
    ],
)
def test_what_an_address_is(text, is_one):
    assert addresses.is_address(text) == is_one


@pytest.mark.filterwarnings('ignore:Sending a large body')  # in Google's driver
def test_objects_of_a_server(server):
    """Empty, small, longer than what is read at once, too long, absent."""
    long = bytes(range(256)) * (5 << 12)  # 5 MiB
    for name, content in (('empty', b''), ('small', b'abc'), ('long', long)):
        server.files.pipe_file(f'{stores.BUCKET}/read/{name}', content)
    named = [f'{server.root}/read/{one}' for one in ('empty', 'small', 'long', 'none')]
    found = addresses.read_some(named, 'faces', 8 << 20)
    assert found[:3] == [b'', b'abc', long]
    assert isinstance(found[3], FileNotFoundError)
    (short,) = addresses.read_some(named[2:3], 'faces', 1000)
    assert short == long[:1001]
    with pytest.raises(errors.InputError) as caught:
        addresses.read(named[2], 'faces', 1000)
    assert caught.value.field == 'faces'


def test_listings_and_information_agree(server):
    """What says that an object is unchanged must not depend on who is asked."""
    server.files.pipe_file(f'{stores.BUCKET}/list/a/b.txt', b'12')
    (listed,) = addresses.below(f'{server.root}/list', 'faces').items()
    assert listed == ('a/b.txt', addresses.find(f'{server.root}/list/a/b.txt', 'faces'))
    before = listed[1]
    server.files.pipe_file(f'{stores.BUCKET}/list/a/b.txt', b'34')
    after = addresses.find(f'{server.root}/list/a/b.txt', 'faces')
    assert (before.size, after.size) == (2, 2)
    assert before.stamp != after.stamp
    assert addresses.find(f'{server.root}/list', 'faces') is None  # a folder


def test_copies_of_files(server, tmp_path):
    """A file that goes there comes back whole, an empty one too; what was removed is gone."""
    for content in (b'', bytes(range(256)) * 10):
        (tmp_path / 'file').write_bytes(content)
        address = f'{server.root}/copies/file'
        addresses.upload(tmp_path / 'file', address, 'out')
        addresses.download(address, addresses.find(address, 'out'), tmp_path / 'copy', 'out')
        assert (tmp_path / 'copy').read_bytes() == content
        (tmp_path / 'copy').unlink()
    for _ in range(2):
        addresses.remove(address, 'out')
    assert addresses.find(address, 'out') is None
    assert addresses.below(f'{server.root}/copies', 'out') == {}


@pytest.mark.parametrize('root', [f's3://{stores.BUCKET}', f'gs://{stores.BUCKET}', 'memory://new'])
def test_only_where_nothing_is(store, google, memory, root):
    assert addresses.write(f'{root}/claim', b'1', 'out', new=True)
    assert not addresses.write(f'{root}/claim', b'2', 'out', new=True)
    assert addresses.read(f'{root}/claim', 'out', 10) == b'1'


def test_the_server_decides_who_was_first(server):
    """Whoever looked before saw nothing."""
    address = f'{server.root}/raced'
    with mock.patch.object(type(server.files), 'exists', return_value=False):
        assert [addresses.write(address, b'1', 'out', new=True) for _ in '12'] == [True, False]


def test_names_that_leave_a_folder_are_no_files(memory):
    for name in ('/s/a/../../b', '/s/a//b', '/s/fine/c', '/s/d\\e'):
        memory.store[name] = fsspec.implementations.memory.MemoryFile(memory, name, b'1')
    assert list(addresses.below('memory://s', 'target')) == ['fine/c']


@pytest.mark.parametrize(
    ('address', 'words'),
    [
        ('s3://no-such-bucket/a', 'does not exist'),
        ('gs://no-such-bucket/a', 'does not exist'),
        ('gopher://a/b', 'fsspec has a driver for'),
    ],
)
def test_one_line(store, google, address, words):
    with pytest.raises(errors.InputError, match=words) as caught:
        addresses.read(address, 'target', 10)
    assert caught.value.field == 'target'


def test_a_missing_driver_names_the_extra():
    with (
        mock.patch.dict(sys.modules, {'gcsfs': None}),
        mock.patch.dict(importlib.import_module('fsspec.registry')._registry, clear=True),
        pytest.raises(errors.InputError) as caught,
    ):
        addresses.find('gs://bucket/a', 'members')
    assert caught.value.field == 'members'
    assert 'fr_inference[cloud]' in caught.value.hint


def test_denied(store):
    """The server knows nobody of that name."""
    import requests

    def guard(after):
        requests.post(f'{store.endpoint}/moto-api/reset-auth', data=after, timeout=10).close()

    guard('0')
    try:
        with pytest.raises(errors.InputError, match='access was denied') as caught:
            addresses.below(f's3://{stores.BUCKET}/a', 'members')
    finally:
        guard('inf')
    assert caught.value.field == 'members'


def test_a_store_that_stops_answering(store):
    """A port where nothing is; the driver's own attempts are cut short."""
    kind = type(store.files)
    gone = kind(endpoint_url='http://127.0.0.1:1', skip_instance_cache=True)
    gone.retries = 1
    gone.config_kwargs = {'retries': {'max_attempts': 0}}
    with (
        mock.patch('fsspec.core.url_to_fs', return_value=(gone, 'bucket/a')),
        pytest.raises(errors.InputError, match='does not respond') as caught,
    ):
        addresses.find('s3://bucket/a', 'members')
    assert caught.value.field == 'members'


def test_a_download_goes_on(memory, tmp_path):
    """What the file holds already is not read again."""
    address, path = 'memory://large', tmp_path / 'large'
    memory.pipe_file('/large', b'0123456789')
    path.write_bytes(b'abcde')
    addresses.download(address, addresses.find(address, 'target'), path, 'target')
    assert path.read_bytes() == b'abcde56789'


def test_an_object_that_changes_meanwhile(memory, tmp_path):
    address, path = 'memory://large', tmp_path / 'large'
    memory.pipe_file('/large', b'0123456789')
    before = addresses.find(address, 'target')
    memory.pipe_file('/large', b'9876543210')
    with pytest.raises(errors.InputError, match='changed while'):
        addresses.download(address, before, path, 'target')
    assert not path.exists()
