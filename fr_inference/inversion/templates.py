"""Stored templates: from a leaked embedding to a face like that person."""

import dataclasses
import os
import pathlib
import tokenize
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fr_inference import config, errors, local_copies, runs, tables
from fr_inference.config import Search
from fr_inference.data import sources
from fr_inference.data.faces import Faces, from_arrays
from fr_inference.inversion import goals, judge, pictures, search, subject
from fr_inference.inversion.search import Found
from fr_inference.measuring import convention, distances, measurements
from fr_inference.models.stylegan2 import Trained
from fr_inference.models.target import Target
from fr_inference.program_config import Templates
from fr_inference.runs import Progress
from fr_inference.weights.targets import open_target

FILES = ('reconstructions.csv', 'reconstructions.png')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reconstructed:
    """Faces of P people, each from one embedding.

    Attributes:
      found: the reconstructions, one for each template, in their order.
      columns: the columns of `reconstructions.csv`, each with P values. 'template' is its name,
        'similarity' the target's cosine with it, and 'evaluator_similarity', with an evaluator, its
        cosine of reconstruction and photograph.
    """

    found: Found
    columns: Mapping[str, list[Any]]

    def __str__(self):
        medians = ', '.join(
            f'{name.replace("_", " ")} {np.median(values):.3f}'
            for name, values in self.columns.items()
            if name != 'template'
        )
        return f'{len(self.found.images)} reconstructions, median {medians}'

    @runs.first_only
    def save(self, directory: str | os.PathLike) -> None:
        """Writes reconstructions.csv, reconstructions.png and reconstructions/NNNN.png.

        Only process 0 writes.

        Args:
          directory: exists.

        Raises:
          InputError: where there is a file of that name already.
        """
        path = pathlib.Path(directory) / FILES[0]
        tables.write(path, self.columns, zip(*self.columns.values(), strict=True))
        pictures.save(self.found.images, directory)


