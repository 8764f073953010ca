"""A folder of results at an address: a run works in a local folder that is uploaded to it.

At the start, the local folder is made equal to the one at the address, so that another machine can
continue a run. After each saved state, and at the end, changed files are uploaded. The list of
complete files is uploaded last, and only then are files removed that it no longer lists: a machine
that dies at any moment leaves the state of the previous upload intact. Rows (`row_cache`) are
uploaded separately.

Only process 0 uses this module.
"""

import contextlib
import json
import logging
import os
import pathlib
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any

from fr_inference import addresses, claims, errors, files, local_copies

_LOG = logging.getLogger(__name__)
LIST = '.files.json'
_OWN = (LIST, claims.NAME)
_ROWS = '.sqlite'
_TEMPORARY = 'orbax-checkpoint-tmp'
_LEAST_SECONDS = 20.0  # seconds between two uploads
_SHARE = 10  # the work continues for this many times the duration of an upload before the next one
_MOST_LIST_BYTES = 64 << 20
_MOST_FILES = 1_000_000

_OPEN: dict[str, 'Mirror'] = {}


class Mirror:
    """A folder at an address, claimed by this process.

    Attributes:
      address: of the folder.
      folder: on this machine.
    """

    def __init__(self, address: str, field: str):
        """Claims the address and fetches what is there.

        Raises:
          InputError: of `field`, when another run writes there, or the store cannot be asked.
        """
        self.address, self._field = address, field
        base = local_copies.place(address, field, 'runs')
        self.folder = base / 'files' / (addresses.name(address) or 'root')
        self._record = base / 'uploaded.json'
        errors.call(str(self.folder), address)
        self._lock = threading.Lock()
        self._next = 0.0
        self._claim = claims.Claim(address, field)
        try:
            self._fetch()
        except BaseException:
            self._claim.release()
            raise

    def push(self, *, due: bool = False) -> None:
        """Uploads what changed.

        Args:
          due: only if the last upload was long enough ago. If the store then does not answer, the
            upload is retried later.

        Raises:
          InputError: when another run took over; unless `due`, when the store cannot be asked.
        """
        if due and time.monotonic() < self._next:
            return
        began = time.monotonic()
        with self._lock:
            try:
                self._claim.check()
                self._upload()
            except errors.InputError as error:
                if not due or self._claim.lost:
                    raise
                _LOG.warning('%s; not uploaded yet, continuing', error)
        ended = time.monotonic()
        self._next = ended + max(_LEAST_SECONDS, _SHARE * (ended - began))

    def close(self) -> None:
        """Uploads the rest and releases the claim.

        Raises:
          InputError: when that fails; everything is still in the folder on this machine.
        """
        try:
            self.push()
        except errors.InputError as error:
            hint = f'all results are in {self._record.parent}; run the same command again to upload them'
            raise errors.InputError(
                error.field, error.found, error.expected, hint, inside=error.inside
            ) from error
        finally:
            self._claim.release()

    def _fetch(self):
        there = addresses.below(self.address, self._field)
        missing: set[str] = set()
        kept, listed = _read_json(self._record), self._listed(there)
        names = [name for name in there if name not in _OWN and not _is_left_out(name)]
        if listed is not None:
            whole = set(listed['files'])
            for name in set(listed['unfinished']) - whole:
                if name in there:  # left by an upload that was killed
                    addresses.remove(addresses.joined(self.address, name), self._field)
            missing = whole - there.keys()
            names = [name for name in names if name in whole]
        serial = listed and listed['serial']
        if kept and serial in kept['serials'] and not missing and (names or serial):
            self._serial, self._held = serial, kept['files']
            return  # nobody else wrote: the local folder is at least as recent
        if kept is None or names or serial or kept['serials'] != [None]:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            with files.replacing(self.folder / name) as part:
                where = addresses.joined(self.address, name)
                addresses.download(where, there[name], part, self._field)
        self._serial, self._held = serial, self._local() if names else {}
        self._keep([serial])

    def _listed(self, there):
        """Returns the list of complete files, None if there is no list: then all files are complete."""
        if LIST not in there:
            return None
        where = addresses.joined(self.address, LIST)
        try:
            found = files.unsealed(json.loads(addresses.read(where, self._field, _MOST_LIST_BYTES)))
            if not (isinstance(found['files'], list) and isinstance(found['unfinished'], list)):
                raise ValueError('other entries')
            return {name: found[name] for name in ('serial', 'files', 'unfinished')}
        except (ValueError, KeyError, RecursionError) as error:
            if isinstance(error, errors.InputError):
                raise
            raise errors.InputError(
                self._field, f'a damaged list ({error})', hint='remove it', inside=where
            ) from error

    def _upload(self):
        local = self._local()
        changed = [name for name, state in local.items() if self._held.get(name) != state]
        removed = sorted(self._held.keys() - local.keys())
        if not changed and not removed:
            return
        if changed:
            self._write_list(self._serial, self._held, [*changed, *removed])
        # In the order in which they were written
        for name in sorted(changed, key=lambda name: local[name][1]):
            self._upload_one(name)
        serial = secrets.token_hex(8)
        self._keep([self._serial, serial])
        self._write_list(serial, local, removed)
        for name in removed:
            addresses.remove(addresses.joined(self.address, name), self._field)
        self._serial, self._held = serial, local
        self._keep([serial])

    def _upload_one(self, name):
        path = self.folder / name
        try:
            addresses.upload(path, addresses.joined(self.address, name), self._field)
        except errors.InputError:
            if path.exists():  # another thread may remove a file that is no longer needed
                raise

    def _write_list(self, serial, names, unfinished):
        record = {'serial': serial, 'files': sorted(names), 'unfinished': sorted(unfinished)}
        content = json.dumps(files.sealed(record)).encode()
        addresses.write(addresses.joined(self.address, LIST), content, self._field)

    def _keep(self, serials):
        """Records which uploads this folder has seen, and the files at the address."""
        record = {'serials': serials, 'files': self._held}
        files.write_text(self._record, json.dumps(files.sealed(record)))

    def _local(self) -> dict[str, list[int]]:
        """Returns the files of the folder: name -> [size, time of change]."""
        found = {}
        for above, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if not _is_left_out(name)]
            for name in names:
                path = pathlib.Path(above) / name
                with contextlib.suppress(FileNotFoundError):
                    state = path.stat()
                    if not _is_left_out(name):
                        relative = path.relative_to(self.folder).as_posix()
                        found[relative] = [state.st_size, state.st_mtime_ns]
        return found


