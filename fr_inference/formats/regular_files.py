"""Files as blocks of memory: regular files of bounded size, mapped instead of read."""

import mmap
import pathlib
from typing import BinaryIO

from fr_inference import errors
from fr_inference.formats import bounds


def size_of(path: pathlib.Path, expected: str) -> int:
    """Returns the size in bytes of a regular file of at most `bounds.MAX_FILE_BYTES`.

    Call this before opening the file: opening a pipe could wait for its writer forever.

    Args:
      path: the file.
      expected: what it should have been, for the error.

    Raises:
      InputError: for a missing, empty or too large file, a folder, a pipe or a device.
      OSError: if the system cannot tell the size.
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
