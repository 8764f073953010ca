"""Prepared TensorFlow Datasets, read in any order without TensorFlow.

tfds itself is slow to import, so it is imported when a set is opened.
"""

import functools
import json
import os
import pathlib
import re
from typing import Any

import numpy as np

from fr_inference import addresses, errors, local_copies
from fr_inference.data.faces import Faces
from fr_inference.data.lazy_names import Numbered, Repeated
from fr_inference.formats import images
from fr_inference.formats.images import BadImageError

# A set, its configuration and version, a split and a part of it. No namespaces: those download code.
_SPEC = re.compile(
    r'(?P<name>\w+(?:/[\w.-]+)?(?::\d[\d.]*)?):(?P<split>[A-Za-z_]\w*(?:\[[^\[\]]*\])?)'
)
_AT_ONCE = 256  # records whose identities are read together
_KEYS = ('label', 'identity')


def open_tfds(
    spec: str, field: str = 'faces', *, identity_key: str | None = None, data_dir: str | None = None
) -> Faces:
    """Opens a split of a prepared set in ArrayRecord files; paths are `tfds:SPEC#0`, `tfds:SPEC#1`, ...

    Identities are read once, at opening; images on request.

    Args:
      spec: `NAME:SPLIT`, as `lfw:train`, `my_set/config:1.0.0:train[:10%]`.
      field: of errors.
      identity_key: the feature that holds the identity; `label`, else `identity`, by default.
      data_dir: folder of the sets; that of tfds by default. From an address, the set is copied to
        this machine.

    Raises:
      InputError: when there is no such set, split or feature, or reading it would need TensorFlow.
    """
    if data_dir is not None and addresses.is_address(data_dir):
        data_dir = _copied(spec, data_dir)
    try:
        reader = _Reader(spec, identity_key, data_dir)
        identities = reader.identities()
    except errors.InputError as error:
        raise error.within(field) from error
    return Faces(
        name=f'tfds:{spec}',
        identities=identities,
        paths=Numbered(f'tfds:{spec}#', np.arange(len(reader))),
        read=functools.partial(_read, reader),
        digest=functools.partial(_digest, reader),
        encoded=reader.encoded,
    )


def _copied(spec, address):
    """Returns a local folder with the set, so that tfds itself reads nothing unchecked from a store."""
    name = re.split(r'[/:]', spec)[0]
    return str(local_copies.path_of(addresses.joined(address, name), 'data_dir', depth=2).parent)


def _read(reader, index):
    return images.decode(reader.encoded(index), reader.where(index), shrink=True)


def _digest(reader, index):
    return images.content_digest(reader.encoded(index))


class _Reader:
    """Opens the set; sent to another process, it opens it there again."""

    def __init__(self, spec, identity_key, data_dir):
        self._arguments = spec, identity_key, data_dir
        where, found = f'tfds:{spec:.200}', _SPEC.fullmatch(spec)
        if found is None:
            raise errors.InputError(where, expected='tfds:NAME:SPLIT, as in tfds:lfw:train')
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
                self.where(index), f'a record that cannot be read ({_line(error)})'
            ) from error

    def identities(self) -> Repeated:
        """Reads the identity of each image."""
        known: dict[str, int] = {}
        numbers = np.empty(len(self), np.int32)
        for start in range(0, len(self), _AT_ONCE):
            rows = range(start, min(start + _AT_ONCE, len(self)))
            try:
                records = self._source.__getitems__(list(rows))
            except _damage() as error:
                raise errors.InputError(
                    self._where,
                    f'records {start} to {rows[-1]} that cannot be read ({_line(error)})',
                ) from error
            for row, record in zip(rows, records, strict=True):
                name = self._name(record[self._identity], row)
                numbers[row] = known.setdefault(name, len(known))
        return Repeated(known, numbers)

    def _name(self, value, row):
        refused = functools.partial(errors.InputError, self._where, inside=f'record {row}')
        if isinstance(value, bytes | str):
            name = value.decode(errors='surrogateescape') if isinstance(value, bytes) else value
            if not name:
                raise refused(f'an empty {self._identity}', 'a name')
            return name
        if not isinstance(value, int | np.integer):
            raise refused(
                f'no {self._identity}', hint='the files are damaged or belong to another set'
            )
        if self._names:
            if not 0 <= value < len(self._names):
                raise refused(f'{self._identity} {value}', f'one of {len(self._names)} classes')
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
            where,
            f'no such set in {there} ({_line(error)})',
            f'{name} below it',
            'name the folder of the set as data_dir',
        ) from error


