"""insightface's verification sets (`lfw.bin`): a pickle of encoded images, and of which pairs match.

The pickle is a pair (list of 2 P encoded images, list of P flags); images 2 k and 2 k + 1 are pair k.
`unpickler` interprets it and runs nothing. Python 2 wrote the images as text, Python 3 as bytes.

Source: `load_bin` in `recognition/arcface_torch/eval/verification.py` of deepinsight/insightface.
"""

import mmap
import os
import stat
from typing import Any

import numpy as np

from fr_inference import errors
from fr_inference.formats import unpickler
from fr_inference.formats.images import BadImageError
from fr_inference.formats.opcodes import Allowance, Stream
from fr_inference.formats.pickled import Ignored, Packed

_MOST_BYTES = 1 << 30
_LAYOUT = 'a list of encoded images and a list of half as many flags'


def read(path: str | os.PathLike) -> tuple[list[Any], np.ndarray]:
    """Returns (2 P images, each for `content`; [P] bool, whether a pair shows one person).

    Args:
      path: the `.bin`, of 1 GiB at most.

    Raises:
      InputError: for a damaged file, or one that holds anything else.
    """
    field = str(path)
    loaded = unpickler.loads(_stream(path), field)
    if not isinstance(loaded, list | tuple) or len(loaded) != 2 or not isinstance(loaded[0], list):
        raise errors.InputError(field, 'a pickle of something else', _LAYOUT)
    items, same = loaded[0], _flags(loaded[1], field)
    if any(isinstance(item, Ignored) and item.name.startswith('mxnet.') for item in items):
        raise errors.InputError(
            field,
            'arrays of MXNet, which only MXNet can open',
            _LAYOUT,
            'write the set again with the bytes of the JPEG files',
        )
    if len(same) < 2 or len(items) != 2 * len(same):
        raise errors.InputError(field, f'{len(items)} images and {len(same)} flags', _LAYOUT)
    return items, same


def content(item: Any, where: str) -> bytes | memoryview:
    """Returns the encoded image in an item of a set.

    Raises:
      BadImageError: with the field `where`, when it is something else.
    """
    try:
        if isinstance(item, str):
            return item.encode('latin-1')
        if isinstance(item, Packed):
            return item.unpack(Allowance(copied=len(item.content)))
        if isinstance(item, Ignored):
            return _array(item, ('u1',))
        return memoryview(item)
    except (TypeError, ValueError) as error:
        raise BadImageError(where, f'{str(error)[:120]}', 'an encoded image') from error


def _stream(path):
    expected = f'a regular file of 1 to {_MOST_BYTES} bytes'
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise errors.InputError(str(path), 'something that is not a regular file', expected)
        if not 0 < found.st_size <= _MOST_BYTES:
            raise errors.InputError(str(path), f'{found.st_size} bytes', expected)
        with open(path, 'rb') as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except errors.InputError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise errors.InputError(
            f'{path!s:.300}', f'a file that cannot be read ({reason})', expected
        ) from error
    # Python 2 wrote the images as text, which is copied twice while it is decoded.
    return Stream(memoryview(mapped), Allowance(copied=3 * found.st_size + (1 << 20)))


def _flags(value, field):
    """Returns the flags as [P] bool, from a list of Python or NumPy booleans or an array of them."""
    try:
        if isinstance(value, Ignored):
            found = list(_array(value, ('b1', 'u1')))
        else:
            if not isinstance(value, list | tuple):
                raise TypeError(f'a {type(value).__name__} as flags')
            found = [_flag(one) for one in value]
        if not all(one in (0, 1) for one in found):
            raise ValueError('other numbers than 0 and 1')
    except (TypeError, ValueError) as error:
        raise errors.InputError(field, f'{str(error)[:120]}', _LAYOUT) from error
    return np.array(found, bool)


def _flag(value):
    if isinstance(value, Ignored) and value.name.endswith('.multiarray.scalar'):
        kind, content = value.arguments
        _is_bytes(kind, ('b1', 'u1'))
        value = _bytes(content)[0] if len(getattr(content, 'content', content)) <= 8 else None
    if not isinstance(value, int):
        raise TypeError(f'a {type(value).__name__} as flag')
    return value


def _array(value, kinds):
    """Returns the bytes of a pickled NumPy array that is one row or column of bytes."""
    if value.name.endswith('._frombuffer'):
        content, kind, shape, _order = value.arguments
    elif value.name.endswith('._reconstruct') and isinstance(value.state, tuple):
        _version, shape, kind, _fortran, content = value.state
    else:
        raise TypeError(value.name or 'an object')
    _is_bytes(kind, kinds)
    content = _bytes(content)
    # Never print the shape: a file can make it a structure that is nested without end.
    sides = shape if isinstance(shape, tuple) and len(shape) in (1, 2) else ()
    # A row, or the column that OpenCV's `imencode` gives.
    if len(content) not in sides or any(one not in (1, len(content)) for one in sides):
        raise ValueError('an array of pixels or numbers, not the bytes of a file')
    return content


def _is_bytes(kind, kinds):
    known = isinstance(kind, Ignored) and kind.name == 'numpy.dtype' and kind.arguments
    name = known[0] if isinstance(known, tuple) else None
    if not isinstance(name, str) or name not in kinds:
        raise TypeError(f'an array of another type than {" or ".join(kinds)}')


def _bytes(content):
    if isinstance(content, str):
        return content.encode('latin-1')
    if isinstance(content, Packed):
        return content.unpack(Allowance(copied=len(content.content)))
    return memoryview(content)
