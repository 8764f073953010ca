"""The values that `unpickler` builds besides plain containers: inert ones that call nothing."""

import codecs
import dataclasses
from typing import Any

from fr_inference.formats.opcodes import Allowance

_PIECE = 1 << 20  # bytes of a long text unpacked at a time


@dataclasses.dataclass(frozen=True)
class Global:
    """A name that a pickle mentions: never imported, never called."""

    module: str
    name: str

    def __str__(self):
        return f'{self.module}.{self.name}'


@dataclasses.dataclass(frozen=True)
class Storage:
    """A block of numbers elsewhere in the file."""

    key: str
    dtype: str
    count: int


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Packed:
    """A block of numbers in the pickle itself, as a file of torch's older format.

    Attributes:
      content: that file; if `text`, its bytes as Latin-1 characters (encoded as UTF-8 if long).
      text: whether the bytes were written as text, as protocol 2 does.
    """

    content: memoryview | str
    text: bool = False

    def unpack(self, allowance: Allowance) -> memoryview:
        """Returns the file.

        Raises:
          ValueError: when the text holds other characters, or takes more memory than allowed.
        """
        if not self.text:
            return memoryview(self.content)  # type: ignore[arg-type]
        allowance.copy(len(self.content))
        if isinstance(self.content, str):
            return memoryview(self.content.encode('latin-1'))
        return memoryview(_latin1_of_utf8(self.content))


def _latin1_of_utf8(content):
    """Converts piece by piece, so that memory never holds both the text and its bytes."""
    decoder = codecs.getincrementaldecoder('utf-8')()
    unpacked = bytearray()
    for start in range(0, len(content), _PIECE):
        piece = content[start : start + _PIECE]
        unpacked += decoder.decode(piece, final=start + _PIECE >= len(content)).encode('latin-1')
    return unpacked


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Module:
    """A module of NVIDIA's: its contents, without its code."""

    state: dict[Any, Any]


@dataclasses.dataclass(frozen=True)
class TensorRef:
    """A strided view of a storage; offset, shape and strides in elements."""

    storage: Storage | Packed
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Ignored:
    """An object of a class or function that the file names: it is never imported, never called.

    Its data from the file is kept, so that the tensors of a pickled module can be found.

    Attributes:
      name: of the class or function, '' for a set.
      arguments: the arguments in the file.
      state: the state that the file would set on the object, usually its attributes.
      entries: the entries that the file would set by key, as in a dict.
      items: the items that the file would append or add, as to a list or a set.
    """

    __slots__ = ('arguments', 'entries', 'items', 'name', 'state')

    def __init__(self, name: str = '', arguments: Any = ()):
        self.name, self.arguments = name, arguments
        self.state: Any = None
        self.entries: dict[Any, Any] = {}
        self.items: list[Any] = []


DTYPES = {
    'DoubleStorage': 'float64',
    'FloatStorage': 'float32',
    'HalfStorage': 'float16',
    'BFloat16Storage': 'bfloat16',
    'LongStorage': 'int64',
    'IntStorage': 'int32',
    'ShortStorage': 'int16',
    'CharStorage': 'int8',
    'ByteStorage': 'uint8',
    'BoolStorage': 'bool',
    'ComplexFloatStorage': 'complex64',
    'ComplexDoubleStorage': 'complex128',
    'QInt8Storage': 'int8',
    'QUInt8Storage': 'uint8',
    'QInt32Storage': 'int32',
    'UntypedStorage': 'uint8',
}
