"""insightface's training sets: `train.rec` and `train.idx`, JPEG images sorted by identity.

Record 0 holds two labels: the number of the first identity record, and one more than the number of the
last. The image records come before, from 1. An identity record holds two labels: the number of its first
image and one more than the number of its last. A file without such a record 0 is read too: then each
record is an image.

Source: how `recognition/arcface_torch/dataset.py` of deepinsight/insightface reads them.
"""

import functools
import os

import numpy as np

from fr_inference import errors
from fr_inference.data.faces import Faces
from fr_inference.data.lazy_names import Numbered
from fr_inference.formats import images
from fr_inference.formats.images import BadImageError
from fr_inference.formats.recordio import RecordError, RecordFile

# The file stores its ranges as float32, which is not exact for larger whole numbers.
_EXACT = 1 << 24


def open_record(path: str | os.PathLike, field: str = 'faces') -> Faces:
    """Opens a training set; identities are its labels, paths `train.rec#0`, `train.rec#1`, ...

    Images are read when asked for. 40 bytes an image stay in memory.

    Args:
      path: the `.rec`; its `.idx` lies beside it.
      field: of errors.

    Raises:
      InputError: with file, record and byte, for whatever is damaged or does not fit.
    """
    try:
        file = RecordFile(path)
        rows, labels = _images(file)
    except errors.InputError as error:
        raise error.within(field) from error
    return Faces(
        name=str(path),
        identities=Numbered('', labels),
        paths=Numbered(f'{path}#', np.arange(len(rows))),
        read=functools.partial(_read, file, rows, labels),
        digest=functools.partial(_digest, file, rows, labels),
        encoded=functools.partial(_encoded, file, rows, labels),
    )


def _images(file):
    """Returns ([N] rows of the images in the file, [N] their labels)."""
    first, is_image = file.header(0)
    if file.keys[0] != 0 or len(first) < 2 or is_image:
        rows = np.arange(len(file.keys))
        return rows, _own_labels(file, rows)
    begin, end = (_whole(number, file, 0) for number in first[:2])
    if max(begin, end, len(file.keys)) > _EXACT:
        return _by_content(file)
    if not 1 < begin < end:
        raise file.error(
            0, f'{begin} to {end - 1} as the identity records', 'records that follow the images'
        )
    rows = np.searchsorted(file.keys, [1, begin, end])
    listed = int(rows[1] - rows[0]), int(rows[2] - rows[1])
    if listed != (begin - 1, end - begin):
        raise file.error(
            0,
            f'a count of {begin - 1} images and {end - begin} identities',
            f'the {listed[0]} and {listed[1]} that the .idx lists',
            'the two files do not belong together',
        )
    return np.arange(rows[0], rows[1]), _labels_of_ranges(file, rows)


def _labels_of_ranges(file, rows):
    """Returns the label of each image: the one of the first image of its identity."""
    count = int(rows[1] - rows[0])
    labels = np.full(count, -1, np.int64)
    for row in range(int(rows[1]), int(rows[2])):
        found, _ = file.header(row)
        if len(found) < 2:
            raise file.error(row, 'one label', 'the first and last image of an identity')
        start, stop = (_whole(number, file, row) for number in found[:2])
        if not 1 <= start <= stop <= count + 1:
            raise file.error(row, f'images {start} to {stop - 1}', f'images from 1 to {count}')
        if start == stop:
            continue
        block = labels[start - 1 : stop - 1]
        if (block != -1).any():
            raise file.error(
                row, f'images {start} to {stop - 1}', 'images that belong to no other identity'
            )
        image = int(rows[0]) + start - 1
        block[:] = _whole(file.header(image)[0][0], file, image)
    missing = np.flatnonzero(labels == -1)
    if len(missing):
        raise errors.InputError(
            file.path,
            f'{len(missing)} images of no identity, such as record {missing[0] + 1}',
            hint='the identity records are incomplete',
        )
    return labels


def _by_content(file):
    """Reads the header of every record: those with bytes behind it are images."""
    rows = np.array([row for row in range(1, len(file.keys)) if file.header(row)[1]], np.int64)
    return rows, _own_labels(file, rows)


def _own_labels(file, rows):
    return np.array(
        [_whole(file.header(row)[0][0], file, row) for row in rows.tolist()], np.int64
    ).reshape(-1)


def _whole(number, file, row):
    if not (0 <= number < 2**53 and number == int(number)):
        raise file.error(row, f'label {number}', 'a whole number')
    return int(number)


def _encoded(file, rows, labels, index):
    row = int(rows[index])
    try:
        record = file.read(row)
    except RecordError as error:
        raise BadImageError.from_json(error.to_json()) from error
    if record.labels[0] != labels[index]:
        raise BadImageError(
            file.path,
            f'label {record.labels[0]:.10g}',
            f'{labels[index]}, the label of its identity',
            'the .idx belongs to another file, or this one is damaged',
            inside=file.where(row),
        )
    return bytes(record.content)


def _read(file, rows, labels, index):
    where = f'{file.path}: {file.where(int(rows[index]))}'
    return images.decode(_encoded(file, rows, labels, index), where)


def _digest(file, rows, labels, index):
    return images.content_digest(_encoded(file, rows, labels, index))
