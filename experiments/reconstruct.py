"""Reconstructs faces from stored templates: what a leaked database of embeddings gives away.

  python -m experiments.reconstruct --target=T --generator=G --templates=FILE.npy --out=D
  python -m experiments.reconstruct --target=T --generator=G --photographs=FACES --out=D

FILE.npy holds embeddings of the target, [P, D] numbers; photographs are embedded first. Writes
reconstructions.csv, reconstructions.png and every reconstruction below D. No BatchNorm is needed.
"""

from typing import Any

import numpy as np
from absl import flags

from experiments import cli, faces_flags
from fr_inference import errors, processes
from fr_inference.config import Search
from fr_inference.data import sources
from fr_inference.data.faces import Faces
from fr_inference.inversion import judge, scene, templates
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
    how = Search(
        draws=_DRAWS.value,
        candidates=_CANDIDATES.value,
        steps=_STEPS.value,
        keep=1,
        apart=1.0,
        space=_SPACE.value,
        search_batch=_BATCH.value,
    )
    target = open_target(_TARGET.value)
    generator = open_generator(_GENERATOR.value)
    evaluator = open_target(_EVALUATOR.value, field='evaluator') if _EVALUATOR.value else None
    if evaluator is not None:
        judge.check_evaluator(evaluator, target)
    source: Faces | np.ndarray
    if _PHOTOGRAPHS.value:
        source = sources.open_faces(_PHOTOGRAPHS.value, 'photographs', **faces_flags.options())
    else:
        source = templates.read(str(_TEMPLATES.value), target)
    out = cli.make_folder(_OUT.value, '--out', ['reconstructions.csv', 'reconstructions.png'])
    shared: dict[str, Any] = {
        'seed': _SEED.value,
        'how': how,
        'workdir': out / 'search',
        'progress': cli.progress,
    }
    if isinstance(source, Faces):
        made = templates.reconstruct_photographs(
            target, generator, source, evaluator=evaluator, **shared
        )
    else:
        made = templates.reconstruct(target, generator, source, **shared)
    if processes.is_first():
        made.save(out)
    medians = ', '.join(
        f'{name.replace("_", " ")} {np.median(values):.3f}'
        for name, values in made.columns.items()
        if name != 'template'
    )
    count = len(made.found.images)
    print(f'{count} reconstructions, median {medians}: {out / "reconstructions.png"}')


if __name__ == '__main__':
    cli.run(main)
