"""Reconstructs faces from stored templates, from the options to the files."""

import os
import pathlib
from typing import Any

import numpy as np

from fr_inference import errors, processes, tables
from fr_inference.cli import bars, folders
from fr_inference.data import sources
from fr_inference.data.faces import from_arrays
from fr_inference.inversion import (
    evaluate,
    guidance,
    pool,
    reconstructions,
    search,
    targeted,
)
from fr_inference.inversion.optimize import Plan
from fr_inference.measuring import distances, measurements
from fr_inference.models.target import Target
from fr_inference.program_config import Templates
from fr_inference.weights.generators import open_generator
from fr_inference.weights.targets import open_target

_FILES = ('reconstructions.csv', 'reconstructions.png')


def run(asked: Templates) -> str:
    """Opens everything, searches, compares, writes; returns what the program prints."""
    plan = Plan(
        draws=asked.draws,
        candidates=asked.candidates,
        steps=asked.steps,
        keep=1,
        pictures=asked.pictures,
        learning_rate=asked.learning_rate,
        optimiser=asked.optimiser,
        apart=1.0,
        batch=asked.search_batch,
        seed=asked.seed,
    )
    target = open_target(asked.target, dtype=asked.dtype)
    generator = open_generator(asked.generator)
    evaluator = None
    if asked.evaluator:
        evaluator = open_target(asked.evaluator, dtype=asked.dtype, flag='--evaluator')
        evaluate.check_evaluator(evaluator, target)
    templates, names, faces = _templates(asked, target)
    out = folders.make(asked.out, 'out', _FILES)
    wanted = evaluate.unit(templates)
    made, constants = guidance.without_attack(
        target, generator, seed=asked.seed, space=asked.space, psi=asked.psi
    )
    drawn = pool.draw(
        made,
        plan,
        constants,
        generator.module.z_dim,
        workdir=out / 'search' / 'random_faces',
        label='random faces',
        progress=bars.progress,
    )
    found = search.run(
        made,
        plan,
        targeted.OBJECTIVE,
        constants,
        drawn,
        wanted,
        workdir=out / 'search',
        label='reconstructing',
        progress=bars.progress,
    )
    columns: dict[str, list[Any]] = {
        'template': names,
        'similarity': (found.embeddings * wanted).sum(1).tolist(),
    }
    if evaluator is not None and faces is not None:
        pictures = from_arrays(found.images, range(len(found.images)), 'reconstructions')
        both = [
            evaluate.unit(measurements.measure(evaluator, images, label='evaluator').embeddings)
            for images in (pictures, faces)
        ]
        columns['evaluator_similarity'] = (both[0] * both[1]).sum(1).tolist()
    if processes.is_first():
        tables.write(out / _FILES[0], columns, zip(*columns.values(), strict=True))
    reconstructions.save_pictures(found.images, out)
    medians = ', '.join(
        f'{name.replace("_", " ")} {np.median(values):.3f}'
        for name, values in columns.items()
        if name != 'template'
    )
    return f'{len(names)} reconstructions, median {medians}: {out / _FILES[1]}'


def _templates(asked, target):
    """Returns (the templates [P, D], their names, the photographs behind them or None)."""
    if asked.photographs is None:
        templates = read_templates(str(asked.templates), target)
        return templates, [str(row) for row in range(len(templates))], None
    faces = sources.open_faces(
        asked.photographs,
        'photographs',
        identity_key=asked.identity_key,
        data_dir=asked.data_dir,
    )
    measured = measurements.measure(target, faces, label='photographs', progress=bars.progress)
    return measured.embeddings, [str(faces.paths[row]) for row in measured.index], faces


def read_templates(path: str | os.PathLike, target: Target) -> np.ndarray:
    """Reads [P, D] finite numbers from a .npy file, without running anything in it.

    Raises:
      InputError: for another file, or embeddings of another length than the target's.
    """
    path = pathlib.Path(path)
    try:
        found = np.load(path, allow_pickle=False, mmap_mode='r')
    except (OSError, ValueError, EOFError) as error:
        raise errors.InputError(
            'templates', str(error), 'numbers [P, D] written by numpy.save', inside=str(path)
        ) from error
    width = distances.embedding_size(target)
    fits = (
        isinstance(found, np.ndarray)
        and found.ndim == 2
        and len(found) > 0
        and found.dtype.kind in 'fiu'
        and found.shape[1] == width
    )
    if not fits:
        shape = list(getattr(found, 'shape', []))
        raise errors.InputError(
            'templates',
            f'{getattr(found, "dtype", "no array")} of shape {shape}',
            f'numbers [P, {width}]',
            inside=str(path),
        )
    found = np.asarray(found, np.float64)
    largest = np.abs(found).max(1)
    bad = np.flatnonzero(~(np.isfinite(largest) & (largest > 0)))
    if len(bad):
        raise errors.InputError(
            'templates',
            f'{len(bad)} rows that are zero or not finite, such as number {bad[0]}',
            inside=str(path),
        )
    # Only directions count, and the squares of the smallest and largest numbers are not finite.
    return np.asarray(found / largest[:, None], np.float32)
