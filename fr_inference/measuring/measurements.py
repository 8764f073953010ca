"""Scoring: the distances and the embedding of every image of a set, whatever its size."""

import contextlib
import dataclasses
import functools
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from fr_inference import devices, errors, processes
from fr_inference.data import loader, overlap
from fr_inference.data.faces import Faces
from fr_inference.data.loader import Decoders
from fr_inference.measuring import distances, row_store
from fr_inference.models.target import Target

Progress = Callable[..., None]

# Rows are gathered and kept in blocks of about so many seconds, of so many batches or more.
_BLOCK_SECONDS = 20
_FIRST_BATCHES = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurements:
    """What is kept of each image.

    Attributes:
      layers: names of the L BatchNorm layers, in the order of the computation; empty without any.
      distances: [N, L] float32, at least 0.
      embeddings: [N, D] float32.
      identities: of the N images.
      index: [N] int32 positions in the source.
      skipped: (path, reason) of images that could not be read.
    """

    layers: tuple[str, ...]
    distances: np.ndarray
    embeddings: np.ndarray
    identities: tuple[str, ...]
    index: np.ndarray
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.index)


def measure(
    target: Target,
    faces: Faces,
    *,
    scaling: str = 'variance',
    batch_size: int = 64,
    mirror: bool = False,
    skip_bad: bool = False,
    scores: str | os.PathLike | None = None,
    decoders: int = 0,
    label: str = 'scoring',
    on: Sequence[jax.Device] | None = None,
    progress: Progress | None = None,
) -> Measurements:
    """Measures every image; memory does not grow with the number of images but for the results.

    A score never depends on the batch it was in: every image is its own batch of one inside `vmap`. Of
    several processes each reads and measures its share, and all return the whole.

    Args:
      target: the backbone.
      faces: N images.
      scaling: in `distances.SCALINGS`.
      batch_size: images at a time in a process, rounded up to a multiple of its devices.
      mirror: measure the mirror images instead.
      skip_bad: leave unreadable images out and list them.
      scores: folder of rows computed before (`store`), which are not computed again, and where new ones
        are added as they come; none are kept when None.
      decoders: processes that decode images, where this one's threads would keep the devices waiting.
      label: of the progress.
      on: the devices that share the work; `devices.local()` by default.
      progress: called as progress(label, done, total), first with stored=, their number, where rows of
        `scores` are used again.

    Raises:
      BadImageError: at an unreadable image, unless `skip_bad`.
      Stopped: when that was asked for; what was measured is in `scores`.
      InputError: when nothing could be read, or the backbone gives numbers that are not finite.
    """
    errors.one_of('scaling', scaling, distances.SCALINGS)
    layers = distances.layer_names(target)
    width = len(layers) + distances.embedding_size(target)
    rows, done = np.zeros((len(faces), width), np.float32), np.zeros(len(faces), bool)
    skipped: list[tuple[str, str]] = []
    described = row_store.describe(target, scaling, mirror) if scores is not None else None
    digests = overlap.content_digests(faces, skip_bad=skip_bad) if described else []
    with contextlib.ExitStack() as stack:
        kept: row_store.Store | None = None
        if scores is not None and described is not None:

            def opened():
                nonlocal kept
                kept = stack.enter_context(row_store.Store(scores, described, width))
                return kept.lookup(digests)

            known = processes.from_first(opened)
            done[:], rows[known[0]] = known
        (todo,), start = np.nonzero(~done), 0
        stored = len(faces) - len(todo)
        if progress is not None and stored:
            progress(label, stored, len(faces), stored=stored)
        reading = stack.enter_context(Decoders(faces, processes=decoders if len(todo) else 0))
        score = _scoring(target, faces, reading, width, scaling, batch_size, mirror, skip_bad, on)
        size = _FIRST_BATCHES * batch_size * processes.count()
        while start < len(todo):
            began = time.monotonic()
            block = todo[start : start + size]
            over = stored + start

            def advance(count, over=over):
                if progress is not None and processes.count() == 1:
                    progress(label, over + count, len(faces))

            own = functools.partial(score, block[processes.share(len(block))], advance)
            positions, found, bad = processes.each_its_share(own)
            positions, found = processes.gather_rows((positions, found))
            skipped += [(path, why) for part in processes.gather_json(bad) for path, why in part]
            rows[positions], done[positions] = found, True
            if kept is not None:
                kept.append([digests[position] for position in positions], found)
            start += len(block)
            if progress is not None and processes.count() > 1:
                progress(label, over + len(block), len(faces))
            # The slowest process's time, so that all come to the same size.
            seconds = max(processes.gather_json(time.monotonic() - began))
            size = max(size, min(16 * size, round(size * _BLOCK_SECONDS / max(seconds, 0.1))))
            if start < len(todo):
                processes.stop_point()
    errors.require(done.any(), f'{faces.name}: none of {len(faces)} images could be read')
    index = np.flatnonzero(done).astype(np.int32)
    rows = rows if done.all() else rows[done]
    finite = np.asarray(np.isfinite(rows).all(axis=-1))
    errors.require(
        finite.all(),
        f'{target.name}: {int((~finite).sum())} of {len(finite)} images give features that are not '
        f'finite, as {faces.paths[int(index[np.argmin(finite)])]}; is the checkpoint damaged?',
    )
    return Measurements(
        layers=layers,
        distances=rows[:, : len(layers)],
        embeddings=rows[:, len(layers) :],
        identities=tuple(faces.identities[position] for position in index.tolist()),
        index=index,
        skipped=tuple(skipped),
    )


def _scoring(target, faces, reading, width, scaling, batch_size, mirror, skip_bad, on):
    """Returns what scores the images at some positions: (positions, rows, what could not be read)."""
    compiled, place, count = distances.scorer(target, scaling, on)
    variables = place(target.variables)
    share = -(-len(faces) // processes.count())
    size = devices.round_up(min(batch_size, max(1, share)), count)

    def score(positions, advanced):
        skipped: list[tuple[str, str]] = []
        rows, index = [], []
        ahead: list[tuple[Any, np.ndarray, np.ndarray]] = []  # computed while the next is decoded

        def collect():
            found, mask, where = ahead.pop(0)
            rows.append(np.concatenate(jax.device_get(found), axis=1)[mask])
            index.append(where[mask])
            advanced(sum(map(len, index)) + len(skipped))

        for batch in loader.batches(
            faces,
            height=target.input.height,
            width=target.input.width,
            batch_size=size,
            indices=positions,
            skip_bad=skip_bad,
            skipped=skipped,
            decoders=reading,
        ):
            images = batch.images[:, :, ::-1] if mirror else batch.images
            try:
                ahead.append((compiled(variables, images), batch.mask, batch.index))
            except jax.errors.UnexpectedTracerError as error:
                raise errors.InputError(
                    f'{target.name}: its BatchNorm layers are called inside nn.remat, nn.scan or '
                    'another transformation that hides what they see; score the same module without it'
                ) from error
            if len(ahead) > 1:
                collect()
        while ahead:
            collect()
        found = np.concatenate([np.zeros((0, width), np.float32), *rows])
        return np.concatenate([np.zeros(0, np.int32), *index]), found, skipped

    return score


def select(measured: Measurements, rows: Sequence[int] | np.ndarray) -> Measurements:
    """Returns the measurements of the images at `rows` (positions or a mask)."""
    rows = np.asarray(rows)
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows
    return dataclasses.replace(
        measured,
        distances=measured.distances[rows],
        embeddings=measured.embeddings[rows],
        identities=tuple(measured.identities[row] for row in rows),
        index=measured.index[rows],
    )
