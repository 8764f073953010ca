"""Rows of numbers that were computed before, in one SQLite file for each way of computing them.

A row is found by its key (the digest of an image, the number of a draw), whatever order keys come in.
A checksum over key and row stands beside each: a damaged row counts as absent. A damaged file is moved
aside and begun anew, because everything in it can be computed again. Several processes may use one file:
each transaction is short, SQLite lets one write at a time, and a kill loses the transaction under way.
The rollback journal is used rather than the write-ahead log, which needs memory that processes share
and so does not work on network file systems.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import pathlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from fr_inference import files

_LOG = logging.getLogger(__name__)
_CHUNK = 500  # keys in one query; older versions of SQLite allow 999 variables
_PAGE_BYTES = 16384  # several rows a page
_WAIT_SECONDS = 60.0  # for another process's transaction
# SQLite's errors that say nothing of what the file holds; any other means that it is damaged.
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
# A damaged name in an error's text cannot even be decoded.
_FAILURES = (sqlite3.Error, UnicodeDecodeError)
Result = TypeVar('Result')


class RowCache:
    """The rows of one way of computing them; nothing is opened before the first call."""

    def __init__(self, folder: str | os.PathLike, described: Mapping[str, Any], width: int):
        """Names the file.

        Args:
          folder: of all ways.
          described: this one: everything that a row depends on besides its key, as JSON can hold it.
          width: numbers in a row.
        """
        self._described = json.dumps({**described, 'width': width}, indent=1, sort_keys=True)
        name = hashlib.sha256(self._described.encode()).hexdigest()[:16]
        self.path = pathlib.Path(folder) / f'{name}.sqlite'
        self.width = width

    def lookup(self, keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns which keys have a row, and the rows.

        Args:
          keys: N texts, '' for what has no key.

        Returns:
          ([N] bool, [K, width] float32 of those K).

        Raises:
          OSError: that names the file when it cannot be read.
        """
        mask, rows = np.zeros(len(keys), bool), np.zeros((len(keys), self.width), np.float32)
        if not self.path.exists():
            return mask, rows[:0]
        places: dict[str, list[int]] = {}
        for position, key in enumerate(keys):
            if key:
                places.setdefault(key, []).append(position)
        wanted = sorted(places)  # neighbours in the index

        def read(database):
            for start in range(0, len(wanted), _CHUNK):
                chunk = wanted[start : start + _CHUNK]
                marks = ','.join('?' * len(chunk))
                query = f'SELECT key, row, checksum FROM rows WHERE key IN ({marks})'
                for key, row, checksum in database.execute(query, chunk):
                    whole = key in places and isinstance(row, bytes) and len(row) == 4 * self.width
                    if whole and checksum == _checksum(key, row):
                        rows[places[key]] = np.frombuffer(row, '<f4')
                        mask[places[key]] = True

        self._use(read)
        return mask, rows if mask.all() else rows[mask]

    def append(self, keys: Sequence[str], rows: np.ndarray) -> None:
        """Keeps rows that are finite and have a key; leaves out all others.

        Args:
          keys: n texts, '' for what has no key.
          rows: [n, width] float32.

        Raises:
          OSError: that names the file when it cannot be written.
        """
        finite = np.isfinite(rows).all(-1)
        kept = np.asarray(rows, '<f4')
        entries = []
        for key, row, fine in zip(keys, kept, finite.tolist(), strict=True):
            if key and fine:
                data = row.tobytes()
                entries.append((key, data, _checksum(key, data)))
        if entries:
            # A row that is there already is damaged, or the same from another process.
            query = 'INSERT OR REPLACE INTO rows (key, row, checksum) VALUES (?, ?, ?)'
            self._use(lambda database: database.executemany(query, entries))

    def _use(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Returns what `work` does in one transaction; where the file is damaged, with a fresh one."""
        try:
            with self._opened() as database:
                return work(database)
        except _FAILURES as error:
            if _code(error) in _CODES:
                raise self._told(error) from error
        aside = self.path.with_suffix('.damaged')
        _LOG.warning('%s: damaged; moved to %s, its rows are computed again', self.path, aside.name)
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
                    database.execute('BEGIN IMMEDIATE')  # another process may make them meanwhile
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
        """Returns the error as one of the file, which programs tell in one line."""
        code = _CODES.get(_code(error), errno.EIO)
        return OSError(code, f'{os.strerror(code)} ({error})', str(self.path))


def _code(error):
    """Returns SQLite's primary error code, None for an error of the Python module."""
    extended = getattr(error, 'sqlite_errorcode', None)
    return None if extended is None else extended & 0xFF


def _checksum(key: str, row: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b'\0' + row).digest()[:8]
