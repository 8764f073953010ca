"""Scores that were computed before: one row for each image content, appended as they are computed.

A folder for each way of scoring (weights, architecture, input, scaling, kind of device) holds
`names.bin`, 40 bytes for each image, and `rows.bin`, its distances and embedding. Whatever order
images come in, in whatever audit, a row is found by the SHA-256 of the image's content, which the name
begins with; 8 bytes of the SHA-256 of the row follow, so that no damaged row is used.
"""

import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any, BinaryIO

import jax
import numpy as np

from fr_inference import checkpointing, devices, provenance
from fr_inference.models import registry
from fr_inference.models.target import Target

SCHEMA = 2
_DIGEST_BYTES = 32
_NAME_BYTES = _DIGEST_BYTES + 8


def describe(target: Target, scaling: str, mirror: bool) -> dict[str, Any] | None:
    """Returns all that a row depends on besides the image; None for no registered architecture."""
    if target.architecture not in registry.VARIANTS:
        return None
    return {
        'schema': SCHEMA,
        'weights': checkpointing.digest(target.variables),
        'architecture': target.architecture,
        'config': {name: str(value) for name, value in sorted(dict(target.config).items())},
        'input': json.dumps(dataclasses.asdict(target.input)),
        'scaling': scaling,
        'mirror': mirror,
        'device': devices.local()[0].device_kind,
        'jax': jax.__version__,
    }


class Store:
    """The rows of one way of scoring. One process at a time writes; who comes second only reads."""

    def __init__(self, folder: str | os.PathLike, described: dict[str, Any], width: int):
        """Opens or makes it.

        Args:
          folder: of all ways of scoring.
          described: this one, by `describe`.
          width: numbers in a row.

        Raises:
          InputError: when the folder holds something else.
        """
        text = json.dumps(described, sort_keys=True)
        self._folder = pathlib.Path(folder) / hashlib.sha256(text.encode()).hexdigest()[:16]
        self._row = np.dtype((np.float32, (width,)))
        provenance.claim_run_here(self._folder, {**described, 'width': width})
        self._names = (self._folder / 'names.bin').open('ab')
        self._rows = (self._folder / 'rows.bin').open('ab')
        try:
            fcntl.flock(self._names, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._writes = True
        except OSError:
            self._writes = False
        # A name is written after its row: what was cut off by a kill has none, or half of one.
        self._count = min(
            self._names.tell() // _NAME_BYTES, self._rows.tell() // self._row.itemsize
        )
        if self._writes:
            self._names.truncate(self._count * _NAME_BYTES)
            self._rows.truncate(self._count * self._row.itemsize)

    def __enter__(self) -> 'Store':
        return self

    def __exit__(self, *_: object) -> None:
        self._names.close()
        self._rows.close()

    def lookup(self, digests: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns which images have a row, and the rows.

        Args:
          digests: N contents (SHA-256, hex), '' for none.

        Returns:
          ([N] bool, [K, width] float32 of those K).
        """
        mask = np.zeros(len(digests), bool)
        if not self._count:
            return mask, np.zeros((0, *self._row.shape), np.float32)
        names = (self._folder / 'names.bin').read_bytes()
        there = {
            names[start : start + _DIGEST_BYTES]: number
            for number, start in enumerate(range(0, self._count * _NAME_BYTES, _NAME_BYTES))
        }
        shape = (self._count, *self._row.shape)
        rows = np.memmap(self._folder / 'rows.bin', np.float32, 'r', shape=shape)
        found = []
        for position, digest in enumerate(digests):
            content = bytes.fromhex(digest)
            number = there.get(content)
            if number is None:
                continue
            name = names[number * _NAME_BYTES : (number + 1) * _NAME_BYTES]
            if name == _name(content, rows[number].tobytes()):
                mask[position] = True
                found.append(number)
        return mask, np.array(rows[found])

    def append(self, digests: Sequence[str], rows: np.ndarray) -> None:
        """Adds rows that are finite, of images whose content is known; all else is left out.

        Args:
          digests: n contents, '' for none.
          rows: [n, width] float32.
        """
        if not self._writes:
            return
        good = np.isfinite(rows).all(-1) & np.array([bool(digest) for digest in digests], bool)
        kept = np.ascontiguousarray(rows[good], np.float32)
        contents = [digest for digest, fine in zip(digests, good, strict=True) if fine]
        pairs = zip(contents, kept, strict=True)
        _write(self._rows, kept.tobytes())
        _write(
            self._names,
            b''.join(_name(bytes.fromhex(digest), row.tobytes()) for digest, row in pairs),
        )


def _name(content: bytes, row: bytes) -> bytes:
    return content + hashlib.sha256(row).digest()[: _NAME_BYTES - _DIGEST_BYTES]


def _write(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
