"""Reads verification pairs: a CSV of pairs of images and whether they show the same person."""

import dataclasses
import functools
import os
import pathlib

import numpy as np

from fr_inference import addresses, errors, local_copies, tables
from fr_inference.config import Reading
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
      named: whether the identities of the faces are known.
    """

    faces: Faces
    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    folds: np.ndarray
    named: bool = True

    def __len__(self) -> int:
        return len(self.same)

    def twins(self, most: int) -> np.ndarray | None:
        """Returns [N, 2] positions in `faces` of the first N <= `most` pairs of one person.

        None if the identities of the faces are known.
        """
        if self.named:
            return None
        return np.stack([self.first, self.second], 1)[self.same][:most]


def open_pairs(
    path: str | os.PathLike,
    faces: str | os.PathLike,
    *,
    field: str = 'pairs',
    reading: Reading | None = None,
) -> Pairs:
    """Opens the pairs that a CSV with the columns fold,first,second,same lists.

    Args:
      path: the CSV; `first` and `second` are paths below the folder of the faces, or as a manifest or
        procedural faces write them; `same` is 1 or 0; `fold` is a whole number.
      faces: as `sources.open_faces` takes them.
      field: of errors about `path`.
      reading: as of `sources.open_faces`.

    Raises:
      InputError: names the line of the CSV.
    """
    source = sources.open_faces(faces, reading=reading)
    root = _root(faces)
    path = local_copies.path_of(path, field)
    if not os.path.isfile(path):
        raise errors.InputError(field, f'{path!s:.200}', 'a CSV file')
    try:
        positions, labels = _rows(path, source, root)
    except errors.InputError as error:
        raise error.within(field) from error
    used, index = np.unique(np.asarray(positions), return_inverse=True)
    first, second = index.reshape(-1, 2).T
    return Pairs(
        faces=source.select(used),
        first=first,
        second=second,
        same=np.array([same for _, same in labels]),
        folds=np.array([fold for fold, _ in labels]),
    )


def _root(faces):
    """Returns the base folder of image names; an address as text."""
    if addresses.is_address(faces):
        listed = addresses.suffix(faces) in ('.csv', '.tsv', '.rec')
        return addresses.parent(faces) if listed else faces
    root = pathlib.Path(faces)
    return root if root.is_dir() else root.parent


def _below(root, name):
    if isinstance(root, str):
        return addresses.joined(root, name)
    return str(root / tables.as_found(root, name))


def _rows(path, faces, root):
    """Returns ([(first, second)] positions, [(fold, same)])."""
    known = {name: position for position, name in enumerate(faces.paths)}
    positions: list[tuple[int, int]] = []
    labels: list[tuple[int, bool]] = []
    for line, (fold, *names, same) in tables.rows(path, COLUMNS):
        refused = functools.partial(errors.InputError, str(path), inside=f'line {line}')
        fold, same = fold.strip(), same.strip()
        if not fold.isdecimal() or len(fold) > 6:
            raise refused(f'fold {fold[:40]!r}', 'a whole number')
        if same not in ('0', '1'):
            raise refused(f'same {same[:40]!r}', '1 (one person) or 0')
        found = []
        for name in names:
            name = name.strip()
            position = known.get(name, known.get(_below(root, name)))
            if position is None:
                raise refused(
                    f'{name[:120]!r}', f'one of the {len(faces)} images of {faces.name:.200}'
                )
            found.append(position)
        if found[0] == found[1]:
            raise refused('an image and itself', 'two images')
        positions.append((found[0], found[1]))
        labels.append((int(fold), same == '1'))
    if not labels:
        raise errors.InputError(str(path), 'no pairs', 'a row for each')
    return positions, labels
