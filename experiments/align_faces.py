"""Aligns photographs by five landmarks to the 112 x 112 template face networks are trained on."""

import os
import pathlib

import numpy as np
from absl import flags
from PIL import Image

from experiments import cli
from fr_inference import errors, tables
from fr_inference.data import align, sources

_FACES = flags.DEFINE_string('faces', None, 'Folder the paths are relative to.', required=True)
_LANDMARKS = flags.DEFINE_string(
    'landmarks',
    None,
    'CSV with the columns path and x, y of left eye, right eye, nose, left and right mouth corner.',
    required=True,
)
_OUT = flags.DEFINE_string('out', None, 'Folder for the aligned PNG images.', required=True)

COLUMNS = tuple(
    f'{point}_{axis}'
    for point in ('left_eye', 'right_eye', 'nose', 'mouth_left', 'mouth_right')
    for axis in 'xy'
)


def main() -> None:
    """Writes OUT/PATH.png for each row of the landmarks."""
    faces = pathlib.Path(_FACES.value)
    errors.require(os.path.isdir(faces), f'--faces: {faces!s:.200} not found, expected a folder')
    rows = _read_landmarks(pathlib.Path(_LANDMARKS.value))
    out = cli.make_folder(_OUT.value, '--out').resolve()
    written: dict[pathlib.Path, str] = {}
    for where, name, points in rows:
        errors.require(
            '\0' not in name and pathlib.Path(name).name,
            f'{where}: {name[:80]!r} is no name of a file',
        )
        target = (out / name).with_suffix('.png').resolve()
        errors.require(
            target.is_relative_to(out) and target.parent != target,
            f'{where}: {name!r} climbs out of --out',
        )
        errors.require(
            target not in written,
            f'{where}: {name!r} would overwrite what {written.get(target)!r} gave; rename one',
        )
        image = sources.read_image(faces / name)
        try:
            aligned = align.align(image, points)
        except errors.InputError as error:
            raise errors.InputError(f'{where}: {error}') from error
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(aligned).save(target)
        except OSError as error:
            raise errors.InputError(f'{where}: {target} can not be written: {error}') from error
        written[target] = name
    print(f'{out}: {len(written)} aligned images')


def _read_landmarks(path):
    """Yields (where it stands, path of the image, [5, 2] points) row by row."""
    errors.require(
        os.path.isfile(path), f'--landmarks: {path!s:.200} not found, expected a CSV file'
    )
    table = tables.rows(path, ('path', *COLUMNS), f'--landmarks: {path}')
    for number, (name, *numbers) in table:
        where = f'--landmarks: {path} line {number}'
        try:
            points = np.array([float(value) for value in numbers]).reshape(5, 2)
        except ValueError:
            points = np.full((5, 2), np.nan)
        errors.require(
            name and np.isfinite(points).all(), f'{where}: expected a path and ten numbers'
        )
        yield where, name, points


if __name__ == '__main__':
    cli.run(main, shared=False, saves=False)
