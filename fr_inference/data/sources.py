"""Opens faces: a folder with one sub-folder per identity, a CSV manifest, or `procedural:SPEC`."""

import dataclasses
import hashlib
import os
import pathlib
import stat
import struct
import warnings
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from fr_inference import checks, tables
from fr_inference.data import procedural
from fr_inference.data.faces import BadImageError, Faces, concat

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.webp')
_FORMATS = ('BMP', 'JPEG', 'PNG', 'WEBP')
_PROCEDURAL = 'procedural:'
_LONGEST = 100  # times as long as wide: no photograph, and its middle shows nobody


def open_faces(spec: str | os.PathLike, flag: str = 'faces') -> Faces:
    """Opens a source of faces.

    Args:
      spec: a folder with one sub-folder per identity; a CSV manifest with the columns `path` and
        `identity` (paths relative to its folder, or `procedural:SPEC#17`); or `procedural:SPEC`.
      flag: how errors call `spec`.

    Raises:
      InputError: one line, when there is nothing to open or it is not laid out like this.
    """
    spec = str(spec)
    if spec.startswith(_PROCEDURAL):
        return procedural.faces(spec.removeprefix(_PROCEDURAL), flag)
    path = pathlib.Path(spec)
    checks.require(
        os.path.exists(path),  # unlike Path.exists, False for a name too long for the system
        f'{flag}: {spec!r:.200} not found; expected a folder with one sub-folder per person, a CSV with '
        'the columns path,identity, or procedural:SPEC',
    )
    if path.is_dir():
        return _open_folder(path, flag)
    checks.require(
        path.suffix.lower() == '.csv',
        f'{flag}: {spec!r} is a file that is not a .csv manifest (path,identity)',
    )
    return _open_manifest(path, flag)


def write_manifest(path: str | os.PathLike, faces: Faces) -> None:
    """Writes `faces` as a CSV manifest that `open_faces` reads from anywhere on this machine."""
    paths = (
        path if path.startswith(_PROCEDURAL) else os.path.abspath(path) for path in faces.paths
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
        raise checks.InputError(
            f'{flag}: {error.filename} can not be read: {error.strerror}'
        ) from error
    lost = [entry for entry in entries if not entry.exists() and entry.name[0] != '.']
    checks.require(not lost, f'{flag}: {lost and lost[0]} is a link to nowhere; remove or mend it')
    loose = any(entry.suffix.lower() in SUFFIXES for entry in entries)
    checks.require(
        files,
        f'{flag}: {root} holds images but no sub-folders; expected one sub-folder per person'
        if loose
        else f'{flag}: no images in sub-folders of {root}; expected one sub-folder per person with '
        f'{", ".join(SUFFIXES)} files',
    )
    return _from_files(str(root), [file for file, _ in files], [person for _, person in files])


def _open_manifest(path, flag):
    rows = _read_rows(path, flag)
    drawn: dict[str, list[int]] = {}
    for row, (image, _) in enumerate(rows):
        if image.startswith(_PROCEDURAL):
            drawn.setdefault(image.partition('#')[0], []).append(row)
    files = [row for row, (image, _) in enumerate(rows) if not image.startswith(_PROCEDURAL)]
    parts = [
        _from_files(
            str(path),
            [path.parent / rows[row][0] for row in files],
            [rows[row][1] for row in files],
        )
    ]
    order = list(files)
    for spec, members in drawn.items():
        source = open_faces(spec, flag)
        numbers = [rows[row][0].partition('#')[2] for row in members]
        for row, number in zip(members, numbers, strict=True):
            checks.require(
                number.isdecimal() and len(number) < 20 and int(number) < len(source),
                f'{flag}: {path} line {row + 2}: found {rows[row][0]!r:.200}, expected an image number '
                f'below {len(source)} behind #',
            )
        chosen = source.select([int(number) for number in numbers])
        # The manifest says who it is, as with files.
        names = tuple(rows[row][1] for row in members)
        parts.append(dataclasses.replace(chosen, identities=names))
        order += members
    everything = concat(parts, str(path))
    return everything.select(np.argsort(np.asarray(order)))


def _read_rows(path, flag):
    rows, seen = [], set()
    for number, values in tables.rows(path, ('path', 'identity'), f'{flag}: {path}'):
        image, identity = (value.strip() for value in values)
        where = f'{flag}: {path} line {number}'
        checks.require(image and identity, f'{where}: empty path or identity')
        checks.require(image not in seen, f'{where}: {image!r} stands there twice')
        seen.add(image)
        rows.append((image, identity))
    checks.require(rows, f'{flag}: {path} lists no images')
    return rows


def _from_files(name: str, files: Sequence[pathlib.Path], identities: Sequence[str]) -> Faces:
    paths = tuple(str(file) for file in files)
    return Faces(
        name=name,
        identities=tuple(identities),
        paths=paths,
        read=lambda index: read_image(paths[index]),
        digest=lambda index: _file_digest(paths[index]),
    )


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads one image file as [h, w, 3] uint8 RGB, upright, whatever its mode.

    Raises:
      BadImageError: naming the file and the reason.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)  # odd EXIF blocks are no reason to stop
            warnings.simplefilter('error', Image.DecompressionBombWarning)
            with _open(path) as file, Image.open(file, formats=_FORMATS) as image:
                if max(image.size) > _LONGEST * min(image.size):
                    raise ValueError(f'{image.width} x {image.height} pixels, a strip')
                upright = ImageOps.exif_transpose(image)
                if upright.mode.startswith('I;16'):
                    return np.repeat((np.asarray(upright) >> 8).astype(np.uint8)[..., None], 3, -1)
                return np.asarray(upright.convert('RGB'))
    except BadImageError:
        raise
    except (
        *(OSError, SyntaxError, ValueError, EOFError, struct.error),  # the last from odd EXIF
        *(Image.DecompressionBombError, Image.DecompressionBombWarning),
    ) as error:
        raise BadImageError(f'{path}: not a readable image: {error}') from error


def _open(path):
    """Opens a regular file; a pipe would be waited for."""
    try:
        checks.require(stat.S_ISREG(os.stat(path).st_mode), 'no regular file')
        return open(path, 'rb')
    except FileNotFoundError as error:
        raise BadImageError(f'{path}: not found') from error
    except (OSError, ValueError) as error:  # the latter for NUL in a name
        reason = getattr(error, 'strerror', None) or error
        raise BadImageError(f'{path!s:.200}: can not be opened: {reason}') from error


def _file_digest(path):
    with _open(path) as file:
        try:
            return hashlib.file_digest(file, 'sha256').hexdigest()
        except OSError as error:
            raise BadImageError(f'{path}: {error.strerror}') from error
