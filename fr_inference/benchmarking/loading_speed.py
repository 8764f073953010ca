"""The loading benchmark: images read and decoded per second, and the cores needed for a device."""

import contextlib
import dataclasses
import functools
import math
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from fr_inference.benchmarking import timing
from fr_inference.data import loader, sources
from fr_inference.data.drawn import procedural
from fr_inference.data.faces import Faces
from fr_inference.data.loader import Decoders

_IMAGES = 1024  # of a pass; a smaller source is repeated
_DRAWN = 'medium,people=32,images=4'


def cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def opened(spec: str | None, size: int) -> Iterator[Faces]:
    """Opens the faces; without a `spec`, drawn ones of size x size pixels as JPEG files."""
    if spec is not None:
        yield sources.open_faces(spec)
        return
    drawn = procedural.faces(f'{_DRAWN},size={size}')
    with tempfile.TemporaryDirectory(prefix='faces_') as folder:
        for number, identity in enumerate(drawn.identities):
            person = pathlib.Path(folder) / identity
            person.mkdir(exist_ok=True)
            picture = Image.fromarray(drawn.read(number))
            picture.save(person / f'{number}.jpg', quality=95)
        found = sources.open_faces(folder)
        yield dataclasses.replace(found, name=f'{drawn.name}, as JPEG files')


def measure(
    faces: Faces,
    *,
    height: int,
    width: int,
    batch_size: int,
    rounds: int,
    feed: float | None = None,
    progress: Any = None,
) -> dict[str, Any]:
    """Times `loader.batches` with 1, 2, 4, ... threads and processes, up to this process's cores.

    Args:
      faces: the source; after the first pass the operating system holds its files in memory.
      height: of the images, pixels.
      width: of the images, pixels.
      batch_size: images of a batch.
      rounds: timed passes of each.
      feed: images per second that a device takes, to compute how many cores feed it.
      progress: called as progress(label, done, total).

    Returns:
      The figures, ready for JSON. Images per core-second use the processor time of all threads, which
      other work on the machine does not change; that of running processes is unknown. Processes are left
      out if the faces cannot be sent to them (drawings).
    """
    images = max(_IMAGES, batch_size)
    pool = faces.select(np.resize(np.arange(len(faces)), images))
    most = cores()
    workers = sorted({*(2**n for n in range(most.bit_length()) if 2**n <= most), most})
    spent: dict[int, list[float]] = {count: [] for count in workers}

    def one_pass(decoders):
        stream = loader.batches(
            pool, height=height, width=width, batch_size=batch_size, decoders=decoders
        )
        found = sum(int(batch.mask.sum()) for batch in stream)
        assert found == images

    def timed_pass(count, decoders):
        before = time.process_time()
        one_pass(decoders)
        spent[count].append(time.process_time() - before)

    with contextlib.ExitStack() as stack:
        calls: dict[tuple[str, int], Callable[[], Any]] = {}
        for count in workers:
            decoders = stack.enter_context(Decoders(pool, threads=count))
            calls['threads', count] = functools.partial(timed_pass, count, decoders)
        seconds = timing.interleaved(calls, rounds, progress)
    for count in workers:  # one after the other: together they would be too many
        with Decoders(pool, processes=count) as decoders:
            if decoders.separate:
                call = functools.partial(one_pass, decoders)
                seconds |= timing.interleaved({('processes', count): call}, rounds, progress)
    rows: list[dict[str, Any]] = [
        {
            'kind': kind,
            'workers': count,
            'rate': timing.quartiles([images / value for value in values]),
            'seconds': values,
        }
        for (kind, count), values in seconds.items()
    ]
    for row, count in zip(rows, workers, strict=False):  # the threads
        row['images_per_core_second'] = timing.quartiles([images / value for value in spent[count]])
    each = rows[len(workers) - 1]['images_per_core_second']
    result = {
        'faces': faces.name,
        'images': images,
        'height': height,
        'width': width,
        'cores': most,
        'rows': rows,
    }
    if feed is not None:
        result['feed'] = feed
        result['cores_to_feed'] = math.ceil(feed / each['median'])
    return result


def table(result: dict[str, Any]) -> str:
    """Returns the result as lines of text."""
    lines = [
        f'{result["faces"]}: {result["images"]} images a pass, {result["height"]}x{result["width"]}, '
        f'{result["cores"]} cores; medians and quartiles'
    ]
    for row in result['rows']:
        low, high = row['rate']['quartiles']
        line = (
            f'{row["workers"]:3} {row["kind"]:9}: {row["rate"]["median"]:8.0f} images/s '
            f'({low:.0f}-{high:.0f})'
        )
        if 'images_per_core_second' in row:
            line += f', {row["images_per_core_second"]["median"]:.0f} per second of a core'
        lines.append(line)
    if 'feed' in result:
        lines.append(
            f'{result["cores_to_feed"]} cores feed a device that takes {result["feed"]:g} '
            'images/s, if loading keeps scaling'
        )
    return '\n'.join(lines)
