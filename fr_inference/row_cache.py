"""A cache of computed rows of numbers, with one SQLite file for each way of computing them.

A row is found by its key (the digest of an image, the number of a draw), in any order. Each row has
a checksum over key and row; a damaged row counts as absent. A damaged file is moved aside and
replaced by an empty one, because everything in it can be computed again. Several processes may use
one file: transactions are short, SQLite admits one writer at a time, and a kill loses only the
current transaction. The rollback journal is used instead of the write-ahead log, which needs shared
memory and so does not work on network file systems.
"""

import contextlib
import copy
import errno
import hashlib
import json
import logging
import os
import pathlib
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from fr_inference import addresses, errors, files, local_copies, mirrored

_LOG = logging.getLogger(__name__)
_CHUNK = 500  # keys in one query; older versions of SQLite allow 999 variables
_PAGE_BYTES = 16384  # several rows per page
_LEAST_SECONDS = 20.0  # seconds between two uploads
_MOST_PART_BYTES = 1 << 30
_PARTS = 'CREATE TABLE IF NOT EXISTS parts (name TEXT PRIMARY KEY)'
_WAIT_SECONDS = 60.0  # seconds to wait for another process's transaction
# SQLite's errors that are not about the file's content; any other error means that it is damaged.
_CODES = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_LOCKED: errno.EBUSY,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
    sqlite3.SQLITE_IOERR: errno.EIO,
}
# The text of an error may contain a damaged name that cannot be decoded.
_FAILURES = (sqlite3.Error, UnicodeDecodeError)
Result = TypeVar('Result')


class RowCache:
    """The rows of one way of computing them; nothing is opened before the first call."""

    def __init__(self, folder: str | os.PathLike, described: Mapping[str, Any], width: int):
        """Names the file.

        Args:
          folder: the folder of all caches, or its address (`_Parts`).
          described: everything that a row depends on besides its key, JSON-compatible.
          width: numbers in a row.
        """
        self._described = json.dumps({**described, 'width': width}, indent=1, sort_keys=True)
        name = hashlib.sha256(self._described.encode()).hexdigest()[:16]
        self._parts: _Parts | None = None
        address = folder if addresses.is_address(folder) else mirrored.address_of(folder)
        if address is not None:
            address = addresses.joined(str(address), name)
            folder = local_copies.place(address, 'scores', 'scores')
            self._parts = _Parts(address)
        self.path = pathlib.Path(folder) / f'{name}.sqlite'
        self.width = width

    def lookup(self, keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns which keys have a row, and the rows.

        Args:
          keys: N texts, '' for what has no key.

        Returns:
          ([N] bool, [K, width] float32 of those K).

        Raises:
          OSError: names the file, when it cannot be read.
        """
        if self._parts is not None:
            self._parts.fetch(self)
        mask, rows = np.zeros(len(keys), bool), np.zeros((len(keys), self.width), np.float32)
        if not self.path.exists():
            return mask, rows[:0]
        places: dict[str, list[int]] = {}
        for position, key in enumerate(keys):
            if key:
                places.setdefault(key, []).append(position)
        wanted = sorted(places)  # sorted, so that neighbours in the index are read together

        def read(database):
            for start in range(0, len(wanted), _CHUNK):
                chunk = wanted[start : start + _CHUNK]
                marks = ','.join('?' * len(chunk))
                query = f'SELECT key, row, checksum FROM rows WHERE key IN ({marks})'
                for key, row, checksum in database.execute(query, chunk):
                    if key in places and self._is_whole(key, row, checksum):
                        rows[places[key]] = np.frombuffer(row, '<f4')
                        mask[places[key]] = True

        self._use(read)
        return mask, rows if mask.all() else rows[mask]

    def append(self, keys: Sequence[str], rows: np.ndarray) -> None:
        """Stores the rows that are finite and have a key; ignores all others.

        Args:
          keys: n texts, '' for what has no key.
          rows: [n, width] float32.

        Raises:
          OSError: names the file, when it cannot be written.
        """
        finite = np.isfinite(rows).all(-1)
        kept = np.asarray(rows, '<f4')
        entries = []
        for key, row, fine in zip(keys, kept, finite.tolist(), strict=True):
            if key and fine:
                data = row.tobytes()
                entries.append((key, data, _checksum(key, data)))
        self._insert(entries)
        if self._parts is not None:
            self._parts.add(self, entries)

    def flush(self) -> None:
        """Uploads the last rows to the address, if there is one; logs if it does not answer."""
        if self._parts is not None:
            self._parts.flush(self)

    def _insert(self, entries):
        if entries:
            # An existing row is damaged, or was written by another process and is the same.
            query = 'INSERT OR REPLACE INTO rows (key, row, checksum) VALUES (?, ?, ?)'
            self._use(lambda database: database.executemany(query, entries))

    def _is_whole(self, key, row, checksum):
        whole = isinstance(key, str) and isinstance(row, bytes) and len(row) == 4 * self.width
        return whole and checksum == _checksum(key, row)

    def _use(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Returns the result of `work`, in one transaction; replaces a damaged file by a new one."""
        try:
            with self._opened() as database:
                return work(database)
        except _FAILURES as error:
            if _code(error) in _CODES:
                raise self._told(error) from error
        aside = self.path.with_suffix('.damaged')
        _LOG.warning(
            '%s: damaged; moved to %s; its rows will be computed again', self.path, aside.name
        )
        with contextlib.suppress(FileNotFoundError):  # another process was first
            files.move(self.path, aside)
        self.path.with_name(self.path.name + '-journal').unlink(missing_ok=True)
        try:
            with self._opened() as database:
                return work(database)
        except _FAILURES as error:
            raise self._told(error) from error

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self.path, timeout=_WAIT_SECONDS)
        try:
            database.execute(f'PRAGMA page_size = {_PAGE_BYTES}')
            with database:
                if not database.execute(
                    "SELECT 1 FROM sqlite_master WHERE name = 'rows'"
                ).fetchone():
                    # Another process may create them in the meantime
                    database.execute('BEGIN IMMEDIATE')
                    database.execute('CREATE TABLE IF NOT EXISTS described (as_json TEXT)')
                    database.execute('INSERT INTO described VALUES (?)', (self._described,))
                    database.execute(
                        'CREATE TABLE IF NOT EXISTS rows '
                        '(key TEXT PRIMARY KEY, row BLOB NOT NULL, checksum BLOB NOT NULL)'
                    )
                yield database
        finally:
            database.close()

    def _told(self, error: Exception) -> OSError:
        """Returns the error as an OSError of the file, which programs show in one line."""
        code = _CODES.get(_code(error), errno.EIO)
        return OSError(code, f'{os.strerror(code)} ({error})', str(self.path))


