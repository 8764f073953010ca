"""Machines by name, and their devices as compiler targets, without the machines themselves.

`v5e-8` and `v5p-8` are Google's names of accelerators. For v5p and tpu7x they count TensorCores,
two per chip. `h100x8` is eight GPUs; a host has at most eight.
"""

import dataclasses
import importlib.util
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax.experimental import topologies

from fr_inference import devices, errors
from fr_inference.benchmarking import chips
from fr_inference.benchmarking.chips import Chip
from fr_inference.planning import gpu_targets

_SCRIPT = 'bash launch/plan.sh'


@dataclasses.dataclass(frozen=True)
class Layout:
    """One TPU slice.

    Attributes:
      shape: of the slice, chips.
      host: the part of it on one host.
    """

    shape: tuple[int, ...]
    host: tuple[int, ...]

    @property
    def count(self) -> int:
        """Chips of the slice."""
        return _product(self.shape)

    @property
    def hosts(self) -> int:
        """Hosts of the slice."""
        return self.count // _product(self.host)


@dataclasses.dataclass(frozen=True)
class Tpu:
    """A generation of TPUs.

    Attributes:
      kind: of its devices, as JAX calls them.
      layouts: number in the name -> slice.
    """

    kind: str
    layouts: Mapping[int, Layout]


def _product(shape):
    found = 1
    for side in shape:
        found *= side
    return found


def _flat():
    """Slices of v5e and v6e: up to eight chips on one host, larger ones with four per host."""
    shapes = [(1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16)]
    return {
        _product(shape): Layout(shape, (*(shape if _product(shape) <= 8 else (2, 2)), 1))
        for shape in shapes
    }


def _cubes():
    """Slices of v5p and tpu7x up to 128 chips, by their TensorCores; four chips per host."""
    shapes = [(2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4), (4, 4, 4), (4, 4, 8)]
    return {2 * _product(shape): Layout(shape, (2, 2, 1)) for shape in shapes}


TPUS: Mapping[str, Tpu] = {
    'v5e': Tpu('TPU v5 lite', _flat()),
    'v6e': Tpu('TPU v6 lite', _flat()),
    'v5p': Tpu('TPU v5', _cubes()),
    'tpu7x': Tpu('TPU7x', _cubes()),
}
_PER_HOST = 8  # GPUs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Topology:
    """Devices that programs are compiled for.

    Attributes:
      name: the requested name.
      chip: the data sheet of a device.
      chips: number of chips, for the price.
      devices: all of them.
      local: those of the first process.
      real: whether they are present.
      available: bytes of a device's memory that a program gets.
      options: of the compiler.
    """

    name: str
    chip: Chip
    chips: int
    devices: Sequence[jax.Device]
    local: Sequence[jax.Device]
    real: bool
    available: float
    options: Mapping[str, Any] | None = None

    @property
    def processes(self) -> int:
        """Processes that share the work, one for each host."""
        return len(self.devices) // len(self.local)


def parse(name: str) -> tuple[str, Layout | int]:
    """Returns the family that a name begins with, and its slice or its number of GPUs.

    >>> parse('v5e-8')[1].shape, parse('v5p-8')[1].count, parse('h100x8')
    ((2, 4), 4, ('h100', 8))

    Raises:
      InputError: for another name.
    """
    found = re.fullmatch(r'([a-z][a-z0-9]*?)(?:-|x(?=\d+$))([1-9]\d{0,5})', name)
    family, number = (found[1], int(found[2])) if found else ('', 0)
    gpu = family in gpu_targets.GPUS and name == f'{family}x{number}'
    tpu = family in TPUS and name == f'{family}-{number}'
    if not gpu and not tpu:
        known = [*(f'{one}-N' for one in TPUS), *(f'{one}xN' for one in gpu_targets.GPUS)]
        raise errors.InputError('topology', f'{name!r:.40}', f'one of {", ".join(known)}')
    if tpu:
        layouts = TPUS[family].layouts
        if number not in layouts:
            listed = ', '.join(f'{family}-{one}' for one in layouts)
            raise errors.InputError('topology', name, f'an existing slice: {listed}')
        return family, layouts[number]
    if number > _PER_HOST and number % _PER_HOST:
        raise errors.InputError(
            'topology', name, f'up to {_PER_HOST} GPUs, or whole hosts of {_PER_HOST}'
        )
    return family, number


def open_topology(name: str) -> Topology:
    """Returns the devices: those of this process if they match the request, else the compiler's.

    Raises:
      InputError: for a name that is not known, and where this environment lacks the compiler.
    """
    family, size = parse(name)
    here, options, share = devices.local(), None, 1.0
    if isinstance(size, Layout):
        kind, count, hosts = TPUS[family].kind, size.count, size.hosts
        expected = count * (2 if family == 'tpu7x' else 1)
    else:
        kind, count, hosts = gpu_targets.GPUS[family].kind, size, max(1, size // _PER_HOST)
        # JAX reserves this share of a GPU at its first use, and programs get no more.
        expected, share = count, 0.75
    real = here[0].device_kind == kind and len(here) == expected
    if real:
        found = here
    elif isinstance(size, Layout):
        found = _tpus(family, size)
    else:
        found, options = _gpus(family, size), gpu_targets.OPTIONS
    assert len(found) == expected, f'{name}: {len(found)} devices'
    chip = chips.find(found[0].device_kind)
    assert chip is not None, f'no data sheet of {found[0].device_kind}'
    return Topology(
        name=name,
        chip=chip,
        chips=count,
        devices=found,
        local=found[: len(found) // hosts],
        real=real,
        available=share * chip.memory,
        options=options,
    )


def _tpus(family: str, layout: Layout) -> tuple[jax.Device, ...]:
    if importlib.util.find_spec('libtpu') is None:
        raise _absent('TPU')
    # Without these, libtpu queries a metadata server, which only a TPU's host has, and takes a
    # global lock.
    settings = {'TPU_SKIP_MDS_QUERY': '1', 'ALLOW_MULTIPLE_LIBTPU_LOAD': '1'}
    settings |= {'TPU_ACCELERATOR_TYPE': 'v5e-4', 'TPU_WORKER_HOSTNAMES': 'localhost'}
    for variable, value in settings.items():
        os.environ.setdefault(variable, value)
    bounds = (*layout.host, 1)[:3]
    shape = 'x'.join(map(str, layout.shape))
    described = topologies.get_topology_desc(
        platform='tpu', topology_name=f'{family}:{shape}', chips_per_host_bounds=bounds
    )
    # Ordered by host: the first ones belong to the first process.
    return tuple(sorted(described.devices, key=lambda device: (device.process_index, device.id)))


def _gpus(family: str, count: int) -> tuple[jax.Device, ...]:
    if importlib.util.find_spec('jax_cuda12_plugin') is None:
        raise _absent('GPU')
    here = min(count, _PER_HOST)
    try:
        described = topologies.get_topology_desc(
            platform='cuda',
            topology_name='',
            topology=f'1x{count // here}x{here}',
            target_config=gpu_targets.GPUS[family].text(),
        )
    except NotImplementedError:  # the plugin is installed, but not NVIDIA's libraries
        raise _absent('GPU') from None
    return tuple(described.devices)


def _absent(what):
    return errors.InputError(
        'topology',
        f'no {what} compiler in this environment',
        hint=f'run {_SCRIPT} with the same flags: it makes an environment that has the compilers',
    )
