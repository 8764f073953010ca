"""Files as blocks of memory: only regular ones, of bounded size, mapped instead of read."""

import mmap
import pathlib
from typing import BinaryIO

from fr_inference import errors
from fr_inference.formats import bounds


def size_of(path: pathlib.Path, expected: str) -> int:
    """Returns the size in bytes of a regular file of at most `bounds.MAX_FILE_BYTES`.

    Opening a pipe would wait for its writer without end, so this comes first.

    Args:
      path: the file.
      expected: what it should have been, for the error.

    Raises:
      InputError: for a folder, a pipe, a device, an empty or a too large file, or none.
      OSError: where the system does not tell.
    """
    if path.is_dir():
        raise errors.InputError(str(path), 'a directory', expected)
    if not path.exists():
        raise errors.InputError(str(path), 'no such file', expected)
    if not path.is_file():
        raise errors.InputError(str(path), 'not a regular file', expected)
    size = path.stat().st_size
    if not 0 < size <= bounds.MAX_FILE_BYTES:
        found = f'{size} bytes' if size else 'an empty file'
        raise errors.InputError(str(path), found, f'{expected} of at most 8 GiB')
    return size


def mapped(file: BinaryIO) -> memoryview:
    """Returns the bytes of an open file, memory-mapped."""
    return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
