"""insightface's training sets: `train.rec` and `train.idx`, JPEG images sorted by identity.

Record 0 holds two labels: the number of the first identity record, and one more than the number of the
last. The image records come before, from 1. An identity record holds two labels: the number of its first
image and one more than the number of its last. A file without such a record 0 is read too: then each
record is an image.

Each image's own label says who it is, as in training. The identity records repeat that; where they
disagree or are incomplete, one remark tells. In a set of more than a million images the labels at both
ends of a range stand for those between, and an image with another label is refused when it is read.

Source: how `recognition/arcface_torch/dataset.py` of deepinsight/insightface reads them.
"""

import functools
import os

import numpy as np

from fr_inference import errors
from fr_inference.data import spellings
from fr_inference.data.faces import Faces
from fr_inference.data.lazy_names import Numbered
from fr_inference.formats import images
from fr_inference.formats.images import BadImageError
from fr_inference.formats.recordio import RecordError, RecordFile

# The file stores its ranges as float32, which is not exact for larger whole numbers.
_EXACT = 1 << 24
_MOST_HEADERS = 1 << 20  # of images that are read at opening: each takes a read of the disk


def open_record(path: str | os.PathLike, field: str = 'faces', *, name: str | None = None) -> Faces:
    """Opens a training set; identities are its labels, paths `train.rec#0`, `train.rec#1`, ...

    Images are read when asked for. 40 bytes an image stay in memory.

    Args:
      path: the `.rec`; its `.idx` lies beside it.
      field: of errors.
      name: in reports; the path by default.

    Raises:
      InputError: with file, record and byte, for whatever is damaged or does not fit.
    """
    try:
        file = RecordFile(path)
        rows, labels, remarks = _images(file)
    except errors.InputError as error:
        raise error.within(field) from error
    name = str(path) if name is None else name
    return Faces(
        name=name,
        identities=Numbered('', labels),
        paths=Numbered(f'{name}#', np.arange(len(rows))),
        read=functools.partial(_read, file, rows, labels),
        digest=functools.partial(_digest, file, rows, labels),
        encoded=functools.partial(_encoded, file, rows, labels),
        remarks=tuple(remarks),
    )


def _images(file):
    """Returns ([N] rows of the images in the file, [N] their labels, remarks)."""
    first, is_image = file.header(0)
    if file.keys[0] != 0 or len(first) < 2 or is_image:
        rows = np.arange(len(file.keys))
        return rows, _own_labels(file, rows), []
    begin = _whole(first[0], file, 0)
    if max(begin, len(file.keys)) > _EXACT:
        rows = np.array([row for row in range(1, len(file.keys)) if file.header(row)[1]], np.int64)
        return rows, _own_labels(file, rows), []
    start, stop = np.searchsorted(file.keys, [1, begin]).tolist()
    if begin <= 1:
        raise file.error(0, f'identity records from {begin}', 'records that follow the images')
    if stop - start != begin - 1:
        raise file.error(
            0,
            f'a count of {begin - 1} images',
            f'the {stop - start} that the .idx lists before record {begin}',
            'the two files do not belong together',
        )
    ranges, odd = _ranges(file, stop, begin - 1)
    if first[1] != file.keys[-1] + 1:
        odd.append(0)
    rows = np.arange(start, stop)
    labels = None
    if not odd and len(rows) > _MOST_HEADERS:
        labels = _labels_of_ends(file, rows, ranges)
    if labels is not None:
        return rows, labels, []
    labels = np.full(len(rows), -1, np.int64)
    holds = np.zeros(len(rows), bool)
    for place, row in enumerate(rows.tolist()):
        found, holds[place] = file.header(row)
        if holds[place]:
            labels[place] = _whole(found[0], file, row)
    odd += _disagreeing(labels, ranges)
    if not odd and not _cover(ranges, len(rows)):
        odd.append(0)
    return rows[holds], labels[holds], list(_remarks(file, rows[~holds], sorted(set(odd))))


def _ranges(file, first, count):
    """Reads the identity records, from the row `first`.

    Returns:
      (row -> positions [start, stop) among the `count` images, rows of those that give none).
    """
    ranges, odd = {}, []
    for row in range(first, len(file.keys)):
        found, is_image = file.header(row)
        if not is_image and len(found) > 1 and 1 <= found[0] <= found[1] <= count + 1:
            ranges[row] = int(found[0]) - 1, int(found[1]) - 1
        else:
            odd.append(row)
    return ranges, odd


def _labels_of_ends(file, rows, ranges):
    """Returns the label of each image by those at the ends of its range; None if they disagree."""
    labels = np.full(len(rows), -1, np.int64)
    for start, stop in ranges.values():
        if start < stop:
            ends = _own_labels(file, rows[[start, stop - 1]])
            if ends[0] != ends[1]:
                return None
            labels[start:stop] = ends[0]
    return labels if _cover(ranges, len(rows)) else None


def _cover(ranges, count):
    """Returns whether every image is in one range."""
    covered = np.zeros(count, np.int64)
    for start, stop in ranges.values():
        covered[start:stop] += 1
    return bool((covered == 1).all())


def _disagreeing(labels, ranges):
    return [row for row, (start, stop) in ranges.items() if len(np.unique(labels[start:stop])) > 1]


def _remarks(file, empty, odd):
    """Yields remarks on records without an image and on inconsistent identity records."""
    for kind, rows in (
        ('left out, records without an image', empty),
        ('identity records that disagree with the images, whose own labels were used', odd),
    ):
        if len(rows):
            named = spellings.listed([f'record {file.keys[row]}' for row in rows])
            yield f'{kind}: {len(rows)} ({named})'


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
    return images.decode(_encoded(file, rows, labels, index), where, shrink=True)


def _digest(file, rows, labels, index):
    return images.content_digest(_encoded(file, rows, labels, index))
