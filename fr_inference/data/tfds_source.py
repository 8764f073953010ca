"""TensorFlow Datasets that lie prepared on the disk, read at random without TensorFlow.

tfds itself, slow to import, is imported when a set is opened.
"""

import functools
import json
import os
import pathlib
import re
from typing import Any

import numpy as np

from fr_inference import errors
from fr_inference.data import image_files
from fr_inference.data.faces import BadImageError, Faces
from fr_inference.data.lazy_names import Numbered, Repeated

# A set, its configuration and version, a split and a part of it. No namespaces: those fetch code.
_SPEC = re.compile(
    r'(?P<name>\w+(?:/[\w.-]+)?(?::\d[\d.]*)?):(?P<split>[A-Za-z_]\w*(?:\[[^\[\]]*\])?)'
)
_AT_ONCE = 256  # records whose identities are read together
_KEYS = ('label', 'identity')


def open_tfds(
    spec: str, flag: str = 'faces', *, identity_key: str | None = None, data_dir: str | None = None
) -> Faces:
    """Opens a split of a prepared set in ArrayRecord files; paths are `tfds:SPEC#0`, `tfds:SPEC#1`, ...

    Who is on each image is read once, at opening; images when asked for.

    Args:
      spec: `NAME:SPLIT`, as `lfw:train`, `my_set/config:1.0.0:train[:10%]`.
      flag: how errors call it.
      identity_key: the feature that says who it is; `label`, else `identity`, by default.
      data_dir: where sets lie; where tfds keeps them by default.

    Raises:
      InputError: when there is no such set, split or feature, or it can't be read without TensorFlow.
    """
    reader = _Reader(spec, flag, identity_key, data_dir)
    return Faces(
        name=f'tfds:{spec}',
        identities=reader.identities(),
        paths=Numbered(f'tfds:{spec}#', np.arange(len(reader))),
        read=functools.partial(_read, reader),
        digest=functools.partial(_digest, reader),
        encoded=reader.encoded,
    )


def _read(reader, index):
    return image_files.decode(reader.encoded(index), reader.where(index))


def _digest(reader, index):
    return image_files.content_digest(reader.encoded(index))


class _Reader:
    """Opens the set; sent to another process, it opens it there again."""

    def __init__(self, spec, flag, identity_key, data_dir):
        self._arguments = spec, flag, identity_key, data_dir
        found = _SPEC.fullmatch(spec)
        if found is None:
            raise errors.InputError(
                f'{flag}: found tfds:{spec:.200}, expected tfds:NAME:SPLIT, as in tfds:lfw:train'
            )
        where = f'{flag}: tfds:{spec}'
        builder = _builder(found['name'], data_dir, where)
        self._spec, self._where = spec, where
        self._image, self._identity = _keys(builder.info.features, identity_key, where)
        self._names = getattr(builder.info.features[self._identity], 'names', None)
        self._source = _data_source(builder, found['split'], self._image, where)

    def __reduce__(self):
        return _Reader, self._arguments

    def __len__(self):
        return len(self._source)

    def where(self, index):
        return f'tfds:{self._spec}#{index}'

    def encoded(self, index: int) -> bytes:
        try:
            return bytes(self._source[index][self._image])
        except _damage() as error:
            raise BadImageError(
                f'{self.where(index)}: can not be read: {str(error)[:200]}'
            ) from error

    def identities(self) -> Repeated:
        """Reads who is on each image."""
        known: dict[str, int] = {}
        numbers = np.empty(len(self), np.int32)
        for start in range(0, len(self), _AT_ONCE):
            rows = range(start, min(start + _AT_ONCE, len(self)))
            try:
                records = self._source.__getitems__(list(rows))
            except _damage() as error:
                raise errors.InputError(
                    f'{self._where}: records {start} to {rows[-1]} can not be read: '
                    f'{" ".join(str(error).split())[:200]}'
                ) from error
            for row, record in zip(rows, records, strict=True):
                name = self._name(record[self._identity], row)
                numbers[row] = known.setdefault(name, len(known))
        return Repeated(known, numbers)

    def _name(self, value, row):
        where = f'{self._where}: record {row}'
        if isinstance(value, bytes | str):
            name = value.decode(errors='surrogateescape') if isinstance(value, bytes) else value
            errors.require(name, f'{where}: its {self._identity} is empty')
            return name
        errors.require(
            isinstance(value, int | np.integer),
            f'{where}: found no {self._identity}; the files are damaged or belong to another set',
        )
        if self._names:
            errors.require(
                0 <= value < len(self._names),
                f'{where}: found {self._identity} {value}, expected one of {len(self._names)} classes',
            )
            return self._names[int(value)]
        return str(value)


