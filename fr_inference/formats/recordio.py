"""MXNet's RecordIO: records one after the other in a `.rec`, and the offset of each in an `.idx`.

A record has one part or several. A part starts with the number 0xCED7230A and a second number: its
upper three bits give the kind of the part (0 the only one, 1 the first, 2 a middle one, 3 the last), its
lower 29 bits the length. The bytes follow, padded to a multiple of four. Where the data of a record
contains 0xCED7230A itself, the writer cuts the record there and leaves the number out; joining the
parts puts it back. An image's record starts with a header (flag uint32, label float32, id and id2
uint64, little-endian). If the flag n is above 0, n float32 labels follow the header and replace its
own.

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
# Opening a pipe does not wait for a writer. Windows lacks this mode, and has one for text.
_READING = os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0)
_SEEKING = threading.Lock()
_ALONE, _FIRST, _MIDDLE, _LAST = range(4)


class RecordError(errors.InputError):
    """A record that cannot be read: its field is the file, `inside` names the record and the byte."""


@dataclasses.dataclass(frozen=True)
class Record:
    """One image's record.

    Attributes:
      labels: [L] float32, at least one.
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

    def __init__(self, path: str | os.PathLike):
        """Reads the index.

        Args:
          path: the `.rec`; the index is beside it under the same name.

        Raises:
          InputError: when either is missing or damaged, or they do not belong together.
        """
        self.path = str(path)
        self._open()
        index = pathlib.Path(path).with_suffix('.idx')
        self.keys, self.offsets = _read_index(index)
        # The smallest record has the header of a part and no bytes.
        wrong = (self.offsets > self._size - _PART.size) | (self.offsets % 4 != 0)
        if wrong.any():
            first = int(np.argmax(wrong))
            raise errors.InputError(
                str(index),
                f'byte {self.offsets[first]} as its beginning',
                f'a multiple of 4 within the {self._size} bytes of {self.path}',
                'the two files do not belong together, or the .rec is truncated',
                inside=f'record {self.keys[first]}',
            )

    def _open(self):
        try:
            file = os.open(self.path, _READING)
        except OSError as error:
            raise errors.InputError(
                self.path, f'a file that cannot be opened ({error.strerror})', 'a .rec'
            ) from error
        weakref.finalize(self, os.close, file)
        self._file, found = file, os.fstat(file)
        self._size = found.st_size
        if not stat.S_ISREG(found.st_mode):
            raise errors.InputError(self.path, 'something that is not a regular file', 'a .rec')

    def __getstate__(self):
        return {name: getattr(self, name) for name in ('path', 'keys', 'offsets')}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._open()

    def where(self, row: int) -> str:
        """Returns the place of the record at `row`, which errors give after the file."""
        return f'record {self.keys[row]} at byte {self.offsets[row]}'

    def error(
        self, row: int, found: str, expected: str | None = None, hint: str | None = None
    ) -> RecordError:
        """Returns an error of the record at `row`."""
        return RecordError(self.path, found, expected, hint, inside=self.where(row))

    def header(self, row: int) -> tuple[np.ndarray, bool]:
        """Reads the labels of the record at `row`, and whether an image follows; no more is read.

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
            if kind not in expected:
                raise self.error(
                    row, f'part {kind} of a record', f'part {" or ".join(map(str, expected))}'
                )
            parts.append(part)
            length += len(part)
            if length > MOST_BYTES:
                raise self.error(row, f'over {MOST_BYTES >> 20} MiB', 'an image')
            if kind in (_ALONE, _LAST):
                break
        whole = parts[0] if len(parts) == 1 else _MAGIC_BYTES.join(parts)
        labels, start = self._labels(whole, row)
        return Record(labels, memoryview(whole)[start:])

    def _part(self, row, offset, most=MOST_BYTES):
        """Returns (its kind, at most `most` of its bytes, its length, the offset after it)."""
        head = self._bytes(_PART.size, offset)
        if len(head) < _PART.size:
            raise self.error(
                row, f'the end of the file at byte {self._size}', 'the rest of the record'
            )
        magic, number = _PART.unpack(head)
        kind, length = number >> 29, number & 0x1FFFFFFF
        if magic != MAGIC:
            raise self.error(
                row,
                f'{magic:#010x} at byte {offset}',
                f'{MAGIC:#010x}, the beginning of a record',
                'the .idx belongs to another file, or this one is damaged',
            )
        offset += _PART.size
        if length > self._size - offset:
            raise self.error(
                row,
                f'a length of {length} bytes at byte {offset - 4}',
                f'at most the {self._size - offset} bytes that follow in the file',
                'it is truncated or damaged',
            )
        if length > MOST_BYTES:
            raise self.error(row, f'{length} bytes', 'an image')
        part = self._bytes(min(length, most), offset)
        if len(part) < min(length, most):
            raise self.error(row, 'a file that became shorter while it was read')
        return kind, part, length, offset + -(-length // 4) * 4

    def _bytes(self, count, offset):
        try:
            return _read_at(self._file, count, offset)
        except OSError as error:
            raise RecordError(
                self.path,
                f'bytes that cannot be read ({error.strerror})',
                inside=f'byte {offset}',
            ) from error

    def _labels(self, content, row):
        if len(content) < _HEADER.size:
            raise self.error(row, f'{len(content)} bytes', f'a header of {_HEADER.size} bytes')
        count, label, _, _ = _HEADER.unpack_from(content)
        if not count:
            return np.array([label], np.float32), _HEADER.size
        if count > _MOST_LABELS:
            raise self.error(
                row, f'a header that announces {count} labels', f'at most {_MOST_LABELS}'
            )
        if len(content) == _HEADER.size:  # only the header was requested
            start = int(self.offsets[row]) + _PART.size + _HEADER.size
            content += self._bytes(4 * count, start)
        stop = _HEADER.size + 4 * count
        if len(content) < stop:
            raise self.error(row, f'fewer labels than the {count} that its header announces')
        return np.frombuffer(content[_HEADER.size : stop], '<f4'), stop


def _read_index(path):
    """Returns ([R] keys, ascending, [R] offsets) from a line KEY, tab, OFFSET for each record."""
    expected = 'lines of two numbers (KEY, OFFSET)'
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise errors.InputError(str(path), 'something that is not a regular file', expected)
        text = path.read_bytes()
    except OSError as error:
        raise errors.InputError(
            str(path),
            f'a file that cannot be read ({error.strerror})',
            'the index of the .rec beside it',
        ) from error
    strange = text.translate(None, _INDEX_ALPHABET)
    if strange:
        raise errors.InputError(str(path), repr(strange[:20]), expected)
    if re.search(rb'\d{19}', text):
        raise errors.InputError(str(path), 'a number of more than 18 digits', expected)
    table = np.fromstring(text, np.int64, sep=' ') if text.strip() else np.zeros(0, np.int64)
    lines = text.count(b'\n') + (text[-1:] != b'\n')
    if not lines or len(table) != 2 * lines:
        raise errors.InputError(str(path), f'{len(table)} numbers on {lines} lines', expected)
    table = table.reshape(-1, 2)
    order = np.argsort(table[:, 0], kind='stable')
    keys, offsets = table[order].T.copy()
    twice = np.flatnonzero(keys[1:] == keys[:-1])
    if len(twice):
        raise errors.InputError(str(path), f'record {keys[twice[0]]} twice', 'each record once')
    return keys, offsets


def _read_at(file, count, offset):
    """Reads at an offset, safe for several threads; Windows has no single call for it."""
    if hasattr(os, 'pread'):
        return os.pread(file, count, offset)
    with _SEEKING:
        os.lseek(file, offset, os.SEEK_SET)
        return os.read(file, count)
