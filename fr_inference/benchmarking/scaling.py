"""Measures a program on growing numbers of devices, with the same batch on each (weak scaling)."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np

from fr_inference import devices, errors, processes, profiling
from fr_inference.benchmarking import chips, least_time, program_text, timing
from fr_inference.runs import Progress

CPU_NOTE = (
    'Scaling over virtual CPU devices says nothing about speed: they share the cores of one '
    'processor.'
)

# Calls in flight. Only the last is waited for, as in real work, so that the input of the next call is
# transferred meanwhile. On a CPU there is no transfer.
_UNDER_WAY = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """A program on some devices.

    Attributes:
      lower: returns the program, traced and not compiled yet.
      call: given the compiled program, runs what is timed: one call and its transfers.
    """

    lower: Callable[[], Any]
    call: Callable[[Any], Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A task to measure on growing numbers of devices.

    Attributes:
      name: of the networks.
      size: images or candidates on each device.
      items: images or candidate-steps per call and device.
      build: makes the program for given devices.
      flops: floating-point operations of one item, None if they cannot be counted.
      narrow: whether any part of it computes in bfloat16.
    """

    name: str
    size: int
    items: int
    build: Callable[[Sequence[jax.Device]], Program]
    flops: float | None
    narrow: bool


def check_devices(counts: Sequence[int]) -> None:
    """Raises `InputError` for more devices of this process than there are."""
    here = len(devices.local())
    if max(counts) > here:
        raise errors.InputError(
            'devices',
            max(counts),
            f'at most the {here} of this process',
            'without a GPU or TPU, JAX_NUM_CPU_DEVICES=8 in the environment makes eight virtual ones',
        )