def _builder(name, data_dir, where):
    import tensorflow_datasets as tfds

    _check_features(name, data_dir or tfds.core.constants.DATA_DIR, where)
    try:
        return tfds.builder(name, **({'data_dir': data_dir} if data_dir else {}))
    except _damage() as error:
        there = data_dir or tfds.core.constants.DATA_DIR
        raise errors.InputError(
            f'{where}: no such set in {there}, expected {name} below it ({_line(error)}); give the '
            'folder with --data_dir'
        ) from error


def _check_features(name, data_dir, where):
    """A set's `features.json` names classes, whose modules tfds would import: its own ones only."""
    base = re.split(r'[/:]', name)[0]
    folder = pathlib.Path(os.path.expanduser(data_dir)) / base
    for path in sorted(folder.rglob('features.json')):
        try:
            named = list(_classes(json.loads(path.read_text(encoding='utf-8'))))
        except (OSError, ValueError, RecursionError) as error:
            raise errors.InputError(f'{where}: {path} can not be read: {_line(error)}') from error
        for found in named:
            errors.require(
                re.fullmatch(r'tensorflow_datasets\.core\.features\.[\w.]+', found),
                f'{where}: {path} names the class {found[:80]!r}, expected such of '
                'tensorflow_datasets.core.features only; nothing was imported',
            )


def _classes(value):
    """Yields what could name a class, in texts of JSON within too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str) and key in ('pythonClassName', 'python_class_name', 'type'):
                yield inner
            else:
                yield from _classes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _classes(inner)
    elif isinstance(value, str) and value.lstrip()[:1] in ('{', '['):
        try:
            inside = json.loads(value)
        except ValueError:
            return  # a text that only looks like it: tfds can't read it either
        yield from _classes(inside)


def _keys(features, identity_key, where):
    """Returns (the feature of images, the feature of identities)."""
    import tensorflow_datasets as tfds

    errors.require(
        isinstance(features, tfds.features.FeaturesDict), f'{where}: its features have no names'
    )
    listed = ', '.join(f'{name} ({type(kind).__name__})' for name, kind in features.items())
    pictures = [name for name, kind in features.items() if isinstance(kind, tfds.features.Image)]
    if 'image' in pictures:
        pictures = ['image']
    errors.require(
        len(pictures) == 1, f'{where}: found the features {listed}; expected one image among them'
    )
    names = (identity_key,) if identity_key else _KEYS
    found = [name for name in names if name in features]
    errors.require(
        found,
        f'{where}: none of its features is called {" or ".join(names)}: found {listed}; name the one '
        'that says who it is with --identity_key',
    )
    kind = features[found[0]]
    whole = isinstance(kind, tfds.features.Text) or (
        kind.shape == () and np.issubdtype(kind.np_dtype, np.integer)
    )
    errors.require(
        whole and found[0] != pictures[0],
        f'{where}: the feature {found[0]} is {type(kind).__name__}, expected a class, a text or a '
        f'whole number; found {listed}; name another with --identity_key',
    )
    return pictures[0], found[0]


def _data_source(builder, split, image, where) -> Any:
    import tensorflow_datasets as tfds

    try:
        # The file of an image as it is: decoding it is ours, the same as for other sources.
        return builder.as_data_source(split, decoders={image: tfds.decode.SkipDecoding()})
    except NotImplementedError as error:
        raise errors.InputError(
            f'{where}: not prepared as ArrayRecord files, which alone are read without TensorFlow; '
            "prepare it with file_format='array_record'"
        ) from error
    except _damage() as error:
        raise errors.InputError(f'{where}: {_line(error)}') from error


@functools.cache
def _damage():
    """What tfds and its files raise when those are damaged or missing."""
    from google.protobuf import json_format, message

    return (
        *(OSError, ImportError, ValueError, KeyError, IndexError, TypeError, AttributeError),
        *(AssertionError, RuntimeError, message.DecodeError, json_format.Error),
    )


def _line(error):
    return ' '.join(str(error).split())[:160]
