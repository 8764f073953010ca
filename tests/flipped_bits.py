"""Files that a disk or a copy damaged: one bit flipped at a seeded place, or cut short."""

import pathlib
from collections.abc import Iterator

import numpy as np


def each(file: pathlib.Path, count: int, seed: int = 0, stop: int | None = None) -> Iterator[int]:
    """Damages a file `count` times, a bit each, and restores it at the end.

    Args:
      file: changed in its place.
      count: of bits.
      seed: of their places.
      stop: bytes of the file that are reached; all by default.

    Yields:
      The position of the byte, while its bit is flipped.
    """
    data = file.read_bytes()
    for bit in np.random.default_rng(seed).integers(0, 8 * (stop or len(data)), count).tolist():
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        yield bit // 8
    file.write_bytes(data)
