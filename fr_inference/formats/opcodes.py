"""Reads the operations of a pickle one after the other, at a bounded cost.

Unlike in `pickletools.genops`, long texts and blocks of bytes are views of the file instead of copies:
the weights of a generator, and the source code beside them, are never decoded.
"""

import dataclasses
import pickletools
from collections.abc import Iterator
from typing import Any

# A state dict takes about 40 operations a tensor; iresnet200 with its optimiser stays below 200,000.
MAX_OPERATIONS = 500_000
# Arrays that NumPy pickles in protocol 2 are text, which must be decoded.
_MAX_COPIED = 256 << 20
_MAX_TEXT = 4096


@dataclasses.dataclass
class Allowance:
    """What the pickles of one file may still cost."""

    operations: int = MAX_OPERATIONS
    copied: int = _MAX_COPIED

    def copy(self, count: int) -> None:
        """Accounts for `count` bytes of memory.

        Raises:
          ValueError: when they exceed what is left.
        """
        self.copied -= count
        if self.copied < 0:
            raise ValueError(f'over {_MAX_COPIED >> 20} MiB in addition to its blocks of bytes')


class Stream:
    """Bytes, a position in them, and what reading them may cost.

    Args:
      content: the bytes, which nothing here copies as a whole.
      allowance: shared with other streams of the same file.

    Attributes:
      storages: those that its pickles mention, by key.
    """

    def __init__(self, content: bytes | memoryview, allowance: Allowance | None = None):
        self._content = memoryview(content)
        self._position = 0
        self.allowance = allowance or Allowance()
        self.storages: dict[str, Any] = {}

    def tell(self) -> int:
        """Returns the position in bytes."""
        return self._position

    def view(self, count: int) -> memoryview:
        """Returns the next `count` bytes, which take no memory.

        Raises:
          ValueError: when there are fewer.
        """
        found = self._content[self._position : self._position + count]
        if len(found) != count:
            raise ValueError(f'found {len(found)} of {count} bytes')
        self._position += count
        return found

    def read(self, count: int) -> bytes:
        """Returns a copy of the next `count` bytes, or fewer at the end."""
        found = self._content[self._position : self._position + count]
        self.allowance.copy(len(found))
        self._position += len(found)
        return bytes(found)

    def readline(self) -> bytes:
        """Returns a copy of the next line."""
        window, end = 64, -1
        while end < 0:
            window *= 2
            self.allowance.copy(window)
            found = bytes(self._content[self._position : self._position + window])
            end = found.find(b'\n')
            if end < 0 and len(found) < window:
                end = len(found)
        self._position += len(found[: end + 1])
        return found[: end + 1]


_OPCODES = {opcode.code.encode('latin-1'): opcode for opcode in pickletools.opcodes}
# Operations whose argument is a block or a text, and the width of its length in bytes.
BLOCKS = {'SHORT_BINBYTES': 1, 'BINBYTES': 4, 'BINBYTES8': 8, 'BYTEARRAY8': 8}
TEXTS = {'SHORT_BINUNICODE': 1, 'BINUNICODE': 4, 'BINUNICODE8': 8}


def operations(data: Stream) -> Iterator[tuple[str, Any]]:
    """Yields (name, argument) as `pickletools.genops` does, except for long texts and bytes."""
    while code := data.read(1):
        if code not in _OPCODES:
            raise ValueError(f'{code!r} is not an operation')
        opcode = _OPCODES[code]
        width = BLOCKS.get(opcode.name) or TEXTS.get(opcode.name)
        if width:
            block = data.view(int.from_bytes(data.view(width), 'little'))
            short = opcode.name in TEXTS and len(block) <= _MAX_TEXT
            yield opcode.name, str(block, 'utf-8', 'surrogatepass') if short else block
        else:
            reader: Any = opcode.arg and opcode.arg.reader
            yield opcode.name, reader and reader(data)
