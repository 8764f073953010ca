"""Writes faces as a TensorFlow Datasets set in ArrayRecord files, without TensorFlow.

The set lies in OUT/NAME/1.0.0. Until it is whole it lies in OUT/NAME/unfinished, shard by shard, each
under another name until it is whole itself: whenever the work is killed, it goes on where it was.
"""

import dataclasses
import fcntl
import hashlib
import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

import jax

from fr_inference import errors
from fr_inference.data import shards, sources, workers
from fr_inference.data.faces import Faces

VERSION = '1.0.0'
SPLIT = 'train'
_SHARD_IMAGES = 4096
_PLAN, _LOCK = 'plan.json', 'lock'
_SUFFIX = 'array_record'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is written where.

    Attributes:
      spec: the faces, as `sources.open_faces` takes them.
      out: the folder of all sets (tfds' `data_dir`).
      name: of the set: small letters, digits and _.
      shards: files; one for each 4,096 images where None.
      skip_bad: leave unreadable images out.
      identity_key: as of `sources.open_faces`.
      data_dir: as of `sources.open_faces`.
    """

    spec: str
    out: pathlib.Path
    name: str
    shards: int | None = None
    skip_bad: bool = False
    identity_key: str | None = None
    data_dir: str | None = None

    def __post_init__(self):
        errors.require(
            re.fullmatch(r'[a-z][a-z0-9_]*', self.name),
            f'--name: found {self.name!r:.80}, expected small letters, digits and _',
        )
        errors.require(
            self.shards is None or 1 <= self.shards <= 99_999,
            f'--shards: found {self.shards}, expected 1 to 99999',
        )

    def open(self) -> Faces:
        """Opens the faces."""
        return sources.open_faces(
            self.spec, '--faces', identity_key=self.identity_key, data_dir=self.data_dir
        )

    @property
    def unfinished(self) -> pathlib.Path:
        """Where the set grows."""
        return self.out / self.name / 'unfinished'

    @property
    def finished(self) -> pathlib.Path:
        """Where the whole set lies."""
        return self.out / self.name / VERSION

    def shard(self, number: int, total: int) -> pathlib.Path:
        """Returns where a shard lies, under the name that tfds looks for."""
        return self.unfinished / f'{self.name}-{SPLIT}.{_SUFFIX}-{number:05d}-of-{total:05d}'


def prepare(
    plan: Plan, *, processes: int = 1, progress: Callable[..., None] | None = None
) -> tuple[int, int]:
    """Writes the set, or the rest of it.

    Args:
      plan: what is written where.
      processes: that share the work, a shard each at a time; the result does not depend on them.
      progress: called as progress(label, done, total).

    Returns:
      (images in the set, images left out as unreadable).

    Raises:
      BadImageError: at an unreadable image, unless `skip_bad`.
      InputError: when the set is there, or the beginnings of another one, or the disk is full.
    """
    faces = plan.open()
    total = min(len(faces), plan.shards or -(-len(faces) // _SHARD_IMAGES))
    errors.require(
        not plan.finished.exists(),
        f'--out: {plan.finished} is there already; choose another --name or --out, or remove it',
    )
    try:
        plan.unfinished.mkdir(parents=True, exist_ok=True)
        with open(plan.unfinished / _LOCK, 'a', encoding='utf-8') as lock:
            _lock(lock, plan)
            _begin(plan, faces, total)
            missing = [number for number in range(total) if not plan.shard(number, total).exists()]
            report = progress or (lambda *_: None)
            report('shards', total - len(missing), total)
            for done, _ in enumerate(_written(plan, faces, missing, total, processes), start=1):
                report('shards', total - len(missing) + done, total)
            count = _finish(plan, total)
    except OSError as error:
        raise errors.InputError(
            f'--out: {error.filename or plan.out} can not be written: {error.strerror}'
        ) from error
    return count, len(faces) - count


def _lock(file, plan):
    """Of two at once both would rename what the other removes. A killed process holds no lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise errors.InputError(
            f'--out: {plan.unfinished} is being written by another process'
        ) from error


def _begin(plan, faces, total):
    """Notes which faces are written; refuses to go on with others."""
    names = hashlib.sha256()
    for path, identity in zip(faces.paths, faces.identities, strict=True):
        names.update(f'{path}\n{identity}\n'.encode(errors='surrogateescape'))
    wanted = {'faces': names.hexdigest(), 'images': len(faces), 'shards': total}
    path = plan.unfinished / _PLAN
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding='utf-8'))
        except ValueError as error:
            raise errors.InputError(f'--out: {path} is damaged; remove {path.parent}') from error
        errors.require(
            found == wanted,
            f'--out: {path.parent} holds the beginnings of another set ({found}, now {wanted}); go on '
            'with the same flags, or remove it',
        )
    else:
        _write(path, json.dumps(wanted))
    for rest in plan.unfinished.glob(f'*{shards.UNFINISHED}'):
        rest.unlink()


def _written(plan, faces, missing, total, processes):
    """Yields the number of each shard when it is written."""
    if min(processes, len(missing)) <= 1:
        for number in missing:
            _write_shard(plan, faces, number, total)
            yield number
        return
    pool = workers.pool(min(processes, len(missing)), _open_in_worker, plan)
    try:
        jobs = [pool.submit(_write_in_worker, number, total) for number in missing]
        for number, job in zip(missing, jobs, strict=True):
            job.result()
            yield number
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_IN_WORKER: dict[str, Any] = {}


def _open_in_worker(plan):
    jax.config.update('jax_platforms', 'cpu')  # drawings need no accelerator, and no share of one
    _IN_WORKER['plan'], _IN_WORKER['faces'] = plan, plan.open()


def _write_in_worker(number, total):
    _write_shard(_IN_WORKER['plan'], _IN_WORKER['faces'], number, total)


def _write_shard(plan, faces, number, total):
    rows = range(number * len(faces) // total, (number + 1) * len(faces) // total)
    shards.write(faces, rows, plan.shard(number, total), skip_bad=plan.skip_bad)


def _finish(plan, total):
    """Writes what tfds reads first, and gives the set its name; returns the number of its images."""
    import tensorflow_datasets as tfds

    paths = [plan.shard(number, total) for number in range(total)]
    lengths = [shards.count(path) for path in paths]
    errors.require(sum(lengths), f'--faces: none of the images of {plan.spec} could be read')
    template = tfds.core.ShardedFileTemplate(
        data_dir=plan.unfinished, dataset_name=plan.name, split=SPLIT, filetype_suffix=_SUFFIX
    )
    split = tfds.core.SplitInfo(
        name=SPLIT,
        shard_lengths=lengths,
        num_bytes=sum(path.stat().st_size for path in paths),
        filename_template=template,
    )
    tfds.folder_dataset.write_metadata(
        data_dir=plan.unfinished,
        features=shards.features(),
        split_infos=[split],
        version=VERSION,
        filename_template=template,
        check_data=False,  # which takes TensorFlow
        description='Faces with who is on each and where it came from.',
    )
    plan.unfinished.rename(plan.finished)
    for name in (_PLAN, _LOCK):
        (plan.finished / name).unlink()
    return sum(lengths)


def _write(path, text):
    part = path.with_name(f'{path.name}{shards.UNFINISHED}')
    part.write_text(text, encoding='utf-8')
    part.rename(path)
