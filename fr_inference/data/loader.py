"""Streams faces as padded batches: decoded in parallel, in order, a bounded number ahead.

Pillow releases the interpreter lock while it decodes, but decoding is a small part of the time that a
small face takes: threads keep one to two cores busy, processes keep all cores busy.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import pickle
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from fr_inference import errors
from fr_inference.data import workers
from fr_inference.data.faces import DISTANT, Faces
from fr_inference.formats.images import BadImageError, fit_image

_MOST_AT_ONCE = 16  # images per task: enough to make the cost of a task negligible

Decoded = list[np.ndarray | BadImageError]


@dataclasses.dataclass(frozen=True)
class Batch:
    """A fixed number B of slots; the last batch is padded with zeros.

    Attributes:
      images: [B, H, W, 3] uint8 RGB.
      index: [B] int32 positions in the source, 0 in padding.
      mask: [B] bool, False in padding.
    """

    images: np.ndarray
    index: np.ndarray
    mask: np.ndarray


class Decoders:
    """Threads or processes that read the images of one source; a context that ends them.

    Processes take seconds to start and each imports this package: keep them for all batches of a source.
    A program that uses them guards its main part with `if __name__ == '__main__'`.

    Attributes:
      count: of the threads or processes.
      separate: whether they are processes.
    """

    def __init__(self, faces: Faces, *, threads: int = 2, processes: int = 0):
        """Starts them.

        Args:
          faces: the source.
          threads: how many, if there are no processes.
          processes: how many; threads read a source that cannot be sent to them (drawings, arrays).

        Raises:
          InputError: for fewer than 1 thread or 0 processes.
        """
        errors.positive('threads', threads)
        if processes < 0:
            raise errors.InputError('processes', processes, '0 or more')
        # Threads only: images read ahead are kept in this process.
        reading = (faces.ahead, faces.read)
        sent = _pickled(reading) if processes else None
        self.separate = sent is not None
        if faces.distant:
            threads = max(threads, DISTANT)
        self.count = processes if self.separate else threads
        self._task: Callable[..., Decoded]
        self._pool: concurrent.futures.Executor
        if sent:
            self._pool, self._task = workers.pool(processes, _receive, sent), _decode_here
        else:
            self._pool = concurrent.futures.ThreadPoolExecutor(threads)
            self._task = functools.partial(_decode, *reading)

    def __enter__(self) -> 'Decoders':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def at_once(self, batch_size: int) -> int:
        """Returns how many images a task should read, so that a batch keeps all workers busy."""
        return min(_MOST_AT_ONCE, max(1, batch_size // self.count))

    def submit(
        self, indices: Sequence[int], height: int, width: int
    ) -> concurrent.futures.Future[Decoded]:
        """Starts reading; the result is [height, width, 3] uint8 for each image, or an error."""
        return self._pool.submit(self._task, indices, height, width)


def _decode(ahead, read, indices, height, width):
    ahead(indices)
    found: Decoded = []
    for index in indices:
        try:
            found.append(fit_image(read(index), height, width))
        except BadImageError as error:
            found.append(error)
    return found


def _pickled(reading):
    """Returns a reader for another process; None if it cannot be sent."""
    try:
        return pickle.dumps(reading, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None


_HERE: dict[str, Any] = {}


def _receive(sent):
    _HERE['reading'] = pickle.loads(sent)  # sent by the process that started this one


def _decode_here(indices, height, width):
    ahead, read = _HERE['reading']
    return _decode(ahead, read, indices, height, width)


def batches(
    faces: Faces,
    *,
    height: int,
    width: int,
    batch_size: int,
    indices: Sequence[int] | np.ndarray | None = None,
    skip_bad: bool = False,
    skipped: list[tuple[str, str]] | None = None,
    threads: int = 2,
    decoders: Decoders | None = None,
) -> Iterator[Batch]:
    """Yields the faces in order; at most four batches are held at a time.

    Args:
      faces: the source.
      height: of the images, pixels.
      width: of the images, pixels.
      batch_size: slots B in each batch.
      indices: which faces, in which order; all by default.
      skip_bad: leave unreadable images out instead of stopping at them.
      skipped: receives (path, reason) of each image left out.
      threads: how many decode.
      decoders: decoders of these faces to use instead of new threads; they stay open.

    Raises:
      BadImageError: at an unreadable image, unless `skip_bad`.

    >>> from fr_inference.data.faces import from_arrays
    >>> faces = from_arrays(np.zeros((3, 8, 8, 3), np.uint8), ['ann', 'ann', 'bob'])
    >>> [batch.mask.tolist() for batch in batches(faces, height=8, width=8, batch_size=2)]
    [[True, True], [True, False]]
    """
    errors.positive('batch_size', batch_size)
    order = np.arange(len(faces)) if indices is None else np.asarray(indices)
    images = np.zeros((batch_size, height, width, 3), np.uint8)
    index: list[int] = []
    with contextlib.ExitStack() as stack:
        if decoders is None:
            decoders = stack.enter_context(Decoders(faces, threads=max(1, threads)))
        for position, image in _decoded(decoders, order.tolist(), height, width, batch_size):
            if isinstance(image, BadImageError):
                if not skip_bad:
                    raise image
                if skipped is not None:
                    skipped.append((faces.paths[position], str(image)))
                continue
            images[len(index)] = image
            index.append(position)
            if len(index) == batch_size:
                yield _batch(images, index)
                images, index = np.zeros_like(images), []
        if index:
            yield _batch(images, index)


def _decoded(decoders, order, height, width, batch_size):
    """Yields (position, image or error) in order; at most two batches are read ahead."""
    step = decoders.at_once(batch_size)
    pending: collections.deque[tuple[list[int], concurrent.futures.Future[Decoded]]]
    pending = collections.deque()
    start = held = 0
    try:
        while True:
            while start < len(order) and held < 2 * batch_size:
                positions = order[start : start + step]
                pending.append((positions, decoders.submit(positions, height, width)))
                start, held = start + len(positions), held + len(positions)
            if not pending:
                return
            positions, future = pending.popleft()
            yield from zip(positions, future.result(), strict=True)
            held -= len(positions)
    finally:
        for _, future in pending:
            future.cancel()


def _batch(images, index):
    mask = np.arange(len(images)) < len(index)
    return Batch(
        images=images,
        index=np.asarray(index + [0] * (len(images) - len(index)), np.int32),
        mask=mask,
    )
