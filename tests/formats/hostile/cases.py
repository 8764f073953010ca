"""The table of hostile files, and what their makers share."""

import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from tests.formats import states, writer

Maker = Callable[[pathlib.Path], object]
CASES: dict[str, tuple[str, Maker]] = {}
"""Name -> (words of the one line of error, maker)."""
GENERATORS: set[str] = set()
"""Names of those that are opened as a generator, the others as a target."""
PROTO, STOP = writer.PROTO, b'.'


def case(words: str, *names: str) -> Callable[[Callable], Callable]:
    """Registers a maker; with names, one case for each, the name as its second argument."""

    def register(maker):
        base = maker.__name__
        for name in names or ('',):
            made = (lambda path, name=name: maker(path, name)) if name else maker
            full = f'{base}_{name}'.strip('_')
            assert full not in CASES, full
            CASES[full] = (words, made)
        return maker

    return register


def tiny(**changes: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the state dict of a small IResNet, some tensors in place of its own."""
    return {**states.filled(states.iresnet()), **changes}


def pickle_in(
    path: pathlib.Path, operations: bytes, form: str = 'zip', blocks: Sequence[np.ndarray] = ()
) -> None:
    """Writes a checkpoint file around one pickle's operations."""
    path.write_bytes(writer.FORMATS[form](PROTO + operations + STOP, list(blocks)))
