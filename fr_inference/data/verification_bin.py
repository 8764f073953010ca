"""Pairs of faces from insightface's verification sets (`lfw.bin`, `cfp_fp.bin`, ...).

The folds are those of `recognition/arcface_torch/eval/verification.py` of deepinsight/insightface: ten
in a row.
"""

import functools
import os

import numpy as np

from fr_inference import errors, local_copies
from fr_inference.data.faces import Faces
from fr_inference.data.lazy_names import Numbered
from fr_inference.data.pairs import Pairs
from fr_inference.formats import image_pairs, images

FOLDS = 10


def open_bin(path: str | os.PathLike, *, field: str = 'pairs') -> Pairs:
    """Opens the pairs of a verification set; paths are `lfw.bin#0`, `lfw.bin#1`, ...

    An image that the set holds several times is listed once, under its first number.

    Args:
      path: the `.bin`, of 1 GiB at most.
      field: of errors.

    Raises:
      InputError: when it is damaged or has other contents.
    """
    copy = local_copies.path_of(path, field)
    try:
        items, same = image_pairs.read(copy)
        places, firsts, digests = _distinct(items, os.path.getsize(copy), str(path))
    except errors.InputError as error:
        raise error.within(field) from error
    return Pairs(
        faces=_faces(path, [items[number] for number in firsts], np.array(firsts), digests),
        first=places[::2],
        second=places[1::2],
        same=same,
        folds=_folds(len(same)),
        named=False,
    )


def _distinct(items, most_bytes, path):
    """Returns ([2 P] the distinct image of each item, the first item of each, digests)."""
    known: dict[str, int] = {}
    seen: dict[int, int] = {}  # an object that the file mentions again is not read again
    firsts: list[int] = []
    places = np.empty(len(items), np.int64)
    for number, item in enumerate(items):
        if id(item) not in seen:
            content = image_pairs.content(item, f'{path}#{number}')
            most_bytes -= len(content)
            if most_bytes <= 0:
                raise errors.InputError(path, 'images that are longer than the file itself')
            seen[id(item)] = known.setdefault(images.content_digest(content), len(known))
            if seen[id(item)] == len(firsts):
                firsts.append(number)
        places[number] = seen[id(item)]
    return places, firsts, list(known)


def _faces(path, items, numbers, digests):
    names = Numbered(f'{path}#', numbers)
    return Faces(
        name=str(path),
        identities=names,  # a set does not name the people in its images
        paths=names,
        read=functools.partial(_read, names, items),
        digest=digests.__getitem__,
        encoded=functools.partial(_encoded, names, items),
    )


def _encoded(names, items, index):
    return bytes(image_pairs.content(items[index], names[index]))


def _read(names, items, index):
    content = image_pairs.content(items[index], names[index])
    return images.decode(content, names[index], shrink=True)


def _folds(count):
    """Returns the fold of each pair: ten in a row, the first ones longer by one where needed."""
    parts = np.array_split(np.arange(count), min(FOLDS, count))
    return np.concatenate([np.full(len(part), fold) for fold, part in enumerate(parts)])