def run(
    asked: Templates,
    target: Target,
    generator: Trained,
    *,
    workdir: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> Reconstructed:
    """Reconstructs from the templates or the photographs that the options name.

    Args:
      asked: the options; their target and generator are not opened here.
      target: the backbone that made the embeddings, or makes them from the photographs.
      generator: whose latents are searched.
      workdir: as in `reconstruct`.
      progress: called as progress(label, done, total).

    Raises:
      InputError: as `reconstruct` and `reconstruct_photographs`, and for photographs that clearly fit
        another input convention of the target better.
    """
    how: dict[str, Any] = {'seed': asked.seed, 'how': asked.search, 'workdir': workdir}
    if asked.templates is not None:
        stored = read(asked.templates, target)
        return reconstruct(target, generator, stored, progress=progress, **how)
    assert asked.photographs is not None  # `Templates.check`
    evaluator = None
    if asked.evaluator is not None:
        evaluator = open_target(asked.evaluator, dtype=asked.dtype, field='evaluator')
        judge.check_evaluator(evaluator, target)
    faces = sources.open_faces(asked.photographs, 'photographs', reading=asked)
    fit = convention.check(target, faces, seed=asked.seed)
    convention.demand(target, fit, allow=asked.allow_misfit)
    return reconstruct_photographs(
        target, generator, faces, evaluator=evaluator, progress=progress, **how
    )


def reconstruct(
    target: Target,
    generator: Trained,
    templates: np.ndarray,
    *,
    how: Search,
    seed: int,
    names: Sequence[str] | None = None,
    workdir: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> Reconstructed:
    """Makes a face for each stored embedding; the target needs no BatchNorm layers.

    Args:
      target: the backbone that made the embeddings.
      generator: whose latents are searched.
      templates: [P, D] embeddings, of any length above 0.
      how: each template gets its own `candidates` (four are enough) and keeps the best one; `keep`
        and `apart` are not used.
      seed: of every draw.
      names: of the P templates; their numbers by default.
      workdir: keeps random latents and the state, so that a stopped search goes on.
      progress: called as progress(label, done, total).

    Raises:
      InputError: for embeddings of another length than the target's, or if no finite result is found.
      Stopped: when a stop was requested.
    """
    how = config.replace(how, keep=1, apart=1.0)
    folder = pathlib.Path(workdir) if workdir is not None else None
    made = subject.prepare(
        target,
        generator,
        how,
        seed=seed,
        workdir=folder and folder / 'random_faces',
        progress=progress,
    )
    goal = goals.templates(templates, strength=how.strength, prior=how.prior)
    found = search.run(made, goal, how, workdir=folder, label='reconstructing', progress=progress)
    similarity = (found.embeddings * judge.unit(templates)).sum(1)
    return Reconstructed(
        found=found,
        columns={
            'template': list(names)
            if names is not None
            else [str(n) for n in range(len(templates))],
            'similarity': similarity.tolist(),
        },
    )


def reconstruct_photographs(
    target: Target,
    generator: Trained,
    faces: Faces,
    *,
    how: Search,
    seed: int,
    evaluator: Target | None = None,
    workdir: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> Reconstructed:
    """Embeds photographs, reconstructs from the embeddings alone, and compares with the photographs.

    Args:
      target: the backbone that embeds.
      generator: whose latents are searched.
      faces: P photographs.
      how: as in `reconstruct`.
      seed: of every draw.
      evaluator: another backbone for the comparison; without one, only the target compares.
      workdir: as in `reconstruct`.
      progress: called as progress(label, done, total).

    Raises:
      InputError: as `reconstruct`, and for the target itself as evaluator.
    """
    if evaluator is not None:
        judge.check_evaluator(evaluator, target)

    def embed(backbone, images, label):
        return measurements.measure(backbone, images, label=label, progress=progress)

    measured = embed(target, faces, 'photographs')
    made = reconstruct(
        target,
        generator,
        measured.embeddings,
        how=how,
        seed=seed,
        names=[str(faces.paths[row]) for row in measured.index],
        workdir=workdir,
        progress=progress,
    )
    if evaluator is None:
        return made
    images = from_arrays(made.found.images, range(len(made.found.images)), 'reconstructions')
    both = [
        judge.unit(embed(evaluator, some, 'evaluator').embeddings)
        for some in (images, faces.select(measured.index))
    ]
    similar = {'evaluator_similarity': (both[0] * both[1]).sum(1).tolist()}
    return dataclasses.replace(made, columns={**made.columns, **similar})


_MOST_BYTES = 1 << 30  # far more embeddings than anyone can search for
_DAMAGED = (
    *(OSError, ValueError, EOFError, OverflowError, TypeError, MemoryError, RecursionError),
    *(SyntaxError, tokenize.TokenError),  # of NumPy's reader of headers
)


def read(path: str | os.PathLike, target: Target, *, field: str = 'templates') -> np.ndarray:
    """Reads embeddings [P, D] from a .npy file, without running anything in it.

    Args:
      path: a file of finite numbers written by `numpy.save`.
      target: the backbone that made the embeddings.
      field: the argument that named the file.

    Returns:
      [P, D] float32; the norm of a row has no meaning.

    Raises:
      InputError: for another file, embeddings of another length than the target's, and rows that are
        zero or not finite.
    """
    path = local_copies.path_of(path, field)
    expected = 'numbers [P, D] written by numpy.save'
    if not path.is_file():  # opening a pipe would wait for a writer
        found = 'something other than a file' if path.exists() else 'no such file'
        raise errors.InputError(field, found, expected, inside=str(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)  # of headers that Python 2 wrote
            stored = np.lib.format.open_memmap(path, mode='r')  # holds numbers or nothing
    except _DAMAGED as error:
        said = ' '.join(str(error).split())[:300]
        raise errors.InputError(
            field, f'a damaged file ({said})', expected, inside=str(path)
        ) from error
    width = distances.embedding_size(target)
    shape = list(stored.shape)
    if not (shape[1:] == [width] and shape[0] > 0 and stored.dtype.kind in 'fiu'):
        found = f'{stored.dtype} {shape}'
        raise errors.InputError(field, found, f'numbers [P, {width}]', inside=str(path))
    if stored.nbytes > _MOST_BYTES:
        found = f'{stored.nbytes} bytes of embeddings'
        raise errors.InputError(field, found, f'{_MOST_BYTES} at most', inside=str(path))
    with np.errstate(invalid='ignore'):  # a NaN that signals
        values = np.asarray(stored, np.float64)
    largest = np.abs(values).max(1)
    bad = np.flatnonzero(~(np.isfinite(largest) & (largest > 0)))
    if len(bad):
        raise errors.InputError(
            field,
            f'{len(bad)} rows that are zero or not finite, such as number {bad[0]}',
            'embeddings',
            inside=str(path),
        )
    # The direction alone counts, and squares of the smallest and largest numbers do not exist.
    return np.asarray(values / largest[:, None], np.float32)
