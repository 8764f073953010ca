"""Aligns photographs by five landmarks to the 112 x 112 template face networks are trained on."""

import csv
import pathlib

import numpy as np
from absl import flags
from PIL import Image

from experiments import cli
from fr_inference import checks
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
    root, out, done = pathlib.Path(_FACES.value), pathlib.Path(_OUT.value).resolve(), 0
    path = pathlib.Path(_LANDMARKS.value)
    checks.require(path.is_file(), f'--landmarks: {path} not found, expected a CSV file')
    with open(path, newline='', encoding='utf-8-sig') as file:
        reader = csv.DictReader(file)
        missing = [name for name in ('path', *COLUMNS) if name not in (reader.fieldnames or ())]
        checks.require(not missing, f'--landmarks: {path} lacks the columns {", ".join(missing)}')
        for number, row in enumerate(reader, start=2):
            try:
                points = np.array([float(row[name]) for name in COLUMNS]).reshape(5, 2)
            except (TypeError, ValueError) as error:
                raise checks.InputError(
                    f'--landmarks: {path} line {number}: expected ten numbers'
                ) from error
            target = (out / row['path']).with_suffix('.png')
            checks.require(
                target.resolve().is_relative_to(out),
                f'--landmarks: {path} line {number}: {row["path"]!r} climbs out of --out',
            )
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(align.align(sources.read_image(root / row['path']), points)).save(
                target
            )
            done += 1
    print(f'{out}: {done} aligned images')


if __name__ == '__main__':
    cli.run(main)
