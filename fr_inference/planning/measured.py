"""Compares a plan's bounds with times that `benchmark --out=FILE` measured.

A figure is shown if the device, the networks and the arithmetic match the plan; otherwise a line
says what differs.
"""

import dataclasses
import math
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from fr_inference import errors
from fr_inference.formats import bounds, regular_files
from fr_inference.planning.topologies import Topology
from fr_inference.planning.workload import Part
from fr_inference.weights import descriptions

_MOST_BYTES = 16 << 20
_EXPECTED = 'JSON of benchmark --what=scoring, inversion or training'
# Kind of benchmark -> (unit, whether one program spans all devices) of the corresponding part.
_PARTS = {
    'scoring': ('image', False),
    'inversion': ('candidate-step', False),
    'training': ('image', True),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """One row of a benchmark.

    Attributes:
      file: the file that contains it.
      what: the kind of benchmark, in `_PARTS`.
      name: of the networks.
      device: its kind, as JAX calls it.
      dtype: of the backbone's arithmetic.
      narrow: whether any part computed in bfloat16.
      size: examples at a time on a device.
      devices: how many worked together.
      rate: items a second of one of them.
    """

    file: str
    what: str
    name: str
    device: str
    dtype: str
    narrow: bool
    size: int
    devices: int
    rate: float

    def __post_init__(self):
        if not (self.size > 0 and self.devices > 0 and 0 < self.rate < math.inf):
            raise ValueError(f'a rate of {self.rate:g}')


def read(path: str) -> list[Measured]:
    """Returns the rows of a file.

    Raises:
      InputError: with the field 'measured', for a file of something else, or of loading.
    """
    file = pathlib.Path(path)
    try:
        if regular_files.size_of(file, _EXPECTED) > _MOST_BYTES:
            raise errors.InputError(path, 'more than 16 MiB', _EXPECTED)
        found = _rows(path, descriptions.parse(file.read_text(encoding='utf-8')))
    except errors.InputError as error:
        raise error.within('measured') from None
    except (ValueError, LookupError, TypeError, RecursionError, OSError) as error:
        other = f'something else ({bounds.brief(error)})'
        raise errors.InputError('measured', other, _EXPECTED, inside=path) from None
    if not found:
        raise errors.InputError('measured', 'no rows', _EXPECTED, inside=path)
    return found


def _rows(path, record):
    what, scaling = record['what'], record['scaling']
    if what not in _PARTS:
        raise errors.InputError(path, f'what={what!r:.40}', _EXPECTED)
    return [
        Measured(
            file=path,
            what=what,
            # Random weights are as fast as trained ones.
            name=str(row['name']).removeprefix('random '),
            device=str(scaling['device']),
            dtype=str(record['settings']['dtype']),
            narrow=bool(row['narrow']),
            size=int(row['size']),
            devices=int(row['devices']),
            rate=float(row['rate_per_device']),
        )
        for row in scaling['rows']
    ]


def beside(
    part: Part, size: int, topology: Topology, rows: Iterable[Measured]
) -> tuple[dict[str, Any] | None, list[str]]:
    """Returns (the figures of the measured row nearest to the plan, a line for each other row).

    The nearest row has the closest number of examples at a time, then the closest number of
    devices. The figures are None if no row can be compared or nothing of this kind was measured.

    Args:
      part: of the program.
      size: its examples at a time on a device.
      topology: the planned topology.
      rows: the measured rows.
    """
    device, count = topology.devices[0].device_kind, len(topology.devices)
    planned = (part.name.partition(': ')[2], device, part.dtype, _arithmetic(part))
    fitting: list[Measured] = []
    notes = []
    for row in rows:
        if _PARTS[row.what] != (part.unit, part.everywhere):
            continue
        was = (row.name, row.device, row.dtype, _arithmetic(row))
        differing = [(one, other) for one, other in zip(was, planned, strict=True) if one != other]
        if differing:
            measured, expected = differing[0]
            notes.append(f'{row.file}: measured {measured}, planned {expected}: not compared')
        else:
            fitting.append(row)
    if not fitting:
        return None, list(dict.fromkeys(notes))
    nearest = min(fitting, key=lambda row: (_apart(row.size, size), _apart(row.devices, count)))
    each = 1 / (nearest.rate * count)
    figures = {
        'file': nearest.file,
        'examples_per_device': nearest.size,
        'devices': nearest.devices,
        'seconds_per_item': each,
        'hours': part.amount * each / 3600,
    }
    return figures, []


def _arithmetic(one: Part | Measured) -> str:
    return 'bfloat16 in places' if one.narrow else 'float32 alone'


def _apart(one: int, other: int) -> float:
    return abs(math.log(one / other))


def all_of(paths: Sequence[str]) -> list[Measured]:
    """Returns the rows of some files."""
    return [row for path in paths for row in read(path)]
