"""A group of the fuzzer: honest files, how they are changed, and what reads them."""

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Files = Mapping[str, bytes]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """Files of one kind.

    Attributes:
      seeds: honest ones, each a folder: name -> content.
      changes: of one file of the folder.
      read: (folder, number of the input) -> what it was read as, None where that does not matter.
      exact: whether a changed file must be read as what was written, or be refused.
    """

    seeds: Sequence[Files]
    changes: Sequence[Callable]
    read: Callable[[pathlib.Path, int], Any]
    exact: bool = False

    def input(self, draw: np.random.Generator) -> Files:
        """Returns one folder, one of its files changed once or several times."""
        files = dict(self.seeds[draw.integers(len(self.seeds))])
        names = sorted(files)
        name = names[draw.integers(len(names))]
        for _ in range(1 if self.exact else draw.integers(1, 3)):
            change = self.changes[draw.integers(len(self.changes))]
            others = [seed.get(name, b'') for seed in self.seeds]
            # What was changed once may no longer have the parts that a second change looks for.
            with contextlib.suppress(Exception):
                files[name] = change(draw, files[name], others) if files[name] else files[name]
        return files


def written(write: Callable[[pathlib.Path], object]) -> dict[str, bytes]:
    """Returns all files that `write` leaves in a folder, by their paths below it."""
    with tempfile.TemporaryDirectory() as made:
        write(pathlib.Path(made) / 'x')
        root = pathlib.Path(made) / 'x'
        root = root if root.is_dir() else root.parent
        return {
            str(file.relative_to(root)): file.read_bytes()
            for file in sorted(root.rglob('*'))
            if file.is_file()
        }
