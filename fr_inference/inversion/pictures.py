"""Writes reconstructions as images: one file for each, and one sheet of all."""

import os
import pathlib

import numpy as np
from PIL import Image

from fr_inference import errors, files

_COLUMNS = 8


def save(images: np.ndarray, directory: str | os.PathLike) -> None:
    """Writes [M, R, R, 3] uint8 images to reconstructions/NNNN.png and reconstructions.png.

    Args:
      images: M of them.
      directory: an existing folder. Only one process calls this.

    Raises:
      InputError: where there is a file of that name already.
    """
    directory = pathlib.Path(directory)
    folder = directory / 'reconstructions'
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise errors.InputError(str(folder), error.strerror, 'a folder') from error
    for number, image in enumerate(images):
        _write(image, folder / f'{number:04d}.png')
    _write(sheet(images), directory / 'reconstructions.png')


def _write(image, path):
    with files.replacing(path) as temporary:
        Image.fromarray(image).save(temporary)


def sheet(images: np.ndarray) -> np.ndarray:
    """Returns [M, R, R, 3] uint8 images side by side, eight in a row, on white."""
    count = -(-len(images) // _COLUMNS)
    size = images.shape[1]
    cells = np.full((count * _COLUMNS, size, size, 3), 255, np.uint8)
    cells[: len(images)] = images
    cells = cells.reshape(count, _COLUMNS, size, size, 3).swapaxes(1, 2)
    return cells.reshape(count * size, _COLUMNS * size, 3)
