"""insightface's verification sets (`lfw.bin`): a pickle of encoded images and of who is the same.

The pickle is a pair (list of 2 P encoded images, list of P flags); images 2 k and 2 k + 1 are pair k.
It is interpreted by `unpickler`, which runs nothing. Python 2 wrote images as text, Python 3 as bytes.

Source: `load_bin` in `recognition/arcface_torch/eval/verification.py` of deepinsight/insightface, and
the folds there: ten in a row.
"""

import functools
import mmap
import os
import pathlib
import stat
from typing import Any

import numpy as np

from fr_inference import errors
from fr_inference.data import image_files
from fr_inference.data.faces import BadImageError, Faces
from fr_inference.data.lazy_names import Numbered
from fr_inference.data.pairs import Pairs
from fr_inference.formats import unpickler
from fr_inference.formats.opcodes import Allowance, Stream
from fr_inference.formats.pickled import Ignored, Packed

FOLDS = 10
_MOST_BYTES = 1 << 30
_LAYOUT = 'expected a list of encoded images and a list of half as many flags'


def open_bin(path: str | os.PathLike, *, flag: str = 'pairs') -> Pairs:
    """Opens the pairs of a verification set; paths are `lfw.bin#0`, `lfw.bin#1`, ...

    An image that stands there several times is listed once, under its first number.

    Args:
      path: the `.bin`, of 1 GiB at most.
      flag: how errors call it.

    Raises:
      InputError: one line, when it is damaged or holds anything else.
    """
    where = f'{flag}: {path}'
    try:
        loaded = unpickler.loads(_stream(pathlib.Path(path), where), where)
    except errors.InputError as error:
        if 'mxnet' not in str(error):
            raise
        raise errors.InputError(
            f'{where}: holds arrays of MXNet, which only MXNet can open; {_LAYOUT}: write the set again '
            'with the bytes of the JPEG files'
        ) from error
    if not isinstance(loaded, list | tuple) or len(loaded) != 2 or not isinstance(loaded[0], list):
        raise errors.InputError(f'{where}: {_LAYOUT}')
    items, same = loaded[0], _flags(loaded[1], where)
    errors.require(
        len(items) == 2 * len(same) and len(same) > 1,
        f'{where}: found {len(items)} images and {len(same)} flags, {_LAYOUT}',
    )
    places, firsts, digests = _distinct(items, os.path.getsize(path), where)
    return Pairs(
        faces=_faces(path, [items[number] for number in firsts], np.array(firsts), digests),
        first=places[::2],
        second=places[1::2],
        same=same,
        folds=_folds(len(same)),
    )


def _distinct(items, most_bytes, where):
    """Returns ([2 P] which of the distinct images each is, the first of each, digests)."""
    known: dict[str, int] = {}
    seen: dict[int, int] = {}  # what a file mentions again is not read again
    firsts: list[int] = []
    places = np.empty(len(items), np.int64)
    for number, item in enumerate(items):
        if id(item) not in seen:
            content = _content(item, f'{where} image {number}')
            most_bytes -= len(content)
            errors.require(most_bytes > 0, f'{where}: its images are longer than itself')
            seen[id(item)] = known.setdefault(image_files.content_digest(content), len(known))
            if seen[id(item)] == len(firsts):
                firsts.append(number)
        places[number] = seen[id(item)]
    return places, firsts, list(known)


def _stream(path, where):
    try:
        found = os.stat(path)
        errors.require(stat.S_ISREG(found.st_mode), f'{where} is no regular file')
        errors.require(
            0 < found.st_size <= _MOST_BYTES,
            f'{where}: found {found.st_size} bytes, expected 1 to 2**30',
        )
        with open(path, 'rb') as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        if isinstance(error, errors.InputError):
            raise
        reason = getattr(error, 'strerror', None) or error
        raise errors.InputError(f'{where:.300} can not be read: {reason}') from error
    # Of Python 2 the images are texts, which are copied: twice on their way.
    return Stream(memoryview(content), Allowance(copied=3 * found.st_size + (1 << 20)))


def _faces(path, items, numbers, digests):
    names = Numbered(f'{path}#', numbers)
    return Faces(
        name=str(path),
        identities=names,  # nobody says who it is
        paths=names,
        read=functools.partial(_read, names, items),
        digest=digests.__getitem__,
        encoded=functools.partial(_encoded, names, items),
    )


def _encoded(names, items, index):
    return bytes(_content(items[index], names[index]))


def _read(names, items, index):
    return image_files.decode(_content(items[index], names[index]), names[index])


def _content(item: Any, where: str) -> bytes | memoryview:
    """Returns an image's file."""
    try:
        if isinstance(item, str):
            return item.encode('latin-1')
        if isinstance(item, Packed):
            return item.unpack(Allowance(copied=len(item.content)))
        if isinstance(item, Ignored):
            return _array(item, ('u1',))
        return memoryview(item)
    except (TypeError, ValueError) as error:
        raise BadImageError(f'{where}: no encoded image ({str(error)[:120]})') from error


def _flags(value, where):
    """Returns the flags as [P] bool: a list of truth values or of NumPy's, or an array of them."""
    try:
        if isinstance(value, Ignored):
            found = list(_array(value, ('b1', 'u1')))
        else:
            if not isinstance(value, list | tuple):
                raise TypeError(f'found {type(value).__name__}')
            found = [_flag(one) for one in value]
        if not all(one in (0, 1) for one in found):
            raise ValueError('found other numbers than 0 and 1')
    except (TypeError, ValueError) as error:
        raise errors.InputError(f'{where}: {str(error)[:120]}; {_LAYOUT}') from error
    return np.array(found, bool)


def _flag(value):
    if isinstance(value, Ignored) and value.name.endswith('.multiarray.scalar'):
        kind, content = value.arguments
        _is_bytes(kind, ('b1', 'u1'))
        value = _bytes(content)[0] if len(getattr(content, 'content', content)) <= 8 else None
    if not isinstance(value, int):
        raise TypeError(f'found a {type(value).__name__} as flag')
    return value


def _array(value, kinds):
    """Returns the bytes of what NumPy would have made a row of bytes."""
    if value.name.endswith('._frombuffer'):
        content, kind, shape, _order = value.arguments
    elif value.name.endswith('._reconstruct') and isinstance(value.state, tuple):
        _version, shape, kind, _fortran, content = value.state
    else:
        raise TypeError(f'found {value.name or "an object"}')
    _is_bytes(kind, kinds)
    content = _bytes(content)
    # Never printed: a file can nest what it mentions without end.
    if not isinstance(shape, tuple) or len(shape) != 1 or shape[0] != len(content):
        raise ValueError('found an array of pixels or numbers, expected the bytes of a file')
    return content


def _is_bytes(kind, kinds):
    known = isinstance(kind, Ignored) and kind.name == 'numpy.dtype' and kind.arguments
    name = known[0] if isinstance(known, tuple) else None
    if not isinstance(name, str) or name not in kinds:
        raise TypeError(f'found an array of another type than {" or ".join(kinds)}')


def _bytes(content):
    if isinstance(content, str):
        return content.encode('latin-1')
    if isinstance(content, Packed):
        return content.unpack(Allowance(copied=len(content.content)))
    return memoryview(content)


def _folds(count):
    """Returns the fold of each pair: ten in a row, the first ones longer by one where it must be."""
    parts = np.array_split(np.arange(count), min(FOLDS, count))
    return np.concatenate([np.full(len(part), fold) for fold, part in enumerate(parts)])
