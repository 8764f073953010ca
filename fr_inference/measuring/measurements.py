"""Measurements of a set of images, whatever its size: distances, embeddings and features."""

import contextlib
import dataclasses
import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from fr_inference import checkpointing, devices, errors, runs
from fr_inference.config import Measuring
from fr_inference.data import loader, overlap
from fr_inference.data.faces import Faces
from fr_inference.data.loader import Decoders
from fr_inference.measuring import distances
from fr_inference.measuring import features as extra_features
from fr_inference.measuring.features import Feature
from fr_inference.models.target import Target
from fr_inference.row_cache import RowCache
from fr_inference.runs import Progress

_SCHEMA = 3  # of the rows in the cache


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurements:
    """The measurements of N images.

    Attributes:
      layers: names of the L BatchNorm layers, in the order of the computation; empty without any.
      distances: [N, L] float32, at least 0.
      embeddings: [N, D] float32.
      identities: of the N images.
      index: [N] int32 positions in the source.
      skipped: (path, reason) of images that could not be read.
      extra: name -> [N, F] float32 of each requested `Feature`.
    """

    layers: tuple[str, ...]
    distances: np.ndarray
    embeddings: np.ndarray
    identities: tuple[str, ...]
    index: np.ndarray
    skipped: tuple[tuple[str, str], ...] = ()
    extra: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.index)


def measure(
    target: Target,
    faces: Faces,
    *,
    features: Sequence[Feature] = (),
    batch_size: int = Measuring.batch_size,
    mirror: bool = False,
    skip_bad: bool = False,
    scores: str | os.PathLike | None = None,
    decoders: int = 0,
    label: str = 'measuring',
    on: Sequence[jax.Device] | None = None,
    progress: Progress | None = None,
) -> Measurements:
    """Measures every image; apart from the results, memory does not grow with the number of images.

    An image's measurements never depend on its batch: each image is a batch of one inside `vmap`.
    With several processes each reads and measures its share, and all return the whole.

    Args:
      target: the backbone.
      faces: N images.
      features: what else is computed of each image.
      batch_size: images at a time in a process, rounded up to a multiple of its devices.
      mirror: measure the mirror images instead.
      skip_bad: leave unreadable images out and list them.
      scores: folder of cached rows (`row_cache`), which are not measured again and to which new
        ones are added. Nothing is cached when None, nor for the architecture 'custom', a function
        whose code cannot be identified.
      decoders: number of processes that decode images, if threads of this process are too slow for
        the devices.
      label: of the progress.
      on: the devices that share the work; `devices.local()` by default.
      progress: called as progress(label, done, total). If rows of `scores` are reused, the first
        call also has stored=, their number.

    Raises:
      BadImageError: at an unreadable image, unless `skip_bad`.
      Stopped: when a stop was requested; finished measurements are in `scores`.
      InputError: when nothing could be read, or the backbone gives numbers that are not finite.
    """
    layers = distances.layer_names(target)
    widths = [len(layers), distances.embedding_size(target)]
    with distances.within_reach(target.name):
        more, programs = extra_features.described(features, target)
    widths += more
    cache, keys = None, [''] * len(faces)
    if scores is not None and target.architecture != 'custom':
        cache = RowCache(scores, _described(target, mirror, programs), sum(widths))
        keys = _keys(faces, overlap.content_digests(faces, skip_bad=skip_bad))
    lost: dict[int, str] = {}
    on = tuple(on or devices.local())
    share = devices.largest_share(len(faces))
    batch_size = devices.round_up(min(batch_size, max(1, share)), len(on))
    with contextlib.ExitStack() as stack:
        # Decoders and devices are used only once something has to be measured.
        reading = functools.cache(lambda: stack.enter_context(Decoders(faces, processes=decoders)))
        compiled = functools.cache(lambda: _placed(target, on, tuple(features)))

        def compute(positions: np.ndarray) -> Iterator[np.ndarray]:
            if not len(positions):
                return iter(())
            skipped: list[tuple[str, str]] = []
            stream = loader.batches(
                faces,
                height=target.input.height,
                width=target.input.width,
                batch_size=batch_size,
                indices=positions,
                skip_bad=skip_bad,
                skipped=skipped,
                decoders=reading(),
            )
            found = _measured(target, compiled(), stream, mirror)
            return _in_place(positions, found, sum(widths), skipped, lost)

        rows = runs.rows(
            keys,
            compute,
            width=sum(widths),
            cache=cache,
            batch=batch_size,
            label=label,
            progress=progress,
            lost=lost,
        )
    index = np.array([n for n in range(len(faces)) if n not in lost], np.int32)
    if not len(index):
        raise errors.InputError(faces.name, f'no readable image among {len(faces)}')
    rows = rows[index] if lost else rows
    finite = np.asarray(np.isfinite(rows).all(axis=-1))
    if not finite.all():
        raise errors.InputError(
            target.name,
            f'measurements of {int((~finite).sum())} of {len(finite)} images that are not finite, as '
            f'those of {faces.paths[int(index[np.argmin(finite)])]}',
            hint='is the checkpoint damaged?',
        )
    parts = np.split(rows, np.cumsum(widths)[:-1], axis=1)
    return Measurements(
        layers=layers,
        distances=parts[0],
        embeddings=parts[1],
        extra={one.name: part for one, part in zip(features, parts[2:], strict=True)},
        identities=tuple(faces.identities[position] for position in index.tolist()),
        index=index,
        skipped=tuple((faces.paths[position], lost[position]) for position in sorted(lost)),
    )


