"""Reads verification pairs: a CSV that says which images to compare and who is on both."""

import dataclasses
import os
import pathlib

import numpy as np

from fr_inference import errors, tables
from fr_inference.data import sources
from fr_inference.data.faces import Faces

COLUMNS = ('fold', 'first', 'second', 'same')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pairs:
    """P pairs of images.

    Attributes:
      faces: the images that the pairs name, each once.
      first: [P] int positions in `faces`.
      second: [P] int positions in `faces`.
      same: [P] bool, whether both show one person.
      folds: [P] int fold numbers.
    """

    faces: Faces
    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    folds: np.ndarray

    def __len__(self) -> int:
        return len(self.same)


def open_pairs(
    path: str | os.PathLike,
    spec: str | os.PathLike,
    *,
    flag: str = 'pairs',
    faces_flag: str = 'faces',
    identity_key: str | None = None,
    data_dir: str | None = None,
) -> Pairs:
    """Opens the pairs that a CSV with the columns fold,first,second,same lists.

    Args:
      path: the CSV; `first` and `second` are paths below the faces' folder (or, where the faces are a
        manifest or procedural, as they stand there); `same` is 1 or 0; `fold` a whole number.
      spec: the faces, as `sources.open_faces` takes them.
      flag: how errors call `path`.
      faces_flag: how errors call `spec`.
      identity_key: as of `sources.open_faces`.
      data_dir: as of `sources.open_faces`.

    Raises:
      InputError: one line that names the line of the CSV.
    """
    faces = sources.open_faces(spec, faces_flag, identity_key=identity_key, data_dir=data_dir)
    path, root = pathlib.Path(path), pathlib.Path(spec)
    root = root if root.is_dir() else root.parent
    errors.require(os.path.isfile(path), f'{flag}: {path!s:.200} not found, expected a CSV file')
    known = {name: position for position, name in enumerate(faces.paths)}
    positions: list[tuple[int, int]] = []
    labels: list[tuple[int, bool]] = []
    for line, (fold, *names, same) in tables.rows(path, COLUMNS, f'{flag}: {path}'):
        where = f'{flag}: {path} line {line}'
        fold, same = fold.strip(), same.strip()
        errors.require(
            fold.isdecimal() and len(fold) <= 6,
            f'{where}: found fold {fold[:40]!r}, expected a whole number',
        )
        errors.require(
            same in ('0', '1'), f'{where}: found same {same[:40]!r}, expected 1 (one person) or 0'
        )
        found = []
        for name in names:
            position = known.get(name, known.get(str(root / name)))
            if position is None:
                raise errors.InputError(
                    f'{where}: {name[:120]!r} is not among the {len(faces)} images of '
                    f'{faces_flag} ({spec})'
                )
            found.append(position)
        errors.require(found[0] != found[1], f'{where}: compares an image with itself')
        positions.append((found[0], found[1]))
        labels.append((int(fold), same == '1'))
    errors.require(labels, f'{flag}: {path} lists no pairs')
    used, index = np.unique(np.asarray(positions), return_inverse=True)
    first, second = index.reshape(-1, 2).T
    return Pairs(
        faces=faces.select(used),
        first=first,
        second=second,
        same=np.array([same for _, same in labels]),
        folds=np.array([fold for fold, _ in labels]),
    )
