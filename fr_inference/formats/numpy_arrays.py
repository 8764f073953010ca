"""Reads NumPy arrays in pickles and in `.npy` files.

Sources: `ndarray.__reduce__` and `numpy.lib.format`.
"""

import math
import re
from typing import Any

import numpy as np

from fr_inference.formats import bounds
from fr_inference.formats.opcodes import Allowance
from fr_inference.formats.pickled import Ignored, Packed

_MODULES = ('numpy.core.multiarray', 'numpy._core.multiarray')
_BUFFERS = ('numpy.core.numeric._frombuffer', 'numpy._core.numeric._frombuffer')
_MADE = tuple(f'{module}._reconstruct' for module in _MODULES)
# Numbers in the byte order of this kind of machine.
_TYPES = re.compile(r'[<|=]?(f[248]|i[1248]|u[1248]|b1)')
_MAX_DIMENSIONS = 8
_MAX_HEADER = 4096
_HEADER = re.compile(
    rb"\{'descr': '([^']{2,8})', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\), \}\s*"
)


def is_pickled(item: Ignored) -> bool:
    """Whether an object of a pickle is an array."""
    return item.name in _MADE or item.name in _BUFFERS


def unpickled(item: Ignored, allowance: Allowance) -> np.ndarray:
    """Returns the array that an object of a pickle describes, read-only.

    Args:
      item: for which `is_pickled` holds.
      allowance: what reading the file may still cost.

    Raises:
      ValueError: for objects, text, other byte orders, or bytes that do not fill the shape.
    """
    if item.name in _MADE:
        if not isinstance(item.state, tuple) or len(item.state) not in (4, 5):
            raise ValueError('an array without numbers')
        shape, kind, fortran, content = item.state[-4:]
    else:
        if not isinstance(item.arguments, tuple) or len(item.arguments) != 4:
            raise ValueError('an array without numbers')
        content, kind, shape, order = item.arguments
        fortran = order == 'F'
    return _array(_bytes(content, allowance), _type(kind), shape, bool(fortran))


def npy(content: memoryview) -> np.ndarray:
    """Returns the array of a `.npy` file as a view of its bytes.

    Raises:
      ValueError: for a damaged file, or one that holds anything but numbers.
    """
    if bytes(content[:6]) != b'\x93NUMPY' or len(content) < 12 or content[6] not in (1, 2, 3):
        raise ValueError('not a NumPy array')
    start = 10 if content[6] == 1 else 12
    length = int.from_bytes(content[8:start], 'little')
    found = _HEADER.fullmatch(bytes(content[start : start + min(length, _MAX_HEADER)]))
    if found is None or length > _MAX_HEADER:
        raise ValueError('a damaged header, or an array of something other than numbers')
    sizes = [size.strip() for size in found[3].decode().split(',')]
    shape = tuple(int(size[:20]) for size in sizes if size)
    numbers = content[start + length :]
    return _array(numbers, _number(found[1].decode()), shape, found[2] == b'True')


def _type(kind: Any) -> np.dtype:
    given = kind.arguments if isinstance(kind, Ignored) and kind.name == 'numpy.dtype' else ()
    if not isinstance(given, tuple) or not given or not isinstance(given[0], str):
        raise ValueError('an array of something other than numbers')
    order = kind.state[1] if isinstance(kind.state, tuple) and len(kind.state) > 1 else '='
    if order not in ('<', '|', '='):
        raise ValueError('big-endian numbers')
    return _number(given[0])


def _number(text):
    if not _TYPES.fullmatch(text):
        raise ValueError(f'an array of type {text[:20]!r}')
    return np.dtype(text)


def _bytes(content: Any, allowance: Allowance) -> memoryview:
    if isinstance(content, Packed):
        return content.unpack(allowance)
    if isinstance(content, memoryview):
        return content
    if isinstance(content, str):  # of Python 2
        allowance.copy(len(content))
        return memoryview(content.encode('latin-1'))
    if isinstance(content, Ignored) and content.name.endswith('.bytes') and not content.arguments:
        return memoryview(b'')
    raise ValueError('an array of something other than numbers')


def _array(content, dtype, shape, fortran):
    sizes = shape if isinstance(shape, tuple) else (-1,)
    fits = all(type(size) is int and 0 <= size < bounds.MAX_NUMBER for size in sizes)
    if len(sizes) > _MAX_DIMENSIONS or not fits:
        raise ValueError('an array of a damaged shape')
    if math.prod(sizes) * dtype.itemsize != len(content):
        raise ValueError(f'an array of {math.prod(sizes)} numbers in {len(content)} bytes')
    if not len(content):
        return np.zeros(sizes, dtype)
    return np.frombuffer(content.toreadonly(), dtype).reshape(sizes, order='F' if fortran else 'C')
