"""Writes what a search found: every reconstruction as a picture, a sheet of all, and a table."""

import os
import pathlib

import numpy as np
from PIL import Image

from fr_inference import errors, processes, tables
from fr_inference.inversion.stage import Inversion

_COLUMNS = 8


def save(result: Inversion, directory: str | os.PathLike) -> None:
    """Writes reconstructions.csv, reconstructions.png and reconstructions/NNNN.png.

    Args:
      result: of stage 2.
      directory: exists.

    Raises:
      InputError: where there is a file of that name already.
    """
    directory = pathlib.Path(directory)
    columns = rows(result)
    tables.write(directory / 'reconstructions.csv', columns, zip(*columns.values(), strict=True))
    save_pictures(result.found.images, directory)


def save_pictures(images: np.ndarray, directory: str | os.PathLike) -> None:
    """Writes [M, R, R, 3] uint8 pictures to reconstructions/NNNN.png and one sheet of all.

    Of several processes the first does.

    Raises:
      InputError: where there is a file of that name already.
    """
    if not processes.is_first():
        return
    directory = pathlib.Path(directory)
    folder = directory / 'reconstructions'
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise errors.InputError(f'{folder}: {error.strerror}, expected a folder') from error
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f'{number:04d}.png')
    Image.fromarray(sheet(images)).save(directory / 'reconstructions.png')


def rows(result: Inversion) -> dict[str, list]:
    """Returns what the evaluator says of every reconstruction: column -> M values, the best first."""
    found, judged, names = result.found, result.judged, np.array(result.gallery.names)
    hit = judged.matched & result.gallery.member[judged.nearest]
    columns = {
        'number': np.arange(len(hit)),
        'objective': found.scores,
        'membership_logit': found.logits,
        'nearest': names[judged.nearest],
        'similarity': judged.similarity,
        'hit': hit.astype(int),
        'nearest_member': names[judged.nearest_member],
        'member_similarity': judged.member_similarity,
        'nearest_nonmember': names[judged.nearest_other],
        'nonmember_similarity': judged.other_similarity,
        'claim_rank': judged.rank + 1,
    }
    return {name: values.tolist() for name, values in columns.items()}


def sheet(images: np.ndarray) -> np.ndarray:
    """Returns [M, R, R, 3] uint8 pictures side by side, eight in a row, on white."""
    count = -(-len(images) // _COLUMNS)
    size = images.shape[1]
    cells = np.full((count * _COLUMNS, size, size, 3), 255, np.uint8)
    cells[: len(images)] = images
    cells = cells.reshape(count, _COLUMNS, size, size, 3).swapaxes(1, 2)
    return cells.reshape(count * size, _COLUMNS * size, 3)
