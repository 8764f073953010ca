"""MXNet's RecordIO: records one after the other in a `.rec`, where each begins in an `.idx`.

A record is one part or several. A part is the number 0xCED7230A, a number whose upper three bits say
which part it is (0 the only one, 1 the first, 2 one between, 3 the last) and whose lower 29 bits its
length, then its bytes, up to a multiple of four. Between the parts of a record stood that first
number, which was taken out so that it begins parts only. An image's record begins with a header (flag
uint32, label float32, id and id2 uint64, little-endian); a flag n above 0 announces n float32 labels
behind it, in place of its own.

Source: the descriptions in dmlc-core's `recordio.h` and MXNet's `image_recordio.h`.
"""

import dataclasses
import os
import pathlib
import re
import stat
import struct
import threading
import weakref

import numpy as np

from fr_inference import errors

MAGIC = 0xCED7230A
MOST_BYTES = 64 << 20  # of one record: no face takes more
_MOST_LABELS = 1 << 16
_PART = struct.Struct('<II')
_HEADER = struct.Struct('<IfQQ')
_MAGIC_BYTES = struct.pack('<I', MAGIC)
_INDEX_ALPHABET = b'0123456789\t\n\r '
_ALONE, _FIRST, _MIDDLE, _LAST = range(4)


class RecordError(errors.InputError):
    """A record that can't be read; the message names the file, the record and the byte."""


@dataclasses.dataclass(frozen=True)
class Record:
    """One image's record.

    Attributes:
      labels: [L] float32, one at least.
      content: what follows the header: the image's file.
    """

    labels: np.ndarray
    content: memoryview


