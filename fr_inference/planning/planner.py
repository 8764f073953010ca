"""The plan: every part of a program compiled for every topology, with memory and least time."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from fr_inference.benchmarking import least_time
from fr_inference.planning import compiling, largest, measured, timed_run, topologies
from fr_inference.planning.compiling import Figures
from fr_inference.planning.topologies import Topology
from fr_inference.planning.workload import Part
from fr_inference.program_config import Planning
from fr_inference.runs import Progress

LEFT_OUT = (
    'reading and decoding images, copies to the devices, time between devices (collectives), launches, '
    'compilation, the judge and its statistics'
)


def plan(
    asked: Planning,
    parts: Sequence[Part],
    *,
    kept: pathlib.Path | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Returns a plan for each topology, ready for JSON.

    Args:
      asked: topologies, prices, measurements, and whether to look for the largest batch.
      parts: of the program, by `workload.parts_of`.
      kept: folder of the figures of earlier plans.
      progress: called as progress(label, done, total).

    Raises:
      InputError: for a topology that is not known or has no compiler here, and for a file of --measured
        that `benchmark` did not write.
    """
    for name in asked.topology:
        topologies.parse(name)
    benchmarks = measured.all_of(asked.measured)
    opened = [topologies.open_topology(name) for name in asked.topology]
    prices = asked.price_per_hour or (None,) * len(opened)
    plans, done = [], 0
    for topology, price in zip(opened, prices, strict=True):
        rows: list[dict[str, Any]] = []
        notes: list[str] = []
        for part in parts:
            row = _row(part, topology, asked.largest, kept)
            size = row['examples_per_device']
            found, differing = measured.beside(part, size, topology, benchmarks)
            rows.append(row if found is None else {**row, 'measured': found})
            notes += differing
            done += 1
            if progress is not None:
                progress('compiling', done, len(opened) * len(parts))
        plans.append({**_together(topology, rows, price), 'not_compared': notes})
    return plans


def _row(part: Part, topology: Topology, wanted: bool, kept) -> dict[str, Any]:
    on = topology.devices if part.everywhere else topology.local
    size = part.size(topology)
    known: dict[int, Figures] = {}

    def measure(size: int) -> Figures:
        if size not in known:
            found = compiling.figures(part.program(on, size).lower(), topology, kept)
            if found.fits and found.flops is None:
                counted = part.flops()
                found = dataclasses.replace(
                    found, flops=None if counted is None else counted * size
                )
            known[size] = found
        return known[size]

    found = measure(size)
    row = {
        'part': part.name,
        'unit': part.unit,
        'amount': part.amount,
        'option': part.option,
        'devices': len(on),
        **_figures(part, topology, size, found),
    }
    if wanted and part.limits:
        most, best = largest.largest(measure, size, topology.available)
        row['largest'] = None if best is None else _figures(part, topology, most, best)
    row['compiled'] = {str(size): found.compile_seconds for size, found in sorted(known.items())}
    if topology.real and found.fits:
        row['measured_seconds_per_call'] = timed_run.seconds(part.program(on, size))
    return row


def _figures(part: Part, topology: Topology, size: int, found: Figures) -> dict[str, Any]:
    """The requirements of one size; no time if it does not fit."""
    count = len(topology.devices if part.everywhere else topology.local)
    figures: dict[str, Any] = {
        'examples_per_device': size,
        # Of training and measuring the option counts the images of all devices of a process or program.
        'option_value': size if part.option == 'search_batch' else size * count,
        'fits': found.fits,
        'memory_bytes': dict(found.memory),
        'memory_available_bytes': topology.available,
    }
    if not found.fits:
        return figures
    flops, moved = found.flops or 0.0, found.bytes or 0.0
    least = least_time.of_call(flops, moved, topology.chip, narrow=part.narrow)
    total = least.seconds * least_time.calls(part.amount, size, len(topology.devices))
    return figures | {
        'flops': found.flops,
        'bytes': found.bytes,
        'bytes_accessed': found.accessed,
        'collectives': dict(found.collectives),
        'arithmetic_seconds': least.arithmetic,
        'memory_seconds': least.memory,
        'bound_by': least.bound_by,
        'least_seconds_per_call': least.seconds,
        'least_seconds_per_item': least.seconds / (size * len(topology.devices)),
        'least_hours': total / 3600,
    }


def _together(
    topology: Topology, rows: list[dict[str, Any]], price: float | None
) -> dict[str, Any]:
    fits = all(row['fits'] for row in rows)
    hours = sum(row['least_hours'] for row in rows) if fits else None
    cost = None if price is None or hours is None else hours * price * topology.chips
    return {
        'topology': topology.name,
        'chip': topology.devices[0].device_kind,
        'chips': topology.chips,
        'devices': len(topology.devices),
        'processes': topology.processes,
        'real': topology.real,
        'peak': dataclasses.asdict(topology.chip),
        'fits': fits,
        'least_hours': hours,
        'price_per_hour': price,
        'least_cost': cost,
        'parts': rows,
    }