def _keys(faces, digests):
    """The key of an image: a photograph has different rows with and without alignment."""
    return [
        f'{digest} {changed}' if digest and (changed := faces.changed(index)) else digest
        for index, digest in enumerate(digests)
    ]


def _described(target, mirror, programs):
    """Returns everything that a row depends on besides the image."""
    described = {
        'schema': _SCHEMA,
        'weights': checkpointing.digest(target.variables),
        'architecture': target.architecture,
        'config': {name: str(value) for name, value in sorted(dict(target.config).items())},
        'input': json.dumps(dataclasses.asdict(target.input)),
        'mirror': mirror,
        'device': devices.local()[0].device_kind,
        'jax': jax.__version__,
    }
    if target.answers:  # the weights alone do not show that the answers are changed
        described['answers'] = target.answers.to_json()
    return {**described, 'features': programs} if programs else described


def measurer(
    target: Target,
    on: Sequence[jax.Device] | None = None,
    features: Sequence[Feature] = (),
) -> tuple[devices.Batched, Callable[[Any], Any], int]:
    """Returns what `measure` runs on each batch, compiled by `devices.per_example`.

    Args:
      target: the backbone; its variables are the constants.
      on: the devices that share the work; `devices.local()` by default.
      features: what else is computed of each image.

    Returns:
      (function of (variables, images [B, H, W, 3] on the scale 0 to 255) -> ([B, L] distances,
      [B, D] embeddings, [B, F] of each feature); what puts the variables on every device; their
      number).
    """
    return _measurer(target.apply, target.input, tuple(on or devices.local()), tuple(features))


@functools.lru_cache(maxsize=32)
def _measurer(apply, input, on, features):
    """Compiled once for all sets of faces, controls and audits."""

    def one(variables, image):
        network = distances.Network(apply=apply, variables=variables, input=input)
        look = network.look(image)
        more = (part.function(look, network) for part in features)
        return look.distances, look.embedding, *more

    return devices.per_example(one, on)


def _placed(target, on, features):
    program, place, _ = measurer(target, on, features)
    return functools.partial(program, place(target.variables))


def _measured(target, compiled, stream, mirror):
    """Yields ([n] positions, [n, width] rows) of each batch, computed while the next is decoded."""
    ahead: list[tuple[Any, loader.Batch]] = []

    def collect():
        found, batch = ahead.pop(0)
        return batch.index[batch.mask], np.concatenate(jax.device_get(found), axis=1)[batch.mask]

    for batch in stream:
        images = batch.images[:, :, ::-1] if mirror else batch.images
        with distances.within_reach(target.name):
            ahead.append((compiled(images), batch))
        if len(ahead) > 1:
            yield collect()
    while ahead:
        yield collect()


def _in_place(positions, found, width, skipped, lost):
    """Yields the rows of consecutive positions, NaN for the images that were skipped.

    Args:
      positions: [n] ascending.
      found: yields (positions, rows) of the images that could be read, in order.
      width: numbers in a row.
      skipped: (path, reason) of the others, in order, once all were read.
      lost: receives position -> reason of those.
    """
    start, there = 0, []
    for where, values in found:
        stop = int(np.searchsorted(positions, where[-1])) + 1
        part = np.full((stop - start, width), np.nan, np.float32)
        part[np.searchsorted(positions[start:stop], where)] = values
        there += where.tolist()
        start = stop
        yield part
    if start < len(positions):
        yield np.full((len(positions) - start, width), np.nan, np.float32)
    absent = sorted(set(positions.tolist()) - set(there))
    lost.update({n: why for n, (_, why) in zip(absent, skipped, strict=True)})


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
        extra={name: values[rows] for name, values in measured.extra.items()},
    )


def concat(first: Measurements, second: Measurements) -> Measurements:
    """Returns the measurements of the images of both, by the same backbone.

    `extra` has the features that were measured for both.
    """
    return dataclasses.replace(
        first,
        distances=np.concatenate([first.distances, second.distances]),
        embeddings=np.concatenate([first.embeddings, second.embeddings]),
        identities=first.identities + second.identities,
        index=np.concatenate([first.index, second.index]),
        skipped=first.skipped + second.skipped,
        extra={
            name: np.concatenate([values, second.extra[name]])
            for name, values in first.extra.items()
            if name in second.extra
        },
    )
