"""Opens faces: a folder of people, a CSV manifest, an insightface `.rec`, a tfds set, or drawings."""

import collections
import dataclasses
import functools
import logging
import os
import pathlib
import posixpath
import re
from collections.abc import Sequence

import numpy as np

from fr_inference import addresses, errors, local_copies, tables
from fr_inference.config import Aligning, Reading
from fr_inference.data import (
    aligned,
    detector,
    insightface,
    objects,
    photo_folders,
    spellings,
    tfds_source,
)
from fr_inference.data.drawn import procedural
from fr_inference.data.faces import Faces, concat
from fr_inference.data.manifest_columns import ManifestColumns
from fr_inference.formats import images

_LOG = logging.getLogger(__name__)
_KINDS = (
    'a folder with one sub-folder per person, a CSV manifest (path,identity) or a .rec, here or at an '
    'address such as gs://BUCKET/FACES, tfds:NAME:SPLIT or procedural:SPEC'
)
_COLUMNS = ('path', 'identity')
_PROCEDURAL = 'procedural:'
_TFDS = 'tfds:'
_STORES = ('gs', 's3', 'az')  # stores whose images a manifest may name
# One image of a source without separate files.
_NUMBERED = re.compile(r'((?:procedural|tfds):[^#]*)#?(.*)|(.*\.rec)#(\d+)', re.DOTALL)


def open_faces(
    source: str | os.PathLike,
    field: str = 'faces',
    *,
    reading: Reading | None = None,
    identity_key: str | None = None,
    data_dir: str | None = None,
) -> Faces:
    """Opens a source of faces; images that it leaves out are logged and listed in `Faces.remarks`.

    Args:
      source: a folder with one sub-folder per identity; a CSV manifest with the columns `path` and
        `identity` (paths relative to its folder, or one image of the following sources, `SPEC#17`) and
        any further ones, which are kept (`Faces.columns`);
        insightface's `train.rec` beside its `train.idx`; the address of one of these (images of a
        folder or a manifest are read when they are needed, a `.rec` is copied to this machine);
        `tfds:NAME:SPLIT`; or `procedural:SPEC`.
      field: of errors, the argument that named the source.
      reading: how tfds sets are read and photographs aligned, as options of a program.
      identity_key: instead of `reading`, the feature of tfds sets with the identity; `label`, else
        `identity`, by default.
      data_dir: instead of `reading`, the folder of tfds sets; that of tfds by default.

    Raises:
      InputError: when there is nothing to open, or its layout is different.

    >>> faces = open_faces('procedural:easy,people=3,images=2,size=8')
    >>> len(faces), faces.identities[5], faces.paths[5]
    (6, 'easy-0-2', 'procedural:easy,people=3,images=2,size=8,seed=0,first=0,start=0#5')
    """
    if isinstance(reading, Aligning) and reading.align:
        plain = Reading(identity_key=reading.identity_key, data_dir=reading.data_dir)
        find = detector.open_detector()
        return aligned.aligned(open_faces(source, field, reading=plain), find)
    reading = reading or Reading(identity_key=identity_key, data_dir=data_dir)
    faces = _open(str(source), field, reading)
    for remark in faces.remarks:
        _LOG.warning('%s: %s: %s', field, errors.shown(faces.name)[:200], remark)
    return faces


def _open(source, field, reading):
    if source.startswith(_PROCEDURAL):
        return procedural.faces(source.removeprefix(_PROCEDURAL), field)
    if source.startswith(_TFDS):
        return tfds_source.open_tfds(
            source.removeprefix(_TFDS),
            field,
            identity_key=reading.identity_key,
            data_dir=reading.data_dir,
        )
    if addresses.is_address(source):
        return _open_stored(source, field, reading)
    path = pathlib.Path(source)
    if not os.path.exists(path):  # unlike Path.exists, False for a name too long for the system
        raise errors.InputError(field, f'{source!r:.200}, which does not exist', _KINDS)
    if path.suffix.lower() == '.rec' and not path.is_dir():
        return insightface.open_record(path, field)
    try:
        if path.is_dir():
            return _open_folder(path)
        if path.suffix.lower() in ('.csv', '.tsv'):
            return _open_manifest(path, functools.partial(_open, reading=reading), field)
    except errors.InputError as error:
        raise error.within(field) from error
    raise errors.InputError(field, f'the file {source!r:.200}', _KINDS)


def write_manifest(path: str | os.PathLike, faces: Faces) -> None:
    """Writes `faces` as a CSV manifest that `open_faces` reads from anywhere on this machine.

    Addresses and drawings stay as they are.
    """
    paths = (
        path
        if path.startswith((_PROCEDURAL, _TFDS)) or addresses.is_address(path.partition('#')[0])
        else os.path.abspath(path)
        for path in faces.paths
    )
    columns = dict(zip(_COLUMNS, (paths, faces.identities), strict=True)) | dict(faces.columns)
    tables.write(path, columns, zip(*columns.values(), strict=True))


