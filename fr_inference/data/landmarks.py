"""Aligns photographs by landmarks from a CSV or from a detector."""

import concurrent.futures
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from fr_inference import errors, files, program_config, tables
from fr_inference.data import align, aligned, detector, sources
from fr_inference.data.detector import Detector
from fr_inference.formats import images
from fr_inference.formats.images import BadImageError

POINTS = ('left_eye', 'right_eye', 'nose', 'mouth_left', 'mouth_right')
COLUMNS = tuple(f'{point}_{axis}' for point in POINTS for axis in 'xy')
FOUND = 'landmarks.csv'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Written:
    """The written images.

    Attributes:
      images: how many aligned images.
      left_out: (path, reason) of each photograph without a result.
      several: (path, number of faces) of each photograph with several faces; its main face was used.
    """

    images: int
    left_out: Sequence[tuple[str, str]] = ()
    several: Sequence[tuple[str, int]] = ()

    def __str__(self) -> str:
        parts = [f'{self.images} aligned images']
        if self.left_out:
            parts.append(f'{len(self.left_out)} photographs left out')
        if self.several:
            parts.append(f'{len(self.several)} with several faces (the main face was used)')
        return ', '.join(parts)


def align_files(options: program_config.Alignment, find: Detector | None = None) -> Written:
    """Writes OUT/PATH.png for each photograph, and the landmarks if they had to be found.

    Found landmarks go to OUT/landmarks.csv, in the format in which known landmarks are read.

    Args:
      options: what is aligned, and how.
      find: the detector for unknown landmarks; that of the extra `align` by default.

    Raises:
      InputError: for a row that cannot be used, or whose file would lie outside `out` or replace the
        file of another one.
      BadImageError: for an image that cannot be read or shows no face, unless `skip_bad`.
    """
    if not os.path.isdir(options.faces):
        raise errors.InputError('faces', f'{options.faces!s:.200}', 'a folder')
    if options.landmarks is None:
        return _by_detector(options, find)
    return _by_table(options)


def _by_table(options):
    faces, out = pathlib.Path(options.faces), pathlib.Path(options.out).resolve()
    if not os.path.isfile(options.landmarks):
        raise errors.InputError('landmarks', f'{options.landmarks!s:.200}', 'a CSV file')
    written: dict[pathlib.Path, str] = {}
    left_out = []
    for line, listed, points in _rows(options.landmarks):
        name = tables.as_found(faces, listed.strip())
        where = f'{options.landmarks}: {line}'
        target = _target(out, name, 'landmarks', where)
        _take(written, target, name, 'landmarks', where)
        try:
            image = images.read_image(faces / name)
        except BadImageError as error:
            if not options.skip_bad:
                raise
            left_out.append((name, str(error)))
            continue
        try:
            made = align.align(image, points)
        except errors.InputError as error:
            raise errors.InputError(
                'landmarks', error.found, error.expected, error.hint, inside=where
            ) from error
        _write(target, made)
    return Written(images=len(written) - len(left_out), left_out=left_out)


def _by_detector(options, find):
    root, out = pathlib.Path(options.faces), pathlib.Path(options.out).resolve()
    faces = sources.open_faces(root)
    find = find or detector.open_detector('landmarks')
    names = [pathlib.Path(path).relative_to(root).as_posix() for path in faces.paths]
    written: dict[pathlib.Path, str] = {}
    for name in names:
        _take(written, _target(out, name, 'faces', ''), name, 'faces', '')

    def one(index, target):
        try:
            # Landmarks are in the pixels of the original picture
            image = images.read_image(faces.paths[index])
            located = aligned.locate(image, find, faces.paths[index])
            _write(target, aligned.crop(image, located, faces.paths[index]))
        except BadImageError as error:
            if not options.skip_bad:
                raise
            return error
        return located

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = [pool.submit(one, index, target) for index, target in enumerate(written)]
        try:
            found = dict(zip(names, (job.result() for job in jobs), strict=True))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    located = {name: one for name, one in found.items() if isinstance(one, aligned.Located)}
    if not located:
        raise errors.InputError('faces', f'no face in {len(names)} photographs')
    rows = ([name, *one.landmarks.ravel().tolist()] for name, one in located.items())
    try:
        tables.write(out / FOUND, ('path', *COLUMNS), rows)
    except OSError as error:
        raise _unwritable(out / FOUND, error) from error
    return Written(
        images=len(located),
        left_out=[(name, str(one)) for name, one in found.items() if name not in located],
        several=[(name, one.faces) for name, one in located.items() if one.faces > 1],
    )


def _take(written, target, name, field, where):
    if target in written:
        raise errors.InputError(
            field,
            f'{name!r}, which would overwrite the image of {written[target]!r}',
            hint='rename one',
            inside=where,
        )
    written[target] = name


def _write(target, made):
    try:
        with files.replacing(target) as temporary:
            temporary.write_bytes(images.encode_png(made))
    except OSError as error:
        raise _unwritable(target, error) from error


def _unwritable(path, error):
    return errors.InputError('out', f'{path} that cannot be written ({error.strerror})')


def _target(out, name, field, where):
    """Returns the file to write; never outside `out`, whatever the name."""
    if '\0' in name or not pathlib.Path(name).name:
        raise errors.InputError(field, f'{name[:80]!r}', 'the name of an image', inside=where)
    target = (out / name).with_suffix('.png').resolve()
    if not target.is_relative_to(out) or target.parent == target:
        raise errors.InputError(
            field, f'{name[:80]!r}, which lies outside out', 'a path inside', inside=where
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
