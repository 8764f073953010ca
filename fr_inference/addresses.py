"""Objects of a store, named by an address (`gs://bucket/faces`): the only module that knows fsspec.

An address is `scheme://` and a path, with any scheme for which fsspec has a driver. Drivers are
installed separately: `pip install fr_inference[cloud]` brings those of Google Cloud Storage and S3. A
driver finds credentials and endpoint in the environment, and retries after transient errors.
"""

import contextlib
import dataclasses
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fr_inference import errors

_ADDRESS = re.compile(r'[A-Za-z][A-Za-z0-9+.-]+://[^:]*')  # a Windows drive has one letter
_EXTRA = 'pip install "fr_inference[cloud]"'
# The fields that tell versions of an object apart; the first that a store has is used.
_VERSIONS = ('generation', 'ETag', 'etag', 'md5Hash', 'mtime', 'LastModified', 'updated', 'created')
_PIECE = 4 << 20  # largest size of an object that is read together with others
_BLOCK = 16 << 20  # part of a large object; several parts are read at the same time
_BLOCKS = 4
_DENIED = re.compile(
    r'\b40[13]\b|forbidden|access ?denied|credential|not authorized', re.IGNORECASE
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """An object as it is listed by a store.

    Attributes:
      size: bytes.
      stamp: changes with the content; '' if the store has no versions.
    """

    size: int
    stamp: str


def is_address(source: object) -> bool:
    """Returns whether a text is an address.

    >>> [is_address(one) for one in ('gs://b/faces', 'faces', 'C://faces', 'tfds:lfw:train')]
    [True, False, False, False]
    """
    return isinstance(source, str) and _ADDRESS.fullmatch(source) is not None


def joined(address: str, name: str) -> str:
    """Returns the address of `name` below another address; `name` may be an address itself.

    >>> joined('gs://b/faces/', 'ann/1.jpg'), joined('memory://', '1.jpg')
    ('gs://b/faces/ann/1.jpg', 'memory://1.jpg')
    """
    if is_address(name):
        return name
    return address + name if address.endswith('://') else f'{address.rstrip("/")}/{name}'


def parent(address: str) -> str:
    """Returns the address of the folder that an object is in.

    >>> parent('gs://b/faces/list.csv'), parent('memory://1.jpg')
    ('gs://b/faces', 'memory://')
    """
    scheme, _, path = address.partition('://')
    return f'{scheme}://{path.rstrip("/").rpartition("/")[0]}'


def name(address: str) -> str:
    """Returns the last part of an address.

    >>> name('gs://b/faces/list.csv')
    'list.csv'
    """
    return address.partition('://')[2].rstrip('/').rpartition('/')[2]


def suffix(address: str) -> str:
    """Returns the suffix of the last part, lower case.

    >>> suffix('gs://b/faces.d/list.CSV')
    '.csv'
    """
    return posixpath.splitext(name(address))[1].lower()


def find(address: str, field: str) -> Entry | None:
    """Returns the entry of the object at an address, None for a folder or if nothing is there.

    Raises:
      InputError: of `field`, when the store cannot be asked.
    """
    files, path = _opened(address, field)
    with _asking(address, field):
        try:
            info = files.info(path)
        except FileNotFoundError:
            return None
    return _entry(info) if info['type'] == 'file' else None


def exists(address: str, field: str) -> bool:
    """Returns whether an object or a folder is at an address.

    Raises:
      InputError: of `field`, when the store cannot be asked.
    """
    files, path = _opened(address, field)
    with _asking(address, field):
        return files.exists(path)


def below(address: str, field: str) -> dict[str, Entry]:
    """Returns the objects below an address: name relative to it -> entry, sorted; {} for none.

    Names that would leave a folder that they are copied to are left out.

    Raises:
      InputError: of `field`, when the store cannot be asked.
    """
    files, path = _opened(address.rstrip('/'), field)
    with _asking(address, field):
        try:
            found = files.find(path, detail=True)
        except FileNotFoundError:  # the bucket may exist or not: it holds nothing
            return {}
    start = len(path.rstrip('/')) + 1
    entries = {}
    for full, info in found.items():
        relative = full[start:]
        if info.get('type') == 'file' and full.startswith(path.rstrip('/')) and _is_plain(relative):
            entries[relative] = _entry(info)
    return dict(sorted(entries.items()))


def _is_plain(relative):
    parts = relative.split('/')
    return not any(part in ('', '.', '..') or '\0' in part or '\\' in part for part in parts)


def _entry(info: Mapping[str, Any]) -> Entry:
    version = next((info[key] for key in _VERSIONS if info.get(key)), '')
    stamp = getattr(version, 'timestamp', lambda: version)()
    return Entry(size=int(info.get('size') or 0), stamp=str(stamp).strip('"'))


def read(address: str, field: str, most: int) -> bytes:
    """Returns an object of at most `most` bytes.

    Raises:
      InputError: of `field`, when it is longer or absent, or cannot be read.
    """
    (found,) = read_some([address], field, most)
    if isinstance(found, FileNotFoundError):
        raise _told(found, address, field) from found
    if len(found) > most:
        raise errors.InputError(field, f'more than {most} bytes', f'{most} at most', inside=address)
    return found


def read_some(addresses: Sequence[str], field: str, most: int) -> list[bytes | FileNotFoundError]:
    """Returns the contents of several objects of one store, which are read concurrently.

    For an object longer than `most` bytes, the first `most` + 1 bytes are returned; for an absent
    one, the error.

    Raises:
      InputError: of `field`, when the store cannot be asked or refuses.
    """
    if not addresses:
        return []
    files, _ = _opened(addresses[0], field)
    paths = [files._strip_protocol(address) for address in addresses]
    piece = min(most + 1, _PIECE)
    with _asking(addresses[0], field):
        found = files.cat_ranges(paths, [0] * len(paths), [piece] * len(paths), on_error='return')
    for place, address in enumerate(addresses):
        if isinstance(found[place], Exception):
            found[place] = _absent_or_empty(found[place], address, field)
        elif len(found[place]) == piece <= most:  # a long one, alone
            with _asking(address, field):
                found[place] += files.cat_file(paths[place], start=piece, end=most + 1)
    return found


def _absent_or_empty(error, address, field):
    if isinstance(error, FileNotFoundError):
        return error
    # An empty object has no first byte.
    if re.search(r'\b416\b|not satisfiable', f'{getattr(error, "code", "")} {error}'):
        return b''
    raise _told(error, address, field) from error


def download(address: str, entry: Entry, path: str | os.PathLike, field: str) -> None:
    """Copies an object to a file, or the part of it that the file does not have yet.

    Args:
      address: the address of the object.
      entry: the version that is wanted.
      path: the file, which is empty or holds the beginning of that version.
      field: the field of errors.

    Raises:
      InputError: of `field`, when the store cannot be asked, or the object changes meanwhile.
      OSError: when the file cannot be written.
    """
    files, remote = _opened(address, field)
    with open(path, 'ab') as file:
        done = file.tell()
        while done < entry.size:
            starts = range(done, min(entry.size, done + _BLOCKS * _BLOCK), _BLOCK)
            ends = [min(entry.size, start + _BLOCK) for start in starts]
            with _asking(address, field):
                parts = files.cat_ranges([remote] * len(ends), list(starts), ends, on_error='raise')
            for part in parts:
                file.write(part)
            done += sum(map(len, parts))
            if done != ends[-1]:
                break
    if find(address, field) != entry or done != entry.size:
        os.unlink(path)
        raise errors.InputError(
            field, f'{address}, which changed while it was read', hint='try again'
        )


def write(address: str, content: bytes, field: str, *, new: bool = False) -> bool:
    """Writes a small object.

    Args:
      address: the address of the object.
      content: its bytes.
      field: the field of errors.
      new: only if there is no such object. S3, Google Cloud Storage and fsspec's memory check that
        atomically; for other stores it is checked beforehand.

    Returns:
      Whether it was written.

    Raises:
      InputError: of `field`, when the store cannot be asked or refuses.
    """
    files, path = _opened(address, field)
    with _asking(address, field):
        if not new:
            files.pipe_file(path, content)
            return True
        if files.exists(path):
            return False
        try:
            files.pipe_file(path, content, mode='create')
        except FileExistsError:
            return False
        return True


def upload(path: str | os.PathLike, address: str, field: str) -> None:
    """Copies a file to an address; a reader sees the earlier object or the new one.

    Raises:
      InputError: of `field`, when the store cannot be asked or refuses.
    """
    files, remote = _opened(address, field)
    with _asking(address, field):
        files.put_file(os.fspath(path), remote)


def remove(address: str, field: str) -> None:
    """Removes an object if it is there.

    Raises:
      InputError: of `field`, when the store cannot be asked or refuses.
    """
    files, path = _opened(address, field)
    with _asking(address, field), contextlib.suppress(FileNotFoundError):
        files.rm_file(path)


def _opened(address: str, field: str) -> tuple[Any, str]:
    """Returns (the file system of an address, the path in that file system)."""
    with _asking(address, field):
        import fsspec

        # Another machine may write at the same time, so listings are not cached.
        files, path = fsspec.core.url_to_fs(address, use_listings_cache=False)
    return files, path


@contextlib.contextmanager
def _asking(address: str, field: str) -> Iterator[None]:
    """Turns errors of a store into one line."""
    try:
        yield
    except errors.InputError:
        raise
    except Exception as error:  # drivers raise the errors of their HTTP libraries
        raise _told(error, address, field) from error


def _told(error: BaseException, address: str, field: str) -> errors.InputError:
    said = ' '.join(str(error).split())[:200] or type(error).__name__
    shown = address[:200]
    scheme = address.partition('://')[0]
    if isinstance(error, FileNotFoundError):
        return errors.InputError(field, f'{shown!r}, which does not exist')
    if isinstance(error, ImportError):
        hint = _EXTRA if scheme in ('gs', 'gcs', 's3', 's3a') else 'install that package'
        found = f'{shown!r}, but its driver is missing ({said})'
        return errors.InputError(field, found, hint=hint)
    if isinstance(error, ValueError) and 'Protocol not known' in said:
        return errors.InputError(
            field, f'{shown!r}', 'gs://, s3:// or another scheme that fsspec has a driver for'
        )
    kind = type(error).__name__
    if isinstance(error, PermissionError) or _DENIED.search(f'{kind} {said}'):
        return errors.InputError(
            field,
            f'{shown!r}, but access was denied ({said})',
            hint=f'set the credentials for {scheme}:// where its driver looks for them',
        )
    return errors.InputError(
        field,
        f'{shown!r}, but its store does not respond properly ({kind}: {said})',
        hint='run the same command again later; it continues where it stopped',
    )