def _open_stored(address, field, reading):
    """Opens faces at an address."""
    suffix = addresses.suffix(address)
    if suffix == '.rec':
        path = local_copies.path_of(address, field, lambda copy: [copy.with_suffix('.idx').name])
        return insightface.open_record(path, field, name=address)
    if suffix in ('.csv', '.tsv') and addresses.find(address, field) is not None:
        path = local_copies.path_of(address, field)
        try:
            return _open_manifest(
                path, functools.partial(_open, reading=reading), field, address=address
            )
        except errors.InputError as error:
            raise error if error.field == field else error.within(field) from error
    names = list(addresses.below(address, field))
    if not names:
        what = 'which does not exist' if addresses.find(address, field) is None else 'an object'
        raise errors.InputError(field, f'{address!r:.200}, {what}', _KINDS)
    try:
        found = photo_folders.read(objects.tree(address, names))
    except errors.InputError as error:
        raise error.within(field) from error
    identities, remarks = spellings.merged(found.people)
    paths = [str(file) for file in found.files]
    return objects.from_addresses(address, paths, identities, field, (*found.remarks, *remarks))


def _open_folder(root):
    found = photo_folders.read(root)
    identities, remarks = spellings.merged(found.people)
    return _from_files(str(root), found.files, identities, (*found.remarks, *remarks))


def _open_manifest(path, open_source, field, address=None):
    """Opens the images of a manifest; `address` is its original address, the base of relative paths."""
    rows, columns = _read_rows(path)
    numbered: dict[str, list[tuple[int, str]]] = {}
    files: list[int] = []
    stored: dict[str, list[int]] = {}
    for row, (image, identity) in enumerate(rows):
        found = _NUMBERED.fullmatch(image)
        if found is None and (where := _stored(path, image, address)) is not None:
            rows[row] = where, identity
            stored.setdefault(where.partition('://')[0], []).append(row)
        elif found is None:
            rows[row] = tables.as_found(path.parent, image), identity
            files.append(row)
        else:
            spec, number = (part for part in found.groups() if part is not None)
            numbered.setdefault(spec, []).append((row, number))
    parts = [
        _from_files(
            str(path),
            [path.parent / rows[row][0] for row in files],
            [rows[row][1] for row in files],
        ),
    ]
    order = list(files)
    for group in stored.values():  # images of one store are read together
        parts.append(
            objects.from_addresses(
                str(path),
                [rows[row][0] for row in group],
                [rows[row][1] for row in group],
                field,
            )
        )
        order += group
    for spec, members in numbered.items():
        drawn = spec.startswith((_PROCEDURAL, _TFDS))
        named = spec
        if not drawn and (named := _stored(path, spec, address)) is None:
            named = path.parent / tables.as_found(path.parent, spec)
        source = open_source(str(named), str(path))
        for row, number in members:
            if not (number.isdecimal() and len(number) < 20 and int(number) < len(source)):
                raise errors.InputError(
                    str(path),
                    f'{rows[row][0]!r:.200}',
                    f'an image number below {len(source)} after #',
                    inside=f'line {row + 2}',
                )
        chosen = source.select([int(number) for _, number in members])
        # The manifest gives the identity, as for files.
        names = tuple(rows[row][1] for row, _ in members)
        parts.append(dataclasses.replace(chosen, identities=names))
        order += [row for row, _ in members]
    everything = concat([part for part in parts if len(part)], address or str(path)).select(
        np.argsort(np.asarray(order))
    )
    if len(set(everything.paths)) < len(everything):
        path_twice = collections.Counter(everything.paths).most_common(1)[0][0]
        raise errors.InputError(str(path), f'{path_twice!r:.200} twice', 'each image once')
    identities, remarks = spellings.merged(everything.identities)
    return dataclasses.replace(
        everything,
        identities=tuple(identities),
        remarks=(*everything.remarks, *columns.remarks, *remarks),
        columns=columns.found(),
    )


def _stored(path, image, address):
    """Returns the address of an image in a manifest, None for a file.

    A manifest from outside can read only from the common stores and from its own store.
    """
    if not addresses.is_address(image):
        relative = address is not None and not os.path.isabs(image)
        if not relative:
            return None
        return addresses.joined(addresses.parent(address), posixpath.normpath(image))
    own = address and address.partition('://')[0]
    scheme = image.partition('://')[0]
    if scheme not in (*_STORES, own):
        raise errors.InputError(
            str(path), f'{image!r:.200}', f'a path, or an address of {", ".join(_STORES)}'
        )
    return image


def _read_rows(path):
    """Returns the (path, identity) of each row, and the further columns."""
    columns = ManifestColumns(tables.further(path, _COLUMNS))
    rows, seen = [], set()
    for number, values in tables.rows(path, (*_COLUMNS, *columns.names)):
        image, identity, *more = (value.strip() for value in values)
        if not image or not identity:
            raise errors.InputError(
                str(path), 'an empty path or identity', 'both', inside=f'line {number}'
            )
        if image in seen:
            raise errors.InputError(
                str(path), f'{image!r:.200} twice', 'each image once', inside=f'line {number}'
            )
        seen.add(image)
        rows.append((image, identity))
        columns.add(more)
    if not rows:
        raise errors.InputError(str(path), 'no images', 'a row for each')
    return rows, columns


def _from_files(
    name: str,
    files: Sequence[pathlib.Path],
    identities: Sequence[str],
    remarks: Sequence[str] = (),
) -> Faces:
    paths = tuple(str(file) for file in files)
    return Faces(
        name=name,
        identities=tuple(identities),
        paths=paths,
        read=functools.partial(_read, paths),
        digest=functools.partial(_digest, paths),
        encoded=functools.partial(_encoded, paths),
        remarks=tuple(remarks),
    )


def _read(paths, index):
    return images.read_image(paths[index], shrink=True)


def _digest(paths, index):
    return images.content_digest(images.read_file(paths[index]))


def _encoded(paths, index):
    return images.read_file(paths[index])