def measure(
    tasks: Iterable[Task],
    counts: Sequence[int],
    rounds: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Returns every task's figures on every number of devices, ready for JSON.

    Several processes begin each call together. The slowest one determines the time of a call, and the
    rate is that of all devices of all processes.

    Args:
      tasks: measured one after the other, so that they need not fit in memory together. Smaller ones
        come first, so that each peak of memory belongs to its task.
      counts: numbers of devices of each process, ascending.
      rounds: timed calls of each.
      progress: called as progress(label, done, total).
    """
    first = devices.local()[0]
    chip = chips.find(first.device_kind)
    result: dict[str, Any] = {
        'device': first.device_kind,
        'devices': [count * several() for count in counts],
        'processes': several(),
        'batch': 'the same on every device (weak scaling)',
        'calls_under_way': _under_way(first),
        'peak_bytes_of': chips.peak_bytes([first])[1],
    }
    if chip is not None:
        result['peak'] = {
            'bfloat16_flops_per_second': chip.bfloat16,
            'bytes_per_second': chip.bandwidth,
            'source': chip.source,
        }
    if first.platform == 'cpu':
        result['note'] = CPU_NOTE
    rows = []
    for task in tasks:
        rows += _rows(task, counts, rounds, chip, progress)
    return result | {'rows': rows}


def several() -> int:
    """Returns how many processes measure together."""
    return processes.count()


def _under_way(device):
    return 1 if device.platform == 'cpu' else _UNDER_WAY


def _rows(task, counts, rounds, chip, progress):
    calls: dict[int, Callable[[], Any]] = {}  # by total number of devices
    rows: list[dict[str, Any]] = []
    repeated = _under_way(devices.local()[0])
    for count in counts:
        chosen = devices.local()[:count]
        with devices.using(chosen):
            program = task.build(chosen)
            start = time.perf_counter()
            compiled = program.lower().compile()
            compiling = time.perf_counter() - start
            processes.meet()  # a collective waits at most half a minute for the other processes
            warming, _ = timing.timed(functools.partial(program.call, compiled))
            profiling.repeated(
                f'{task.name}, {task.size} a device, {count} devices',
                functools.partial(program.call, compiled),
            )
        calls[count * several()] = functools.partial(_call, program, compiled, repeated)
        held, _ = chips.peak_bytes(chosen)
        rows.append(
            {
                'name': task.name,
                'size': task.size,
                'narrow': task.narrow,
                'devices': count * several(),
                'compile_seconds': compiling,
                'warm_up_seconds': warming,
                'peak_bytes': held,
                # Excludes the arguments; None if the backend does not report it.
                'program_bytes': getattr(compiled.memory_analysis(), 'temp_size_in_bytes', None),
            }
        )
        if chip is not None:
            rows[-1]['bytes_per_call'] = program_text.bytes_moved(compiled.as_text())
    named = progress and functools.partial(_named, progress, f'{task.name}, {task.size} a device')
    seconds = {
        count: [value / repeated for value in values]
        for count, values in timing.interleaved(calls, rounds, named, processes.meet).items()
    }
    # The slowest process of each call.
    of_all = [list(of_one.values()) for of_one in processes.gather_json(seconds)]
    seconds = dict(zip(seconds, np.max(of_all, axis=0).tolist(), strict=True))
    for row in rows:
        row |= _figures(task, row['devices'], seconds)
        if chip is not None:
            row |= _shares(task, row, chip)
    return rows


def _named(progress, label, _, done, total):
    progress(label, done, total)


def _call(program, compiled, times):
    """Returns the output of the last call; a device runs calls one after the other."""
    for _ in range(times):
        output = program.call(compiled)
    return output


def _figures(task, count, seconds):
    """Returns the figures that follow from the seconds of the calls on `count` devices."""
    rate = timing.quartiles([count * task.items / value for value in seconds[count]])
    found = {
        'seconds_per_call': timing.quartiles(seconds[count]),
        'rate': rate,
        'rate_per_device': rate['median'] / count,
        'seconds': seconds[count],
    }
    if 1 in seconds:
        alone = timing.quartiles([task.items / value for value in seconds[1]])['median']
        found['efficiency'] = rate['median'] / (count * alone)
    if task.flops is not None:
        found['flops_per_item'] = task.flops
        found['flops_per_second_per_device'] = task.flops * found['rate_per_device']
    return found


def _shares(task, row, chip):
    """Returns a row's figures as shares of the peak rates of its chip."""
    seconds, moved = row['seconds_per_call']['median'], row['bytes_per_call']
    found = {'share_of_bandwidth': moved / seconds / chip.bandwidth}
    if task.flops is not None:
        least = least_time.of_call(task.flops * task.items, moved, chip, narrow=task.narrow)
        found |= {
            'share_of_peak': row['flops_per_second_per_device'] / chip.bfloat16,
            'bound_by': least.bound_by,
            'least_seconds_per_call': least.seconds,
            'share_of_bound': least.seconds / seconds,
        }
    return found


def fastest(result: dict[str, Any], name: str) -> int:
    """Returns the size with the highest rate on the fewest devices, among the tasks of one name."""
    rows = [row for row in result['rows'] if row['name'] == name]
    fewest = min(row['devices'] for row in rows)
    best = max(
        (row for row in rows if row['devices'] == fewest), key=lambda row: row['rate']['median']
    )
    return best['size']


def table(result: dict[str, Any], unit: str) -> str:
    """Returns the figures as lines of text; `unit`: what the rates count."""
    names = [f'{row["name"]}, {row["size"]} a device' for row in result['rows']]
    width = max(map(len, names))
    lines = [
        f'{result["device"]}; batch: {result["batch"]}; medians and quartiles',
        f'{"":{width}} {"devices":>7} {"compile":>9} {"warm-up":>9} {"s a call":>10} {unit + "/s":>24} '
        f'{"a device":>10} {"efficiency":>10} {"peak MiB":>9} {"GFLOP":>8} {"TFLOP/s":>8}',
    ]
    for name, row in zip(names, result['rows'], strict=True):
        low, high = row['rate']['quartiles']
        rates = f'{row["rate"]["median"]:.5g} ({low:.5g}-{high:.5g})'
        efficiency = f'{row["efficiency"]:.2f}' if 'efficiency' in row else ''
        work = speed = ''
        if 'flops_per_item' in row:
            work = f'{row["flops_per_item"] / 1e9:.3g}'
            speed = f'{row["flops_per_second_per_device"] / 1e12:.3g}'
        if 'share_of_peak' in row:
            speed += f' = {said_shares(row)}'
        lines.append(
            f'{name:{width}} {row["devices"]:>7} '
            f'{row["compile_seconds"]:>7.1f} s {row["warm_up_seconds"]:>7.2f} s '
            f'{row["seconds_per_call"]["median"]:>10.4g} {rates:>24} {row["rate_per_device"]:>10.5g} '
            f'{efficiency:>10} {row["peak_bytes"] / 2**20:>9.0f} {work:>8} {speed:>8}'
        )
    lines.append(
        f'peak: most memory so far, of the {result["peak_bytes_of"]}; GFLOP: of one of the {unit}, by '
        "XLA's cost analysis; TFLOP/s: of one device"
    )
    if 'peak' in result:
        lines.append(f'bfloat16 peak and bandwidth: {result["peak"]["source"]}')
    return '\n'.join(lines)


def said_shares(row: dict[str, Any]) -> str:
    """Returns a row's shares of the peak rates of its chip, in words."""
    return (
        f'{100 * row["share_of_peak"]:.1f} % of the bfloat16 peak, '
        f'{100 * row["share_of_bandwidth"]:.0f} % of the bandwidth, '
        f'{100 * row["share_of_bound"]:.0f} % of the bound by {row["bound_by"]}'
    )
