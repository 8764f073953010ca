"""One ArrayRecord file of faces, written under another name until it is complete."""

import contextlib
import errno
import io
import pathlib
import sys
from typing import Any

from fr_inference import errors, files
from fr_inference.data.faces import Faces
from fr_inference.formats import images
from fr_inference.formats.images import BadImageError


def write(faces: Faces, rows: range, path: pathlib.Path, *, skip_bad: bool) -> None:
    """Writes the faces at `rows`; `path` appears when it is complete.

    Args:
      faces: the source.
      rows: positions in it.
      path: the file.
      skip_bad: leave unreadable images out, and log them.

    Raises:
      BadImageError: at an unreadable image, unless `skip_bad`.
      OSError: when it cannot be written, for example because the disk is full.
    """
    array_record_module = _array_record()
    with files.replacing(path, synced=True) as part:
        try:
            _write(faces, rows, part, array_record_module.ArrayRecordWriter, skip_bad)
        except RuntimeError as error:  # whatever is wrong with the disk
            raise OSError(errno.EIO, str(error).partition(';')[0], str(path)) from error


def _array_record():
    try:
        from array_record.python import array_record_module
    except ImportError as error:
        hint = 'it has no package for Windows'
        raise errors.InputError('array_record', 'none installed', hint=hint) from error
    return array_record_module


def _write(faces, rows, path, writer_of, skip_bad):
    kinds = features()
    with contextlib.closing(writer_of(str(path), 'group_size:1,max_parallelism:1')) as writer:
        for index in rows:
            try:
                content = _content(faces, index)
            except BadImageError as error:
                if not skip_bad:
                    raise
                print(f'left out: {errors.shown(str(error))}', file=sys.stderr)
                continue
            example = {
                'image': io.BytesIO(content),
                'identity': _text(faces.identities[index]),
                'path': _text(faces.paths[index]),
            }
            writer.write(kinds.serialize_example(kinds.encode_example(example)))


def _content(faces, index):
    """Returns the image's file after checking that it decodes; a PNG if no file has these pixels."""
    content = None if faces.changed(index) else faces.encoded(index)
    if content is None:
        return images.encode_png(faces.read(index))
    # If it does not decode, the error of the source, which has the offset of the record
    faces.read(index)
    return content


def _text(name):
    return name.encode(errors='surrogateescape')  # file names of any encoding, byte by byte


def features() -> Any:
    """Returns the features of a record, as tfds describes them."""
    import tensorflow_datasets as tfds

    return tfds.features.FeaturesDict(
        {
            'image': tfds.features.Image(shape=(None, None, 3)),
            'identity': tfds.features.Text(),
            'path': tfds.features.Text(),
        }
    )


def count(path: pathlib.Path) -> int:
    """Returns the number of records of a complete file."""
    reader = _array_record().ArrayRecordReader(str(path))
    try:
        return reader.num_records()
    finally:
        reader.close()
