"""Real object servers on this machine, and what a user's environment says of them."""

import contextlib
import dataclasses
import logging
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any
from unittest import mock

import fsspec

BUCKET = 'bucket'


@dataclasses.dataclass(frozen=True)
class Store:
    """A bucket at a server, and the cache folder of "this machine".

    Attributes:
      scheme: of its addresses.
      files: the bucket's file system.
      cache: where copies are kept.
      endpoint: of the server.
      server: it.
    """

    scheme: str
    files: Any
    cache: pathlib.Path
    endpoint: str
    server: Any

    @property
    def root(self) -> str:
        """The bucket's address."""
        return f'{self.scheme}://{BUCKET}'

    def put(self, folder: pathlib.Path, name: str) -> str:
        """Copies a folder or a file to the bucket; returns its address."""
        for path in [folder] if folder.is_file() else sorted(folder.rglob('*')):
            if path.is_file():
                below = path.relative_to(folder).as_posix()
                place = f'{BUCKET}/{name}' if below == '.' else f'{BUCKET}/{name}/{below}'
                self.files.pipe_file(place, path.read_bytes())
        return f'{self.root}/{name}'

    def names(self, name: str) -> list[str]:
        """Returns the names of the objects below one, relative to it."""
        start = f'{BUCKET}/{name}/'
        found = self.files.find(start, refresh=True)
        return sorted(one.removeprefix(start) for one in found)

    def get(self, name: str) -> bytes:
        """Returns an object."""
        return self.files.cat_file(f'{BUCKET}/{name}')

    def another_machine(self) -> None:
        """Forgets everything that this machine copied."""
        shutil.rmtree(self.cache, ignore_errors=True)


@contextlib.contextmanager
def served(cache: pathlib.Path) -> Iterator[Store]:
    """An empty bucket at an S3 server; the environment holds its endpoint and credentials meanwhile."""
    import requests
    from moto.server import ThreadedMotoServer

    logging.getLogger('werkzeug').setLevel(logging.ERROR)  # a line for each request
    server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
    server.start()
    endpoint = 'http://{}:{}'.format(*server.get_host_and_port())
    # What another module's server held is held by the process.
    requests.post(f'{endpoint}/moto-api/reset', timeout=10).close()
    told = {
        'AWS_ACCESS_KEY_ID': 'somebody',
        'AWS_SECRET_ACCESS_KEY': 'something',
        'AWS_DEFAULT_REGION': 'us-east-1',
        'AWS_ENDPOINT_URL': endpoint,
        'XDG_CACHE_HOME': str(cache),
    }
    kind = fsspec.get_filesystem_class('s3')
    with mock.patch.dict(os.environ, told):
        kind.clear_instance_cache()
        files = fsspec.filesystem('s3', use_listings_cache=False)
        files.mkdir(BUCKET)
        try:
            yield Store('s3', files, cache, endpoint, server)
        finally:
            kind.clear_instance_cache()
            server.stop()


@contextlib.contextmanager
def google(cache: pathlib.Path) -> Iterator[Store]:
    """An empty bucket at an emulator of Google Cloud Storage, as `served`."""
    from gcp_storage_emulator.server import create_server

    logging.getLogger('gcp_storage_emulator').setLevel(
        logging.CRITICAL
    )  # a line for what is absent
    server = create_server('127.0.0.1', 0, in_memory=True, default_bucket=BUCKET)
    server.start()
    endpoint = 'http://{}:{}'.format(*server._api._httpd.server_address)
    told = {
        'STORAGE_EMULATOR_HOST': endpoint,
        # Else the driver asks another service for the bucket's kind, which the emulator does not have.
        'GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT': 'false',
        'XDG_CACHE_HOME': str(cache),
    }
    with mock.patch.dict(os.environ, told):
        kind = fsspec.get_filesystem_class('gs')
        kind.clear_instance_cache()
        try:
            yield Store(
                'gs', fsspec.filesystem('gs', use_listings_cache=False), cache, endpoint, server
            )
        finally:
            kind.clear_instance_cache()
            server.stop()


@contextlib.contextmanager
def in_memory() -> Iterator[Any]:
    """An empty file system in memory (`memory://`)."""
    files = fsspec.filesystem('memory')

    def clear():
        files.store.clear()
        files.pseudo_dirs[:] = ['']

    clear()
    try:
        yield files
    finally:
        clear()
