"""Aligns the photographs that a CSV of landmarks lists: one PNG for each row."""

import os
import pathlib
from collections.abc import Iterator

import numpy as np

from fr_inference import errors, files, program_config, tables
from fr_inference.data import align
from fr_inference.formats import images

POINTS = ('left_eye', 'right_eye', 'nose', 'mouth_left', 'mouth_right')
COLUMNS = tuple(f'{point}_{axis}' for point in POINTS for axis in 'xy')


def align_files(options: program_config.Alignment) -> int:
    """Writes OUT/PATH.png for each row of the landmarks; returns how many.

    Raises:
      InputError: for a row that cannot be used, or whose file would lie outside `out` or replace the
        file of another row.
      BadImageError: for an image that cannot be read.
    """
    faces, out = pathlib.Path(options.faces), pathlib.Path(options.out).resolve()
    if not os.path.isdir(faces):
        raise errors.InputError('faces', f'{faces!s:.200}', 'a folder')
    if not os.path.isfile(options.landmarks):
        raise errors.InputError('landmarks', f'{options.landmarks!s:.200}', 'a CSV file')
    written: dict[pathlib.Path, str] = {}
    for line, listed, points in _rows(options.landmarks):
        name = tables.as_found(faces, listed.strip())
        where = f'{options.landmarks}: {line}'
        target = _target(out, name, where)
        if target in written:
            raise errors.InputError(
                'landmarks',
                f'{name!r}, which would overwrite the image of {written[target]!r}',
                hint='rename one',
                inside=where,
            )
        image = images.read_image(faces / name)
        try:
            aligned = align.align(image, points)
        except errors.InputError as error:
            raise errors.InputError(
                'landmarks', error.found, error.expected, error.hint, inside=where
            ) from error
        try:
            with files.replacing(target) as temporary:
                temporary.write_bytes(images.encode_png(aligned))
        except OSError as error:
            raise errors.InputError(
                'out', f'{target} that cannot be written ({error.strerror})'
            ) from error
        written[target] = name
    return len(written)


def _target(out, name, where):
    """Returns the file to write, which lies inside `out` whatever the name."""
    if '\0' in name or not pathlib.Path(name).name:
        raise errors.InputError('landmarks', f'{name[:80]!r}', 'the name of an image', inside=where)
    target = (out / name).with_suffix('.png').resolve()
    if not target.is_relative_to(out) or target.parent == target:
        raise errors.InputError(
            'landmarks', f'{name[:80]!r}, which lies outside out', 'a path inside', inside=where
        )
    return target


def _rows(path) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yields ('line N', path of the image, [5, 2] points) row by row."""
    try:
        for number, (name, *numbers) in tables.rows(path, ('path', *COLUMNS)):
            line = f'line {number}'
            try:
                points = np.array([float(value) for value in numbers]).reshape(5, 2)
            except ValueError:
                points = np.full((5, 2), np.nan)
            if not name or not np.isfinite(points).all():
                raise errors.InputError(
                    str(path), f'{name[:80]!r}', 'a path and ten finite numbers', inside=line
                )
            yield line, name, points
    except errors.InputError as error:
        raise error.within('landmarks') from error
