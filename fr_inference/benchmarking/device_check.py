"""Checks whether a device computes the same as the CPU, and compares its speed with PyTorch.

`bash launch/gpu_check.sh` runs it. The most important part comes first, every figure is written at once,
and if a part fails, the reason is recorded and the next part runs.
"""

import argparse
import functools
import os
import pathlib
import sys
import threading
import time
from collections.abc import Callable

import jax
import numpy as np

from fr_inference import devices, errors, provenance
from fr_inference.benchmarking import chips, device_parts, timing
from fr_inference.benchmarking.device_parts import Check
from fr_inference.benchmarking.device_record import Record
from fr_inference.benchmarking.device_sizes import FULL, SMALL
from fr_inference.cli import compiled, folders

_ENOUGH = 15.0  # seconds; with less time left, no part is started

PARTS: dict[str, Callable[[Check], None]] = {
    part.__name__: part
    for part in (
        device_parts.parity,
        device_parts.scoring,
        device_parts.scoring_large,
        device_parts.search,
        device_parts.scoring_peer,
        device_parts.search_peer,
        device_parts.scoring_large_peer,
        device_parts.search_forms,
        device_parts.resampling,
        device_parts.batches,
        device_parts.mobile,
        device_parts.training,
        device_parts.search_large,
        device_parts.search_large_peer,
        device_parts.candidates,
        device_parts.decoding,
    )
}


def run(check: Check, names: list[str]) -> int:
    """Runs the parts in their order and returns the exit code."""
    record = check.record
    skipped = []
    for name in [name for name in PARTS if name in names]:
        if check.left() < _ENOUGH:
            skipped.append(name)
            continue
        record.begin(name)
        began = time.monotonic()
        failed = None
        try:
            PARTS[name](check)
        except Exception as error:  # any error: the remaining parts must still run
            failed = device_parts.cause(error)
        record.end(time.monotonic() - began, failed)
    return record.close(f'no time for: {", ".join(skipped)}' if skipped else 'done')


def main(arguments: list[str] | None = None) -> int:
    """Reads the arguments, runs the parts and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, prog='bash launch/gpu_check.sh')
    parser.add_argument('--small', action='store_true', help='tiny sizes, as without a GPU')
    parser.add_argument('--seconds', type=float, default=480.0, help='all parts together')
    parser.add_argument('--out', default='runs/gpu_check', help='folder of the JSON and the table')
    parser.add_argument('--parts', default=','.join(PARTS), help='some of these, by commas')
    parser.add_argument(
        '--stylegan2_ada', help="a checkout of NVIDIA's networks, searched beside ours"
    )
    given = parser.parse_args(arguments)
    names = given.parts.split(',')
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f'--parts: found {unknown[0]!r}, expected some of {",".join(PARTS)}')
    if not 0 < given.seconds < 1e6:
        parser.error(f'--seconds: found {given.seconds:g}, expected a time')
    try:
        folders.make_here(pathlib.Path(given.out), 'out', ('gpu_check.json', 'gpu_check.txt'))
    except errors.InputError as error:
        parser.error(error.message('--out'))
    ends = time.monotonic() + given.seconds
    kept = compiled.keep()  # so that two parts with the same network compile once
    device = devices.local()[0]
    small = given.small or device.platform == 'cpu'
    head = {
        'what': 'gpu_check',
        'device': device.device_kind,
        'platform': device.platform,
        'small': small,
        'provenance': provenance.describe(' '.join(['bash launch/gpu_check.sh', *sys.argv[1:]])),
    }
    chip = chips.find(device.device_kind)
    sizes = SMALL if small else FULL
    # Flush at once, because the process may be killed.
    record = Record(given.out, head, say=functools.partial(print, flush=True))
    check = Check(
        record=record,
        sizes=sizes,
        device=device,
        chip=chip,
        ends=ends,
        stylegan2_ada=given.stylegan2_ada,
    )
    record.begin('device')
    record.note(f'{device.device_kind}, jax {jax.__version__}, numpy {np.__version__}')
    if small:
        record.note('small sizes: they test this check, and say nothing about speed')
    if kept is not None and any(kept.iterdir()):
        record.note('an earlier run has compiled programs: some compilations take no time')
    if chip is None:
        record.note('no data sheet of this device: no shares of peak and bandwidth')
    record.end(0.0)
    device_parts.expect(record)
    if small:
        timing._PAUSE = 0.0

    def stop():
        # A compilation can only be stopped by exiting; all results so far are written.
        os._exit(record.close('the time was up'))

    watch = threading.Timer(max(0.0, ends - time.monotonic()), stop)
    watch.daemon = True
    watch.start()
    try:
        return run(check, names)
    finally:
        watch.cancel()


if __name__ == '__main__':
    sys.exit(main())