def _is_left_out(name):
    """Whether a file is unfinished, or holds rows."""
    parts = name.split('/')
    return (
        any(files.is_unfinished(part) or _TEMPORARY in part for part in parts) or _ROWS in parts[-1]
    )


def _read_json(path) -> dict[str, Any] | None:
    try:
        return files.unsealed(json.loads(path.read_text(encoding='utf-8')))
    except (OSError, ValueError, RecursionError):
        return None


def folder_of(address: str, field: str) -> pathlib.Path:
    """Returns the local folder that stands for an address until `kept` ends.

    Raises:
      InputError: of `field`, when another run writes there, or the store cannot be asked.
    """
    address = address.rstrip('/')
    for mirror in _OPEN.values():
        if f'{address}/'.startswith(f'{mirror.address}/'):
            return mirror.folder / address[len(mirror.address) + 1 :]
    mirror = Mirror(address, field)
    _OPEN[str(mirror.folder)] = mirror
    return mirror.folder


def address_of(path: str | os.PathLike) -> str | None:
    """Returns the address that a local folder stands for, None for any other folder."""
    for folder, mirror in _OPEN.items():
        if os.fspath(path) == folder:
            return mirror.address
        if os.fspath(path).startswith(folder + os.sep):
            below = pathlib.Path(path).relative_to(folder).as_posix()
            return addresses.joined(mirror.address, below)
    return None


def push(path: str | os.PathLike) -> None:
    """Uploads the changes in a folder that stands for an address, unless that was done a moment ago.

    Raises:
      InputError: when another run took over.
    """
    for folder, mirror in _OPEN.items():
        if f'{os.fspath(path)}{os.sep}'.startswith(folder + os.sep):
            mirror.push(due=True)


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """A context that uploads all folders at its end, even after an error.

    Raises:
      InputError: when the upload fails and nothing else did.
    """
    try:
        yield
    except BaseException:
        try:
            _close()
        except errors.InputError as error:  # the error that ended the work takes priority
            _LOG.warning('%s', error)
        raise
    _close()


def _close():
    while _OPEN:
        _, mirror = _OPEN.popitem()
        mirror.close()
