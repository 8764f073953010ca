"""Further columns of a manifest, in bounded memory: each value once, and a number per row."""

import array
from collections.abc import Sequence

import numpy as np

from fr_inference.data import lazy_names, spellings

MOST = 100  # columns
_MOST_VALUES = 1 << 23  # different values, of all columns together
_ROWS = 1 << 13  # rows between two checks of how many there are


class ManifestColumns:
    """The columns of a table other than path and identity, row by row.

    >>> columns = ManifestColumns(['camera'])
    >>> columns.add(['phone'])
    >>> columns.found()['camera'][0]
    'phone'
    """

    def __init__(self, names: Sequence[str]):
        """Takes the names; of more than 100 the first are kept."""
        self.names = list(names[:MOST])
        self._left_out = list(names[MOST:])
        self._values: list[dict[str, int]] = [{} for _ in self.names]
        self._numbers = [array.array('q') for _ in self.names]
        self._kept = list(range(len(self.names)))
        self._rows = 0

    def add(self, values: Sequence[str]) -> None:
        """Keeps a row: a value for each of `names`."""
        for column in self._kept:
            known = self._values[column]
            self._numbers[column].append(known.setdefault(values[column], len(known)))
        self._rows += 1
        if self._rows % _ROWS == 0:
            self._bound()

    def _bound(self):
        """Drops the column with the most values, such as a text for each image."""
        while sum(map(len, self._values)) > _MOST_VALUES:
            most = max(self._kept, key=lambda column: len(self._values[column]))
            self._kept.remove(most)
            self._left_out.append(self.names[most])
            self._values[most], self._numbers[most] = {}, array.array('q')

    def found(self) -> dict[str, Sequence[str]]:
        """Returns name -> the value of each row."""
        return {
            self.names[column]: lazy_names.Repeated(
                self._values[column], np.asarray(self._numbers[column])
            )
            for column in self._kept
        }

    @property
    def remarks(self) -> list[str]:
        """A line on the columns that were left out."""
        if not self._left_out:
            return []
        listed = spellings.listed(self._left_out)
        return [f'left out, further columns: {len(self._left_out)} ({listed})']
