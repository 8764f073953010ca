"""The loading benchmark: how fast images are read and decoded, and how many cores feed a device."""

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

from experiments import timing
from fr_inference.data import loader, procedural, sources
from fr_inference.data.faces import Faces

_IMAGES = 1024  # of a pass; a smaller source is repeated
_DRAWN = 'medium,people=32,images=4'


def cores() -> int:
    """Returns how many this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def opened(spec: str | None, size: int, flag: str = '--faces') -> Iterator[Faces]:
    """Opens the faces; without a `spec` drawn ones of size x size pixels, as JPEG files."""
    if spec is not None:
        yield sources.open_faces(spec, flag)
        return
    drawn = procedural.faces(f'{_DRAWN},size={size}')
    with tempfile.TemporaryDirectory(prefix='faces_') as folder:
        for number, identity in enumerate(drawn.identities):
            person = pathlib.Path(folder) / identity
            person.mkdir(exist_ok=True)
            picture = Image.fromarray(drawn.read(number))
            picture.save(person / f'{number}.jpg', quality=95)
        found = sources.open_faces(folder, flag)
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
    """Times `loader.batches` alone with 1, 2, 4, ... workers, up to this process's cores.

    Args:
      faces: the source; files are read again and again, so from memory after the first pass.
      height: of the images, pixels.
      width: of the images, pixels.
      batch_size: images of a batch.
      rounds: timed passes of each.
      feed: images per second that a device takes, to say how many cores feed it.
      progress: called as progress(label, done, total).

    Returns:
      Ready for JSON. Images per core-second count the processor's time, of all threads and of
      processes that have ended, so that other work on the machine does not change it.
    """
    images = max(_IMAGES, batch_size)
    pool = faces.select(np.resize(np.arange(len(faces)), images))
    most = cores()
    workers = sorted({*(2**n for n in range(most.bit_length()) if 2**n <= most), most})
    spent: dict[int, list[float]] = {count: [] for count in workers}

    def one_pass(count):
        before = _processor_seconds()
        stream = loader.batches(
            pool, height=height, width=width, batch_size=batch_size, workers=count
        )
        found = sum(int(batch.mask.sum()) for batch in stream)
        spent[count].append(_processor_seconds() - before)
        assert found == images

    calls: dict[int, Callable[[], Any]] = {
        count: functools.partial(one_pass, count) for count in workers
    }
    seconds = timing.interleaved(calls, rounds, progress)
    rows = [
        {
            'workers': count,
            'rate': timing.quartiles([images / value for value in seconds[count]]),
            'images_per_core_second': timing.quartiles([images / value for value in spent[count]]),
            'seconds': seconds[count],
        }
        for count in workers
    ]
    each: Any = rows[-1]['images_per_core_second']
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


def _processor_seconds():
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def table(result: dict[str, Any]) -> str:
    """Returns the result as lines to read."""
    lines = [
        f'{result["faces"]}: {result["images"]} images a pass, {result["height"]}x{result["width"]}, '
        f'{result["cores"]} cores; medians and quartiles'
    ]
    for row in result['rows']:
        low, high = row['rate']['quartiles']
        each = row['images_per_core_second']['median']
        lines.append(
            f'{row["workers"]:3} workers: {row["rate"]["median"]:8.0f} images/s '
            f'({low:.0f}-{high:.0f}), {each:.0f} per second of a core'
        )
    if 'feed' in result:
        lines.append(
            f'{result["cores_to_feed"]} cores feed a device that takes {result["feed"]:g} images/s, '
            'where loading goes on scaling'
        )
    return '\n'.join(lines)