def _check_features(name, data_dir, where):
    """Refuses a `features.json` that names a class outside tfds: tfds would import its module."""
    base = re.split(r'[/:]', name)[0]
    folder = pathlib.Path(os.path.expanduser(data_dir)) / base
    for path in sorted(folder.rglob('features.json')):
        try:
            named = list(_classes(json.loads(path.read_text(encoding='utf-8'))))
        except (OSError, ValueError, RecursionError) as error:
            raise errors.InputError(
                where, f'a file that cannot be read ({_line(error)})', inside=str(path)
            ) from error
        for found in named:
            if not re.fullmatch(r'tensorflow_datasets\.core\.features\.[\w.]+', found):
                raise errors.InputError(
                    where,
                    f'the class {found[:80]!r}',
                    'classes of tensorflow_datasets.core.features only',
                    'nothing was imported',
                    inside=str(path),
                )


def _classes(value):
    """Yields the values that could name a class, also those of JSON inside a text."""
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
            return  # a text that only looks like JSON: tfds cannot read it either
        yield from _classes(inside)


def _keys(features, identity_key, where):
    """Returns (the feature of images, the feature of identities)."""
    import tensorflow_datasets as tfds

    if not isinstance(features, tfds.features.FeaturesDict):
        raise errors.InputError(where, 'features without names', 'a set of named features')
    listed = ', '.join(f'{name} ({type(kind).__name__})' for name, kind in features.items())
    pictures = [name for name, kind in features.items() if isinstance(kind, tfds.features.Image)]
    if 'image' in pictures:
        pictures = ['image']
    if len(pictures) != 1:
        raise errors.InputError(where, f'the features {listed}', 'one image among them')
    names = (identity_key,) if identity_key else _KEYS
    found = [name for name in names if name in features]
    if not found:
        raise errors.InputError(
            where,
            f'the features {listed}',
            f'one called {" or ".join(names)}',
            'name the one that holds the identity as identity_key',
        )
    kind = features[found[0]]
    whole = isinstance(kind, tfds.features.Text) or (
        kind.shape == () and np.issubdtype(kind.np_dtype, np.integer)
    )
    if not whole or found[0] == pictures[0]:
        raise errors.InputError(
            where,
            f'{type(kind).__name__} as the feature {found[0]} among {listed}',
            'a class, a text or a whole number',
            'name another as identity_key',
        )
    return pictures[0], found[0]


def _data_source(builder, split, image, where) -> Any:
    import tensorflow_datasets as tfds

    try:
        # The encoded image, which we decode as for all other sources.
        return builder.as_data_source(split, decoders={image: tfds.decode.SkipDecoding()})
    except NotImplementedError as error:
        raise errors.InputError(
            where,
            'files of another format',
            'ArrayRecord files, the only ones that are read without TensorFlow',
            "prepare the set with file_format='array_record'",
        ) from error
    except _damage() as error:
        raise errors.InputError(where, _line(error)) from error


@functools.cache
def _damage():
    """Returns the exceptions that tfds raises for damaged or missing files."""
    from google.protobuf import json_format, message

    return (
        *(OSError, ImportError, ValueError, KeyError, IndexError, TypeError, AttributeError),
        *(AssertionError, RuntimeError, message.DecodeError, json_format.Error),
    )


def _line(error):
    return ' '.join(str(error).split())[:160]