class RecordFile:
    """A `.rec` and its `.idx`, read by many threads at once; can be sent to other processes.

    Attributes:
      path: of the `.rec`.
      keys: [R] int64, the numbers of the records, ascending.
      offsets: [R] int64, the byte at which each begins.
    """

    def __init__(self, path: str | os.PathLike, flag: str):
        """Reads the index.

        Args:
          path: the `.rec`; the index lies beside it under the same name.
          flag: how errors call it.

        Raises:
          InputError: when either is missing or damaged, or they do not belong together.
        """
        self.path = str(path)
        self._flag = flag
        self._open()
        index = pathlib.Path(path).with_suffix('.idx')
        self.keys, self.offsets = _read_index(index, f'{flag}: {index}')
        # The smallest record has a part's head and no bytes.
        wrong = (self.offsets > self._size - _PART.size) | (self.offsets % 4 != 0)
        if wrong.any():
            first = int(np.argmax(wrong))
            raise errors.InputError(
                f'{flag}: {index}: record {self.keys[first]} is said to begin at byte '
                f'{self.offsets[first]}, expected a multiple of 4 within the {self._size} bytes of '
                f'{self.path}; the two do not belong together, or the .rec is truncated'
            )

    def _open(self):
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)  # which does not wait for a pipe
        except OSError as error:
            raise errors.InputError(
                f'{self._flag}: {self.path} can not be opened: {error.strerror}'
            ) from error
        weakref.finalize(self, os.close, file)
        self._lock = threading.Lock()
        self._file, found = file, os.fstat(file)
        self._size = found.st_size
        errors.require(stat.S_ISREG(found.st_mode), f'{self._flag}: {self.path} is no regular file')

    def __getstate__(self):
        return {name: getattr(self, name) for name in ('path', '_flag', 'keys', 'offsets')}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._open()

    def where(self, row: int) -> str:
        """Returns how errors call the record at `row`."""
        return f'{self.path} record {self.keys[row]} at byte {self.offsets[row]}'

    def header(self, row: int) -> tuple[np.ndarray, bool]:
        """Returns the labels of the record at `row`, and whether anything follows; reads no further.

        Raises:
          RecordError: when it is damaged.
        """
        offset = int(self.offsets[row])
        _, part, length, _ = self._part(row, offset, most=_HEADER.size)
        labels, stop = self._labels(part, row)
        return labels, length > stop

    def read(self, row: int) -> Record:
        """Returns the record at `row`.

        Raises:
          RecordError: when it is damaged.
        """
        offset, length = int(self.offsets[row]), 0
        parts: list[bytes] = []
        while True:
            kind, part, _, offset = self._part(row, offset)
            expected = (_MIDDLE, _LAST) if parts else (_ALONE, _FIRST)
            self._check(
                kind in expected,
                row,
                f'found part {kind} of a record where {" or ".join(map(str, expected))} is due',
            )
            parts.append(part)
            length += len(part)
            self._check(length <= MOST_BYTES, row, f'over {MOST_BYTES >> 20} MiB long')
            if kind in (_ALONE, _LAST):
                break
        whole = parts[0] if len(parts) == 1 else _MAGIC_BYTES.join(parts)
        labels, start = self._labels(whole, row)
        return Record(labels, memoryview(whole)[start:])

    def _part(self, row, offset, most=MOST_BYTES):
        """Returns (which part it is, at most so many of its bytes, its length, the offset behind it)."""
        head = self._bytes(_PART.size, offset)
        self._check(
            len(head) == _PART.size, row, f'the file ends at byte {self._size}, within the record'
        )
        magic, number = _PART.unpack(head)
        kind, length = number >> 29, number & 0x1FFFFFFF
        self._check(
            magic == MAGIC,
            row,
            f'found {magic:#010x} at byte {offset}, expected {MAGIC:#010x}, the beginning of a record; '
            'the .idx belongs to another file, or this one is damaged',
        )
        offset += _PART.size
        self._check(
            length <= self._size - offset,
            row,
            f'a length of {length} bytes at byte {offset - 4}, where the file has '
            f'{self._size - offset} more; it is truncated or damaged',
        )
        self._check(length <= MOST_BYTES, row, f'{length} bytes long, expected an image')
        part = self._bytes(min(length, most), offset)
        self._check(
            len(part) == min(length, most), row, 'the file became shorter while it was read'
        )
        return kind, part, length, offset + -(-length // 4) * 4

    def _bytes(self, count, offset):
        try:
            return os.pread(self._file, count, offset)
        except OSError as error:
            raise RecordError(f'{self.path}: byte {offset}: {error.strerror}') from error

    def _labels(self, content, row):
        self._check(len(content) >= _HEADER.size, row, f'{len(content)} bytes, fewer than a header')
        count, label, _, _ = _HEADER.unpack_from(content)
        if not count:
            return np.array([label], np.float32), _HEADER.size
        self._check(count <= _MOST_LABELS, row, f'its header announces {count} labels')
        if len(content) == _HEADER.size:  # the header alone was asked for
            start = int(self.offsets[row]) + _PART.size + _HEADER.size
            content += self._bytes(4 * count, start)
        stop = _HEADER.size + 4 * count
        self._check(
            len(content) >= stop, row, f'its header announces {count} labels, it holds fewer'
        )
        return np.frombuffer(content[_HEADER.size : stop], '<f4'), stop

    def _check(self, condition, row, message):
        if not condition:
            raise RecordError(f'{self.where(row)}: {message}')


def _read_index(path, where):
    """Returns ([R] keys, ascending, [R] offsets) from a line KEY, tab, OFFSET for each record."""
    try:
        errors.require(
            stat.S_ISREG(os.stat(path).st_mode), f'{where} is no regular file, expected an index'
        )
        text = path.read_bytes()
    except OSError as error:
        raise errors.InputError(
            f'{where} can not be read: {error.strerror}; expected the index of the .rec beside it'
        ) from error
    strange = text.translate(None, _INDEX_ALPHABET)
    errors.require(
        not strange, f'{where}: found {strange[:20]!r}, expected lines of two numbers (KEY, OFFSET)'
    )
    del strange
    errors.require(
        not re.search(rb'\d{19}', text), f'{where}: found a number of more than 18 digits'
    )
    table = np.fromstring(text, np.int64, sep=' ') if text.strip() else np.zeros(0, np.int64)
    lines = text.count(b'\n') + (text[-1:] != b'\n')
    errors.require(
        len(table) == 2 * lines and lines,
        f'{where}: found {len(table)} numbers on {lines} lines, expected two on each (KEY, OFFSET)',
    )
    table = table.reshape(-1, 2)
    order = np.argsort(table[:, 0], kind='stable')
    keys, offsets = table[order].T.copy()
    twice = np.flatnonzero(keys[1:] == keys[:-1])
    errors.require(not len(twice), f'{where}: record {keys[twice][:1].tolist()} is listed twice')
    return keys, offsets
