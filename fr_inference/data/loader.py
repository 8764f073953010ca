"""Streams faces as padded batches: decoded in parallel, in order, a bounded number ahead."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence

import numpy as np

from fr_inference import errors
from fr_inference.data.decoders import Decoded, Decoders
from fr_inference.data.decoders import fit_image as fit_image
from fr_inference.data.faces import BadImageError, Faces


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
      workers: decoding threads.
      decoders: of these faces, which read them instead, for any number of calls; stay open.

    Raises:
      BadImageError: at an unreadable image, unless `skip_bad`.
    """
    errors.positive('batch_size', batch_size)
    order = np.arange(len(faces)) if indices is None else np.asarray(indices)
    images = np.zeros((batch_size, height, width, 3), np.uint8)
    index: list[int] = []
    with contextlib.ExitStack() as stack:
        if decoders is None:
            decoders = stack.enter_context(Decoders(faces, threads=max(1, workers)))
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


def throughput(
    faces: Faces, *, height: int, width: int, batch_size: int, decoders: Decoders
) -> float:
    """Returns how many images `decoders` read in a second, from the first batch on.

    Args:
      faces: more than one batch of them.
      height: of the images, pixels.
      width: of the images, pixels.
      batch_size: images in a batch.
      decoders: of these faces; those that have worked before need no start.

    Raises:
      InputError: when there is no second batch.
    """
    stream = batches(faces, height=height, width=width, batch_size=batch_size, decoders=decoders)
    next(stream, None)
    start, count = time.perf_counter(), 0
    for batch in stream:
        count += int(batch.mask.sum())
    errors.require(count, f'{faces.name}: found {len(faces)} images, expected over {batch_size}')
    return count / (time.perf_counter() - start)


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
