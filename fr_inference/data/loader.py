"""Streams faces as padded batches: decoded by threads, in order, a bounded number ahead."""

import collections
import concurrent.futures
import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from fr_inference import checks
from fr_inference.data.faces import BadImageError, Faces

_LONGEST = 8  # times as long as what is needed of it: more is cut off before anything is scaled


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


def batches(
    faces: Faces,
    *,
    height: int,
    width: int,
    batch_size: int,
    indices: Sequence[int] | np.ndarray | None = None,
    skip_bad: bool = False,
    skipped: list[tuple[str, str]] | None = None,
    workers: int = 2,
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
      workers: decoding threads.

    Raises:
      BadImageError: at an unreadable image, unless `skip_bad`.
    """
    checks.positive('batch_size', batch_size)
    order = np.arange(len(faces)) if indices is None else np.asarray(indices)

    def load(index):
        try:
            return fit_image(faces.read(index), height, width)
        except BadImageError as error:
            if not skip_bad:
                raise
            return error

    pool = concurrent.futures.ThreadPoolExecutor(max(1, workers))
    pending: collections.deque = collections.deque()
    todo = iter(order.tolist())
    images: list[np.ndarray] = []
    index: list[int] = []
    try:
        while True:
            while len(pending) < 2 * batch_size + workers:
                try:
                    upcoming = next(todo)
                except StopIteration:
                    break
                pending.append((upcoming, pool.submit(load, upcoming)))
            if not pending:
                break
            position, future = pending.popleft()
            image = future.result()
            if isinstance(image, BadImageError):
                if skipped is not None:
                    skipped.append((faces.paths[position], str(image)))
                continue
            images.append(image)
            index.append(position)
            if len(images) == batch_size:
                yield _pad(images, index, batch_size)
                images, index = [], []
        if images:
            yield _pad(images, index, batch_size)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _pad(images, index, batch_size):
    missing = batch_size - len(images)
    block = np.stack(images)
    return Batch(
        images=np.concatenate([block, np.zeros((missing, *block.shape[1:]), np.uint8)]),
        index=np.asarray(index + [0] * missing, np.int32),
        mask=np.arange(batch_size) < len(images),
    )
