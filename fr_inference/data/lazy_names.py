"""Names that are made on request, so that millions of images need only numbers in memory."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np


class Numbered(Sequence[str]):
    """The names `prefix + str(number)`; only the numbers are kept.

    >>> list(Numbered('train.rec#', np.array([3, 7])))
    ['train.rec#3', 'train.rec#7']
    """

    def __init__(self, prefix: str, numbers: np.ndarray):
        """Keeps `numbers`, [N] whole numbers."""
        self._prefix = prefix
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Numbered(self._prefix, self._numbers[index])
        return f'{self._prefix}{self._numbers[index]}'

    def __iter__(self) -> Iterator[str]:
        return (f'{self._prefix}{number}' for number in self._numbers.tolist())

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sequence)
            and len(self) == len(other)
            and all(a == b for a, b in zip(self, other, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]

    def take(self, indices: np.ndarray) -> 'Numbered':
        """Returns the names at `indices`."""
        return Numbered(self._prefix, self._numbers[indices])


class Repeated(Sequence[str]):
    """Repeated names: each is stored once, with a number for each position.

    >>> list(Repeated(['ann', 'bob'], np.array([1, 1, 0])))
    ['bob', 'bob', 'ann']
    """

    def __init__(self, names: Iterable[str], numbers: np.ndarray):
        """Keeps the distinct `names`, and the number of the name at each of N places ([N])."""
        self._names = tuple(names)
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Repeated(self._names, self._numbers[index])
        return self._names[self._numbers[index]]

    def __iter__(self) -> Iterator[str]:
        return (self._names[number] for number in self._numbers.tolist())

    __eq__ = Numbered.__eq__
    __hash__ = None  # type: ignore[assignment]

    def take(self, indices: np.ndarray) -> 'Repeated':
        """Returns the names at `indices`."""
        return Repeated(self._names, self._numbers[indices])


def take(names: Sequence[str], indices: np.ndarray) -> Sequence[str]:
    """Returns the names at `indices` ([M] whole numbers), in the same form as `names`."""
    if isinstance(names, Numbered | Repeated):
        return names.take(indices)
    return tuple(names[index] for index in indices.tolist())
