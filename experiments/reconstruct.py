"""Reconstructs faces from stored templates: what a leaked database of embeddings gives away.

  python -m experiments.reconstruct --target=T --generator=G --templates=FILE.npy --out=D
  python -m experiments.reconstruct --target=T --generator=G --photographs=FACES --out=D

FILE.npy holds embeddings of the target, [P, D] numbers; photographs are embedded first. Writes
reconstructions.csv, reconstructions.png and every reconstruction below D. No BatchNorm is needed.
"""

import numpy as np
from absl import flags

from experiments import cli, faces_flags
from fr_inference import errors, processes, tables
from fr_inference.data import sources
from fr_inference.data.faces import from_arrays
from fr_inference.inversion import (
    evaluate,
    guidance,
    pool,
    reconstructions,
    scene,
    search,
    targeted,
)
from fr_inference.inversion.optimize import Plan
from fr_inference.measuring import distances, measurements
from fr_inference.weights.generators import open_generator
from fr_inference.weights.targets import open_target

flags.adopt_module_key_flags(faces_flags)
_TARGET = flags.DEFINE_string('target', None, 'The backbone that made them.', required=True)
_GENERATOR = flags.DEFINE_string(
    'generator', None, 'StyleGAN2: .pkl, .pt, native directory or embedded name.', required=True
)
_TEMPLATES = flags.DEFINE_string('templates', None, 'Embeddings [P, D] as .npy.')
_PHOTOGRAPHS = flags.DEFINE_string('photographs', None, 'Faces whose embeddings are the templates.')
_EVALUATOR = flags.DEFINE_string(
    'evaluator', None, 'Another backbone that compares with --photographs.'
)
_OUT = flags.DEFINE_string('out', None, 'Folder for the results.', required=True)
_DRAWS = flags.DEFINE_integer('draws', 4096, 'Random latents that are scored.')
_CANDIDATES = flags.DEFINE_integer('candidates', 4, 'Improved for each template; the best is kept.')
_STEPS = flags.DEFINE_integer('steps', 100, 'Improvements of each candidate.')
_BATCH = flags.DEFINE_integer('search_batch', 64, 'Candidates at a time: bounds memory.')
_SPACE = flags.DEFINE_enum('space', 'w', scene.SPACES, 'What is improved.')
_SEED = cli.define_seed('Of the latents.')


def main() -> None:
    """Opens everything, searches, compares, writes."""
    errors.require(
        (_TEMPLATES.value is None) != (_PHOTOGRAPHS.value is None),
        'expected one of --templates and --photographs',
    )
    errors.require(
        _EVALUATOR.value is None or _PHOTOGRAPHS.value is not None,
        '--evaluator: it compares photographs, and needs --photographs',
    )
    plan = Plan(
        draws=_DRAWS.value,
        candidates=_CANDIDATES.value,
        steps=_STEPS.value,
        keep=1,
        apart=1.0,
        batch=_BATCH.value,
        seed=_SEED.value,
    )
    target = open_target(_TARGET.value)
    generator = open_generator(_GENERATOR.value)
    evaluator = open_target(_EVALUATOR.value, field='evaluator') if _EVALUATOR.value else None
    if evaluator is not None:
        evaluate.check_evaluator(evaluator, target)
    faces = (
        sources.open_faces(_PHOTOGRAPHS.value, 'photographs', **faces_flags.options())
        if _PHOTOGRAPHS.value
        else None
    )
    if faces is not None:
        measured = measurements.measure(target, faces, label='photographs', progress=cli.progress)
        templates = measured.embeddings
        names = [str(faces.paths[row]) for row in measured.index]
    else:
        templates = read_templates(str(_TEMPLATES.value), target)
        names = [str(row) for row in range(len(templates))]
    out = cli.make_folder(_OUT.value, '--out', ['reconstructions.csv', 'reconstructions.png'])
    wanted = evaluate.unit(templates)
    made, constants = guidance.without_attack(
        target, generator, seed=_SEED.value, space=_SPACE.value
    )
    drawn = pool.draw(
        made,
        plan,
        constants,
        generator.module.z_dim,
        workdir=out / 'search' / 'random_faces',
        label='random faces',
        progress=cli.progress,
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
        progress=cli.progress,
    )
    columns = {'template': names, 'similarity': (found.embeddings * wanted).sum(1).tolist()}
    if evaluator is not None and faces is not None:
        pictures = from_arrays(found.images, range(len(found.images)), 'reconstructions')
        both = [
            evaluate.unit(measurements.measure(evaluator, images, label='evaluator').embeddings)
            for images in (pictures, faces)
        ]
        columns['evaluator_similarity'] = (both[0] * both[1]).sum(1).tolist()
    if processes.is_first():
        tables.write(out / 'reconstructions.csv', columns, zip(*columns.values(), strict=True))
    reconstructions.save_pictures(found.images, out)
    medians = ', '.join(
        f'{name.replace("_", " ")} {np.median(values):.3f}'
        for name, values in columns.items()
        if name != 'template'
    )
    print(f'{len(names)} reconstructions, median {medians}: {out / "reconstructions.png"}')


def read_templates(path: str, target) -> np.ndarray:
    """Reads [P, D] finite numbers from a .npy file, without running anything in it.

    Raises:
      InputError: for another file, or embeddings of another length than the target's.
    """
    try:
        found = np.load(path, allow_pickle=False, mmap_mode='r')
    except (OSError, ValueError, EOFError) as error:
        raise errors.InputError(
            f'--templates: {path}: {error}; expected numbers [P, D] written by numpy.save'
        ) from error
    width = distances.embedding_size(target)
    errors.require(
        isinstance(found, np.ndarray)
        and found.ndim == 2
        and len(found) > 0
        and found.dtype.kind in 'fiu'
        and found.shape[1] == width,
        f'--templates: found {getattr(found, "dtype", "no array")} of shape '
        f'{list(getattr(found, "shape", []))}, expected numbers [P, {width}]',
    )
    found = np.asarray(found, np.float64)
    largest = np.abs(found).max(1)
    bad = np.flatnonzero(~(np.isfinite(largest) & (largest > 0)))
    errors.require(
        not len(bad),
        f'--templates: {path}: {len(bad)} rows that are zero or not finite, as number {bad[:1].sum()}',
    )
    # Directions alone count, and the smallest and largest numbers have squares that do not.
    return np.asarray(found / largest[:, None], np.float32)


if __name__ == '__main__':
    cli.run(main)
