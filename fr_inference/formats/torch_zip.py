"""PyTorch's zip archive: one pickle, and a stored entry for each block of numbers.

Source: the layout of `torch.serialization`.
"""

import struct
import zipfile
from typing import BinaryIO

from fr_inference import errors
from fr_inference.formats import bounds, unpickler
from fr_inference.formats.named_tensors import StateDict, state_dict
from fr_inference.formats.opcodes import Stream
from fr_inference.formats.pickled import Storage
from fr_inference.formats.regular_files import mapped

_CHUNK = 1 << 20
_NO_CODE = 'save the state_dict() instead'


def read(file: BinaryIO, size: int, source: str, nested: bool) -> StateDict:
    """Reads an archive.

    Args:
      file: open, a regular file.
      size: its length in bytes.
      source: the file, as errors call it.
      nested: as in `state_dicts.read_tensors`.

    Raises:
      InputError: for an archive that is damaged, compressed, or no PyTorch checkpoint.
    """
    bounded = _BoundedFile(file)
    try:
        with zipfile.ZipFile(bounded) as archive:
            bounded.most = size
            return _read_archive(archive, mapped(file), source, nested)
    except errors.InputError:
        raise
    except (
        *(zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError),
        *(struct.error, EOFError, ValueError, OverflowError, OSError),
    ) as error:
        raise errors.InputError(
            source, f'a damaged archive ({bounds.brief(error)})', hint='copy or download it again'
        ) from error


class _BoundedFile:
    """A file that gives out no more than `most` bytes at a time.

    Python reads an archive's table of contents in one piece, as long as either of two headers says.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self.most = bounds.MAX_TABLE_BYTES
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int = -1) -> bytes:
        """Reads as a file does."""
        if count > self.most:
            raise ValueError(f'a table of contents of {count} bytes')
        return self._file.read(self.most if count < 0 else count)

    def seekable(self) -> bool:
        """As a file."""
        return True


def _read_archive(archive, content, source, nested):
    entries = {entry.filename: entry for entry in archive.infolist()}
    _check_entries(archive, entries, len(content), source)
    root = _root(entries, source)
    order = entries.get(f'{root}byteorder')
    if order is not None and archive.read(order) != b'little':
        raise errors.InputError(source, 'big-endian numbers', 'little-endian ones')
    pickled = entries[f'{root}data.pkl']
    if pickled.file_size > bounds.MAX_PICKLE_BYTES:
        raise errors.InputError(source, f'a pickle of {pickled.file_size} bytes', '16 MiB at most')
    stream = Stream(archive.read(pickled))
    value = unpickler.loads(stream, source)
    read: dict[str, memoryview] = {}

    def data(storage: Storage) -> memoryview:
        if storage.key not in read:
            name = f'{root}data/{storage.key}'
            if name not in entries:
                raise errors.InputError(source, f'no entry {name[:80]!r}', 'all its numbers')
            read[storage.key] = _content(archive, entries[name], content)
        return read[storage.key]

    return state_dict(value, data, stream.allowance, source, nested)


def _check_entries(archive, entries, size, source):
    bounds.check_count(len(archive.infolist()), source)
    if len(entries) != len(archive.infolist()):
        raise errors.InputError(source, 'entries of one name', 'each name once')
    for name, entry in entries.items():
        parts = name.replace('\\', '/').split('/')
        if name.startswith('/') or '..' in parts:
            raise errors.InputError(
                source,
                f'an entry called {name[:80]!r}, which climbs out',
                'names below the archive',
            )
        stored = entry.compress_type == zipfile.ZIP_STORED
        if not stored or not entry.compress_size == entry.file_size <= size:
            raise errors.InputError(
                source,
                f'a compressed entry {name[:80]!r} ({entry.file_size} bytes unpacked)',
                'stored entries, as PyTorch writes them',
            )
    if sum(entry.file_size for entry in entries.values()) > size:
        raise errors.InputError(source, 'entries that overlap', 'each byte in one entry')


def _root(entries, source):
    """Returns the folder inside the archive that holds the pickle."""
    if any(name.endswith('constants.pkl') for name in entries):
        raise errors.InputError(source, 'a TorchScript archive, which holds code', hint=_NO_CODE)
    pickles = [name for name in entries if name.rsplit('/', 1)[-1] == 'data.pkl']
    if len(pickles) != 1:
        raise errors.InputError(
            source,
            f'an archive with {len(pickles)} entries called data.pkl',
            'a PyTorch checkpoint',
        )
    return pickles[0].removesuffix('data.pkl')


def _content(archive, entry, content):
    """Returns an entry's bytes once they agree with their checksum."""
    with archive.open(entry) as stream:  # compares the local header with the table
        while stream.read(_CHUNK):
            pass
    lengths = struct.unpack_from('<2H', content, entry.header_offset + 26)
    start = entry.header_offset + 30 + sum(lengths)
    return content[start : start + entry.file_size]
