"""Reads images in parallel: by threads of this process, or by processes of their own.

Pillow decodes outside the interpreter's lock, but little of a small face's time is decoding: threads
keep one to two cores busy, processes as many as there are.
"""

import concurrent.futures
import functools
import pickle
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from fr_inference import errors
from fr_inference.data import workers
from fr_inference.data.faces import BadImageError, Faces

_LONGEST = 8  # times as long as what is needed of it: more is cut off before anything is scaled
_MOST_AT_ONCE = 16  # images of one task: enough that handing it over costs nothing

Decoded = list[np.ndarray | BadImageError]


def fit_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scales an image to cover height x width and cuts out the middle.

    An image of the right size comes back as it is; a 112 x 112 face for a 112 x 96 network loses 8
    columns on each side and is not scaled.

    Args:
      image: [h, w, 3] uint8.
      height: pixels.
      width: pixels.

    Returns:
      [height, width, 3] uint8.
    """
    rows, columns = image.shape[:2]
    # Of a long strip only the middle is scaled: the whole of it would not fit in memory.
    top = max(0, rows - _LONGEST * -(-columns * height // width)) // 2
    left = max(0, columns - _LONGEST * -(-rows * width // height)) // 2
    image = image[top : rows - top, left : columns - left]
    scale = max(height / image.shape[0], width / image.shape[1])
    if scale != 1:
        size = (
            max(width, round(image.shape[1] * scale)),
            max(height, round(image.shape[0] * scale)),
        )
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


class Decoders:
    """Threads or processes that read the images of one source; a context, which ends them.

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
          threads: without processes, how many threads.
          processes: how many processes; none where the source can't be sent to them (drawings, arrays).

        Raises:
          InputError: for numbers below.
        """
        errors.positive('threads', threads)
        errors.require(processes >= 0, f'processes: found {processes}, expected 0 or more')
        sent = _pickled(faces.read) if processes else None
        self.separate = sent is not None
        self.count = processes if self.separate else threads
        self._task: Callable[..., Decoded]
        self._pool: concurrent.futures.Executor
        if sent:
            self._pool, self._task = workers.pool(processes, _receive, sent), _decode_here
        else:
            self._pool = concurrent.futures.ThreadPoolExecutor(threads)
            self._task = functools.partial(_decode, faces.read)

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
        """Returns how many images a task should read, so that a batch keeps all of them busy."""
        return min(_MOST_AT_ONCE, max(1, batch_size // self.count))

    def submit(
        self, indices: Sequence[int], height: int, width: int
    ) -> concurrent.futures.Future[Decoded]:
        """Begins to read; of each image [height, width, 3] uint8, or why it can't be read."""
        return self._pool.submit(self._task, indices, height, width)


def _decode(read, indices, height, width):
    found: Decoded = []
    for index in indices:
        try:
            found.append(fit_image(read(index), height, width))
        except BadImageError as error:
            found.append(error)
    return found


def _pickled(read):
    """Returns how another process gets to `read`; None where it can't."""
    try:
        return pickle.dumps(read, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None


_HERE: dict[str, Any] = {}


def _receive(sent):
    _HERE['read'] = pickle.loads(sent)  # of the process that started this one


def _decode_here(indices, height, width):
    return _decode(_HERE['read'], indices, height, width)
