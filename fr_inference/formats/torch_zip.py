"""Reads zip archives: PyTorch's (a pickle, and an entry for each block of numbers) and NumPy's `.npz`.

TorchScript's archives also hold code, which is ignored. Sources: the layouts of
`torch.serialization` and of `numpy.savez`.
"""

import struct
import zipfile
from typing import BinaryIO

from fr_inference import errors
from fr_inference.formats import bounds, kinds, numpy_arrays, unpickler
from fr_inference.formats.named_tensors import StateDict, state_dict
from fr_inference.formats.opcodes import Stream
from fr_inference.formats.pickled import Storage
from fr_inference.formats.regular_files import mapped

_CHUNK = 1 << 20
_END = b'PK\x05\x06'
_MAX_END = 22 + 0xFFFF  # the record at the end of an archive, with the longest comment
_WEIGHTS = ('.pt', '.pth', '.ckpt', '.bin', '.pkl', '.safetensors', '.onnx', '.h5', '.tflite')
_EXPORTED = (
    'models/model.json',
    'serialized_exported_program.json',
)  # since PyTorch 2.8, and before


def read(file: BinaryIO, size: int, source: str) -> StateDict:
    """Reads an archive.

    Args:
      file: open, a regular file.
      size: its length in bytes.
      source: the file, as errors call it.

    Raises:
      InputError: for an archive that is cut short or damaged, compressed, or holds no tensors.
    """
    content = mapped(file)
    if bytes(content[-_MAX_END:]).rfind(_END) < 0:
        raise errors.InputError(
            source,
            f'an archive cut short after {size} bytes: the table of contents at its end is missing',
            hint='copy or download it again',
        )
    bounded = _BoundedFile(file)
    try:
        with zipfile.ZipFile(bounded) as archive:
            bounded.most = size
            return _read_archive(archive, content, source)
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
    """A file of which at most `most` bytes can be read at a time.

    Python reads an archive's table of contents at once, and the file states its length.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self.most = bounds.MAX_TABLE_BYTES
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int = -1) -> bytes:
        """Returns the next `count` bytes, as a file does."""
        if count > self.most:
            raise ValueError(f'a table of contents of {count} bytes')
        return self._file.read(self.most if count < 0 else count)

    def seekable(self) -> bool:
        """Returns True, as a file does."""
        return True


def _read_archive(archive, content, source):
    entries = {entry.filename: entry for entry in archive.infolist()}
    _check_entries(archive, entries, len(content), source)
    if entries and all(name.endswith('.npy') for name in entries):
        return _read_arrays(archive, entries, content, source)
    root = _root(entries, source)
    order = entries.get(f'{root}byteorder')
    if order is not None and _content(archive, order, content, source) != b'little':
        raise errors.InputError(source, 'big-endian numbers', 'little-endian ones')
    stream = Stream(_content(archive, entries[f'{root}data.pkl'], content, source))
    value = unpickler.loads(stream, source)
    read: dict[str, memoryview] = {}

    def data(storage: Storage) -> memoryview:
        if storage.key not in read:
            name = f'{root}data/{storage.key}'
            if name not in entries:
                raise errors.InputError(
                    source, f'no entry {name[:80]!r}', 'an entry for each block of numbers'
                )
            read[storage.key] = _content(archive, entries[name], content, source)
        return read[storage.key]

    try:
        return state_dict(value, data, stream.allowance, source)
    except errors.InputError as error:
        if f'{root}constants.pkl' in entries and str(error.found).startswith('no named tensors'):
            raise errors.InputError(
                source,
                'a TorchScript archive whose weights have no names, because they are constants of '
                'its code',
                'one that is not frozen',
                'export it to ONNX, or save the state_dict() of the original network',
            ) from error
        raise


def _read_arrays(archive, entries, content, source):
    arrays = {}
    bounds.check_names(entries, source)
    for name, entry in entries.items():
        try:
            numbers = numpy_arrays.npy(_content(archive, entry, content, source))
        except errors.InputError:
            raise
        except ValueError as error:
            raise errors.InputError(source, bounds.brief(error), inside=name[:80]) from error
        arrays[name.removesuffix('.npy')] = numbers
    return StateDict(arrays)


def _check_entries(archive, entries, size, source):
    bounds.check_count(len(archive.infolist()), source)
    if len(entries) != len(archive.infolist()):
        raise errors.InputError(source, 'entries with the same name', 'each name once')
    for name in entries:
        parts = name.replace('\\', '/').split('/')
        if name.startswith('/') or '..' in parts:
            raise errors.InputError(
                source,
                f'an entry called {name[:80]!r}, which points outside the archive',
                'names inside the archive',
            )
    if sum(entry.compress_size for entry in entries.values()) > size:
        raise errors.InputError(source, 'entries that overlap', 'each byte in one entry')


def _root(entries, source):
    """Returns the folder inside the archive that holds the pickle."""
    pickles = [name for name in entries if name.rsplit('/', 1)[-1] == 'data.pkl']
    if len(pickles) == 1:
        return pickles[0].removesuffix('data.pkl')
    if any(name.endswith('model.weights.h5') for name in entries):
        raise errors.InputError(source, 'a Keras network', 'a PyTorch checkpoint', kinds.KERAS)
    if any(name.endswith(_EXPORTED) for name in entries):
        raise errors.InputError(
            source, 'a program of torch.export', 'a PyTorch checkpoint', kinds.EXPORTED
        )
    inside = [name for name in entries if name.lower().endswith(_WEIGHTS) and not pickles]
    raise errors.InputError(
        source,
        f'an archive that holds {inside[0][:80]!r}'
        if inside
        else f'an archive with {len(pickles)} entries called data.pkl',
        'a PyTorch checkpoint',
        'unpack it and name the file inside' if inside else None,
    )


def _content(archive, entry, content, source):
    """Returns an entry's bytes after checking them against their checksum."""
    stored = entry.compress_type == zipfile.ZIP_STORED
    if not stored or entry.compress_size != entry.file_size:
        raise errors.InputError(
            source,
            f'a compressed entry {entry.filename[:80]!r} ({entry.file_size} bytes unpacked)',
            'stored entries, as PyTorch and numpy.savez write them',
        )
    with archive.open(entry) as stream:  # compares the local header with the table
        while stream.read(_CHUNK):
            pass
    lengths = struct.unpack_from('<2H', content, entry.header_offset + 26)
    start = entry.header_offset + 30 + sum(lengths)
    return content[start : start + entry.file_size]