class _Parts:
    """Rows at an address: each machine adds its own objects, which are never changed.

    So any number of audits can share an address at the same time. An object is a file of rows,
    named by its digest. The objects that this machine has seen are recorded in its own file of
    rows, so that both are lost together.
    """

    def __init__(self, address):
        self._address = address
        self._pending: list[tuple[str, bytes, bytes]] = []
        self._next = 0.0

    def fetch(self, cache):
        """Adds the rows of all objects that were not seen yet; a damaged object counts as empty."""
        there = addresses.below(self._address, 'scores')

        def seen(database):
            database.execute(_PARTS)
            return {name for (name,) in database.execute('SELECT name FROM parts')}

        new = sorted(there.keys() - cache._use(seen))
        for name in new:
            if there[name].size > _MOST_PART_BYTES:
                _LOG.warning('%s/%s: %d bytes, ignored', self._address, name, there[name].size)
                continue
            with tempfile.TemporaryDirectory(dir=cache.path.parent) as folder:
                part = copy.copy(cache)
                part._parts, part.path = None, pathlib.Path(folder) / 'part.sqlite'
                where = addresses.joined(self._address, name)
                addresses.download(where, there[name], part.path, 'scores')
                found = part._use(
                    lambda database: database.execute(
                        'SELECT key, row, checksum FROM rows'
                    ).fetchall()
                )
            cache._insert([entry for entry in found if cache._is_whole(*entry)])
            self._note(cache, name)

    def add(self, cache, entries):
        """Collects rows until it is time to upload them."""
        self._pending += entries
        if time.monotonic() >= self._next:
            self.flush(cache)

    def flush(self, cache):
        """Uploads the collected rows."""
        if not self._pending:
            return
        began = time.monotonic()
        with tempfile.TemporaryDirectory(dir=cache.path.parent) as folder:
            part = copy.copy(cache)
            part._parts, part.path = None, pathlib.Path(folder) / 'part.sqlite'
            part._insert(self._pending)
            name = f'{files.sha256(part.path)[:32]}.sqlite'
            try:
                addresses.upload(part.path, addresses.joined(self._address, name), 'scores')
            except errors.InputError as error:
                _LOG.warning('%s; rows are not uploaded yet, continuing', error)
            else:
                self._pending = []
                self._note(cache, name)
        ended = time.monotonic()
        self._next = ended + max(_LEAST_SECONDS, 10 * (ended - began))

    def _note(self, cache, name):
        def noted(database):
            database.execute(_PARTS)
            database.execute('INSERT OR IGNORE INTO parts VALUES (?)', (name,))

        cache._use(noted)


def _code(error):
    """Returns SQLite's primary error code, None for an error of the Python module."""
    extended = getattr(error, 'sqlite_errorcode', None)
    return None if extended is None else extended & 0xFF


def _checksum(key: str, row: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b'\0' + row).digest()[:8]
