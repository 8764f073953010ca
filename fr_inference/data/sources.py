"""Opens faces: a folder of people, a CSV manifest, an insightface `.rec`, a tfds set, or drawings."""

import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from fr_inference import errors, tables
from fr_inference.data import image_files, insightface, tfds_source
from fr_inference.data.drawn import procedural
from fr_inference.data.faces import Faces, concat
from fr_inference.data.image_files import SUFFIXES
from fr_inference.data.image_files import read_image as read_image

_PROCEDURAL = 'procedural:'
_TFDS = 'tfds:'
# One image of a source that has no file for each.
_NUMBERED = re.compile(r'((?:procedural|tfds):[^#]*)#?(.*)|(.*\.rec)#(\d+)', re.DOTALL)


def open_faces(
    spec: str | os.PathLike,
    flag: str = 'faces',
    *,
    identity_key: str | None = None,
    data_dir: str | None = None,
) -> Faces:
    """Opens a source of faces.

    Args:
      spec: a folder with one sub-folder per identity; a CSV manifest with the columns `path` and
        `identity` (paths relative to its folder, or an image of one of the following, `SPEC#17`);
        insightface's `train.rec` beside its `train.idx`; `tfds:NAME:SPLIT`; or `procedural:SPEC`.
      flag: how errors call `spec`.
      identity_key: of tfds sets, the feature that says who it is; `label`, else `identity`, by default.
      data_dir: where tfds sets lie; where tfds keeps them by default.

    Raises:
      InputError: one line, when there is nothing to open or it is not laid out like this.
    """
    spec = str(spec)
    if spec.startswith(_PROCEDURAL):
        return procedural.faces(spec.removeprefix(_PROCEDURAL), flag)
    if spec.startswith(_TFDS):
        return tfds_source.open_tfds(
            spec.removeprefix(_TFDS), flag, identity_key=identity_key, data_dir=data_dir
        )
    path = pathlib.Path(spec)
    errors.require(
        os.path.exists(path),  # unlike Path.exists, False for a name too long for the system
        f'{flag}: {spec!r:.200} not found; expected a folder with one sub-folder per person, a CSV with '
        'the columns path,identity, a .rec, tfds:NAME:SPLIT or procedural:SPEC',
    )
    if path.is_dir():
        return _open_folder(path, flag)
    if path.suffix.lower() == '.rec':
        return insightface.open_record(path, flag)
    errors.require(
        path.suffix.lower() == '.csv',
        f'{flag}: {spec!r} is a file that is not a .csv manifest (path,identity) and not a .rec',
    )
    return _open_manifest(
        path, flag, functools.partial(open_faces, identity_key=identity_key, data_dir=data_dir)
    )


def write_manifest(path: str | os.PathLike, faces: Faces) -> None:
    """Writes `faces` as a CSV manifest that `open_faces` reads from anywhere on this machine."""
    paths = (
        path if path.startswith((_PROCEDURAL, _TFDS)) else os.path.abspath(path)
        for path in faces.paths
    )
    tables.write(path, ('path', 'identity'), zip(paths, faces.identities, strict=True))


def _open_folder(root, flag):
    """What is called like an image is one, or an error when read: a link to nowhere, a folder."""
    try:
        entries = sorted(root.iterdir())
        files = [
            (file, person.name)
            for person in entries
            if person.is_dir()
            for file in sorted(person.iterdir())
            if file.suffix.lower() in SUFFIXES
        ]
    except OSError as error:
        raise errors.InputError(
            f'{flag}: {error.filename} can not be read: {error.strerror}'
        ) from error
    lost = [entry for entry in entries if not entry.exists() and entry.name[0] != '.']
    errors.require(not lost, f'{flag}: {lost and lost[0]} is a link to nowhere; remove or mend it')
    loose = any(entry.suffix.lower() in SUFFIXES for entry in entries)
    errors.require(
        files,
        f'{flag}: {root} holds images but no sub-folders; expected one sub-folder per person'
        if loose
        else f'{flag}: no images in sub-folders of {root}; expected one sub-folder per person with '
        f'{", ".join(SUFFIXES)} files',
    )
    return _from_files(str(root), [file for file, _ in files], [person for _, person in files])


def _open_manifest(path, flag, open_source):
    rows = _read_rows(path, flag)
    numbered: dict[str, list[tuple[int, str]]] = {}
    files = []
    for row, (image, _) in enumerate(rows):
        found = _NUMBERED.fullmatch(image)
        if found is None:
            files.append(row)
        else:
            spec, number = (part for part in found.groups() if part is not None)
            numbered.setdefault(spec, []).append((row, number))
    parts = [
        _from_files(
            str(path),
            [path.parent / rows[row][0] for row in files],
            [rows[row][1] for row in files],
        )
    ]
    order = list(files)
    for spec, members in numbered.items():
        named = spec if spec.startswith((_PROCEDURAL, _TFDS)) else path.parent / spec
        source = open_source(named, flag)
        for row, number in members:
            errors.require(
                number.isdecimal() and len(number) < 20 and int(number) < len(source),
                f'{flag}: {path} line {row + 2}: found {rows[row][0]!r:.200}, expected an image number '
                f'below {len(source)} behind #',
            )
        chosen = source.select([int(number) for _, number in members])
        # The manifest says who it is, as with files.
        names = tuple(rows[row][1] for row, _ in members)
        parts.append(dataclasses.replace(chosen, identities=names))
        order += [row for row, _ in members]
    everything = concat(parts, str(path))
    return everything.select(np.argsort(np.asarray(order)))


def _read_rows(path, flag):
    rows, seen = [], set()
    for number, values in tables.rows(path, ('path', 'identity'), f'{flag}: {path}'):
        image, identity = (value.strip() for value in values)
        where = f'{flag}: {path} line {number}'
        errors.require(image and identity, f'{where}: empty path or identity')
        errors.require(image not in seen, f'{where}: {image!r} stands there twice')
        seen.add(image)
        rows.append((image, identity))
    errors.require(rows, f'{flag}: {path} lists no images')
    return rows


def _from_files(name: str, files: Sequence[pathlib.Path], identities: Sequence[str]) -> Faces:
    paths = tuple(str(file) for file in files)
    return Faces(
        name=name,
        identities=tuple(identities),
        paths=paths,
        read=functools.partial(_read, paths),
        digest=functools.partial(_digest, paths),
        encoded=functools.partial(_encoded, paths),
    )


def _read(paths, index):
    return image_files.read_image(paths[index])


def _digest(paths, index):
    return image_files.content_digest(image_files.read_file(paths[index]))


def _encoded(paths, index):
    return image_files.read_file(paths[index])
