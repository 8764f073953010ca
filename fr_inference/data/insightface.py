"""insightface's training sets: `train.rec` and `train.idx`, JPEG images sorted by identity.

Record 0 holds two labels: the number of the first record of an identity, and one more than that of the
last. Image records come before, from 1. An identity's record holds two labels: its first image's number
and one more than its last's. Files without that record 0 are read too: each record is an image then.

Source: how `recognition/arcface_torch/dataset.py` of deepinsight/insightface reads them.
"""

import functools
import os

import numpy as np

from fr_inference import errors
from fr_inference.data import image_files
from fr_inference.data.faces import BadImageError, Faces
from fr_inference.data.lazy_names import Numbered
from fr_inference.formats.recordio import RecordError, RecordFile

# Whole numbers above are not exact as float32, in which the file has its ranges.
_EXACT = 1 << 24


def open_record(path: str | os.PathLike, flag: str = 'faces') -> Faces:
    """Opens a training set; identities are its labels, paths `train.rec#0`, `train.rec#1`, ...

    Images are read when asked for. 40 bytes an image stay in memory.

    Args:
      path: the `.rec`; its `.idx` lies beside it.
      flag: how errors call it.

    Raises:
      InputError: with file, record and byte, for whatever is damaged or does not fit.
    """
    file = RecordFile(path, flag)
    try:
        rows, labels = _images(file, f'{flag}: {path}')
    except RecordError as error:
        raise errors.InputError(f'{flag}: {error}') from error
    return Faces(
        name=str(path),
        identities=Numbered('', labels),
        paths=Numbered(f'{path}#', np.arange(len(rows))),
        read=functools.partial(_read, file, rows, labels),
        digest=functools.partial(_digest, file, rows, labels),
        encoded=functools.partial(_encoded, file, rows, labels),
    )


def _images(file, where):
    """Returns ([N] rows of the images in the file, [N] their labels)."""
    first, is_image = file.header(0)
    if file.keys[0] != 0 or len(first) < 2 or is_image:
        rows = np.arange(len(file.keys))
        return rows, _own_labels(file, rows)
    begin, end = (_whole(number, file, 0) for number in first[:2])
    if max(begin, end, len(file.keys)) > _EXACT:
        return _by_content(file)
    errors.require(
        1 < begin < end,
        f'{file.where(0)}: says that identities are records {begin} to {end - 1}, expected such that '
        'follow the images',
    )
    rows = np.searchsorted(file.keys, [1, begin, end])
    errors.require(
        rows[1] - rows[0] == begin - 1 and rows[2] - rows[1] == end - begin,
        f'{where}: record 0 counts {begin - 1} images and {end - begin} identities, the .idx lists '
        f'{rows[1] - rows[0]} and {rows[2] - rows[1]}; the two do not belong together',
    )
    return np.arange(rows[0], rows[1]), _labels_of_ranges(file, rows, where)


def _labels_of_ranges(file, rows, where):
    """Of each image the label that its identity's first image has."""
    count = int(rows[1] - rows[0])
    labels = np.full(count, -1, np.int64)
    for row in range(int(rows[1]), int(rows[2])):
        found, _ = file.header(row)
        errors.require(
            len(found) >= 2,
            f'{file.where(row)}: found one label, expected an identity, its first and last image',
        )
        start, stop = (_whole(number, file, row) for number in found[:2])
        errors.require(
            1 <= start <= stop <= count + 1,
            f'{file.where(row)}: images {start} to {stop - 1}, expected such from 1 to {count}',
        )
        if start == stop:
            continue
        block = labels[start - 1 : stop - 1]
        errors.require(
            (block == -1).all(),
            f'{file.where(row)}: images {start} to {stop - 1} partly belong to another identity too',
        )
        image = int(rows[0]) + start - 1
        block[:] = _whole(file.header(image)[0][0], file, image)
    missing = np.flatnonzero(labels == -1)
    errors.require(
        not len(missing),
        f'{where}: {len(missing)} images belong to no identity, as the record '
        f'{(missing[:1] + 1).tolist()}; the records of identities are incomplete',
    )
    return labels


def _by_content(file):
    """Looks at every record: those with bytes behind the header are images."""
    rows = np.array([row for row in range(1, len(file.keys)) if file.header(row)[1]], np.int64)
    return rows, _own_labels(file, rows)


def _own_labels(file, rows):
    return np.array(
        [_whole(file.header(row)[0][0], file, row) for row in rows.tolist()], np.int64
    ).reshape(-1)


def _whole(number, file, row):
    errors.require(
        0 <= number < 2**53 and number == int(number),
        f'{file.where(row)}: found label {number}, expected a whole number',
    )
    return int(number)


def _encoded(file, rows, labels, index):
    row = int(rows[index])
    try:
        record = file.read(row)
    except RecordError as error:
        raise BadImageError(str(error)) from error
    if record.labels[0] != labels[index]:
        raise BadImageError(
            f'{file.where(row)}: found label {record.labels[0]:.10g}, where its identity has '
            f'{labels[index]}; the .idx belongs to another file, or this one is damaged'
        )
    return bytes(record.content)


def _read(file, rows, labels, index):
    return image_files.decode(_encoded(file, rows, labels, index), file.where(int(rows[index])))


def _digest(file, rows, labels, index):
    return image_files.content_digest(_encoded(file, rows, labels, index))
