"""Writes faces as a TensorFlow Datasets set in ArrayRecord files, without TensorFlow.

The complete set is in OUT/NAME/1.0.0. Until it is complete, its shards are in OUT/NAME/unfinished,
each under another name until it is complete itself, so that killed work can continue where it stopped.
"""

import dataclasses
import hashlib
import logging
import os
import pathlib
import re
from typing import Any

import jax

from fr_inference import errors, files, locks, program_config, runs
from fr_inference.data import shards, sources, workers
from fr_inference.data.faces import Faces
from fr_inference.runs import Progress

VERSION = '1.0.0'
SPLIT = 'train'
_SHARD_IMAGES = 4096
_PLAN, _LOCK = 'plan.json', 'lock'
_SUFFIX = 'array_record'


@dataclasses.dataclass(frozen=True)
class Place:
    """The location of a set.

    Attributes:
      out: the folder of all sets (tfds' `data_dir`).
      name: of the set.
    """

    out: pathlib.Path
    name: str

    @property
    def unfinished(self) -> pathlib.Path:
        """The folder of the unfinished set."""
        return self.out / self.name / 'unfinished'

    @property
    def finished(self) -> pathlib.Path:
        """The folder of the complete set."""
        return self.out / self.name / VERSION

    def shard(self, number: int, total: int) -> pathlib.Path:
        """Returns the path of a shard, with the name that tfds looks for."""
        return self.unfinished / f'{self.name}-{SPLIT}.{_SUFFIX}-{number:05d}-of-{total:05d}'


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A complete set.

    Attributes:
      place: where it lies.
      images: how many it holds.
      left_out: how many images could not be read.
    """

    place: Place
    images: int
    left_out: int

    def __str__(self) -> str:
        return (
            f'{self.place.finished}: {self.images} images, {self.left_out} unreadable ones left out; '
            f'open it as tfds:{self.place.name}:{SPLIT}, data_dir {self.place.out}'
        )


def place_of(options: program_config.Preparation) -> Place:
    """Returns the location of the set; without a name it is named after its faces.

    >>> str(place_of(program_config.Preparation(faces='/data/My Faces.rec', out='sets')).finished)
    'sets/my_faces/1.0.0'
    """
    if options.name is not None:
        return Place(pathlib.Path(options.out), options.name)
    stem = pathlib.Path(os.path.abspath(options.faces)).stem
    name = re.sub(r'[^a-z0-9]+', '_', stem.lower()).strip('_')
    if not re.fullmatch(r'[a-z][a-z0-9_]*', name):
        raise errors.InputError(
            'name',
            f'none, and {stem!r:.80} has no letter to begin with',
            'small letters, digits and _',
        )
    return Place(pathlib.Path(options.out), name)


def prepare(options: program_config.Preparation, progress: Progress | None = None) -> Prepared:
    """Writes the set or the missing part; the result does not depend on the number of workers.

    Args:
      options: what is written where.
      progress: called as progress(label, done, total).

    Raises:
      BadImageError: at an unreadable image, unless `skip_bad`.
      InputError: when the set exists, another one was begun there, or the disk is full.
    """
    place = place_of(options)
    faces = _open(options)
    total = min(len(faces), options.shards or -(-len(faces) // _SHARD_IMAGES))
    if place.finished.exists():
        raise errors.InputError(
            'out',
            f'{place.finished}, which exists',
            hint='choose another name or out, or remove it',
        )
    try:
        place.unfinished.mkdir(parents=True, exist_ok=True)
        with open(place.unfinished / _LOCK, 'a', encoding='utf-8') as lock:
            _lock(lock, place)
            _begin(place, faces, total)
            missing = [n for n in range(total) if not place.shard(n, total).exists()]
            report = progress or (lambda *_: None)
            report('shards', total - len(missing), total)
            for done, _ in enumerate(_written(options, place, faces, missing, total), start=1):
                report('shards', total - len(missing) + done, total)
            count = _finish(place, total)
    except OSError as error:
        raise errors.InputError(
            'out', f'{error.filename or place.out} that cannot be written ({error.strerror})'
        ) from error
    return Prepared(place, count, len(faces) - count)


def _open(options: program_config.Preparation) -> Faces:
    return sources.open_faces(options.faces, reading=options)


def _lock(file, place):
    """Locks the set, since two processes would interfere. A killed process holds no lock."""
    try:
        locks.hold(file, wait=False)
    except BlockingIOError as error:
        raise errors.InputError(
            'out',
            f'{place.unfinished}, which another process is writing',
            hint='wait until it has finished',
        ) from error


def _begin(place, faces, total):
    """Records which faces are written; refuses to continue with others."""
    names = hashlib.sha256()
    for path, identity in zip(faces.paths, faces.identities, strict=True):
        names.update(f'{path}\n{identity}\n'.encode(errors='surrogateescape'))
    names.update(faces.changed(0).encode())
    wanted = {'faces': names.hexdigest(), 'images': len(faces), 'shards': total}
    try:
        runs.claim(place.unfinished, wanted, file=_PLAN)
    except errors.InputError as error:
        hint = f'continue with the same options, or remove {place.unfinished}'
        raise errors.InputError('out', error.found, hint=hint, inside=error.field) from error
    for rest in sorted(place.unfinished.iterdir()):
        if files.is_unfinished(rest.name) or rest.suffix == '.part':  # so of earlier versions
            rest.unlink()


def _written(options, place, faces, missing, total):
    """Yields the number of each shard when it is written."""
    processes = min(options.workers or os.cpu_count() or 1, len(missing))
    if processes <= 1:
        for number in missing:
            _write_shard(options, place, faces, number, total)
            yield number
        return
    pool = workers.pool(processes, _open_in_worker, options)
    try:
        jobs = [pool.submit(_write_in_worker, place, number, total) for number in missing]
        for number, job in zip(missing, jobs, strict=True):
            job.result()
            yield number
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_IN_WORKER: dict[str, Any] = {}


def _open_in_worker(options):
    jax.config.update('jax_platforms', 'cpu')  # drawings need no accelerator
    # Images left out were reported before
    logging.getLogger('fr_inference').setLevel(logging.ERROR)
    _IN_WORKER['options'], _IN_WORKER['faces'] = options, _open(options)


def _write_in_worker(place, number, total):
    _write_shard(_IN_WORKER['options'], place, _IN_WORKER['faces'], number, total)


def _write_shard(options, place, faces, number, total):
    rows = range(number * len(faces) // total, (number + 1) * len(faces) // total)
    shards.write(faces, rows, place.shard(number, total), skip_bad=options.skip_bad)


def _finish(place, total):
    """Writes the set's metadata and renames it to its final name; returns the number of images."""
    import tensorflow_datasets as tfds

    paths = [place.shard(number, total) for number in range(total)]
    lengths = [shards.count(path) for path in paths]
    if not sum(lengths):
        raise errors.InputError('faces', 'no image that can be read')
    template = tfds.core.ShardedFileTemplate(
        data_dir=place.unfinished, dataset_name=place.name, split=SPLIT, filetype_suffix=_SUFFIX
    )
    split = tfds.core.SplitInfo(
        name=SPLIT,
        shard_lengths=lengths,
        num_bytes=sum(path.stat().st_size for path in paths),
        filename_template=template,
    )
    tfds.folder_dataset.write_metadata(
        data_dir=place.unfinished,
        features=shards.features(),
        split_infos=[split],
        version=VERSION,
        filename_template=template,
        check_data=False,  # importing it would need TensorFlow
        description='Faces, each with its identity and where it came from.',
    )
    files.move(place.unfinished, place.finished)
    for name in (_PLAN, _LOCK):
        (place.finished / name).unlink()
    return sum(lengths)
