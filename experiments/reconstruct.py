"""Reconstructs faces from stored templates: what a leaked database of embeddings gives away.

  python -m experiments.reconstruct --target=BACKBONE --generator=GENERATOR --out=FOLDER \\
      --templates=FILE.npy  (or --photographs=FACES)

FILE.npy holds embeddings of the backbone, [P, D] numbers; photographs are embedded first. Writes
reconstructions.csv, reconstructions.png and every reconstruction below FOLDER. The backbone needs no
BatchNorm layers.
"""

import numpy as np

from fr_inference.cli import bars, description, folders, options, program
from fr_inference.data import sources
from fr_inference.inversion import judge, templates
from fr_inference.measuring import convention
from fr_inference.program_config import Templates
from fr_inference.weights.generators import open_generator
from fr_inference.weights.targets import open_target

_FILES = ('reconstructions.csv', 'reconstructions.png')


def main(flags: options.Flags) -> None:
    """Opens everything, searches, compares, writes."""
    asked = flags.read(Templates)
    target, generator = (
        open_target(asked.target, dtype=asked.dtype, input=asked.input, part=asked.part),
        open_generator(asked.generator),
    )
    print(description.line(target))
    made = _reconstruct(asked, target, generator, out=folders.make(asked.out, 'out', _FILES))
    made.save(asked.out)
    medians = ', '.join(
        f'{name.replace("_", " ")} {np.median(values):.3f}'
        for name, values in made.columns.items()
        if name != 'template'
    )
    count = len(made.found.images)
    print(f'{count} reconstructions, median {medians}: {asked.out}/{_FILES[1]}')


def _reconstruct(asked, target, generator, *, out):
    how = {'seed': asked.seed, 'how': asked.search, 'workdir': out / 'search'}
    how['progress'] = bars.progress
    if asked.templates is not None:
        stored = templates.read(asked.templates, target)
        return templates.reconstruct(target, generator, stored, **how)
    evaluator = None
    if asked.evaluator is not None:
        evaluator = open_target(asked.evaluator, dtype=asked.dtype, field='evaluator')
        judge.check_evaluator(evaluator, target)
    faces = sources.open_faces(asked.photographs, 'photographs', reading=asked)
    convention.demand(target, convention.check(target, faces, seed=asked.seed))
    return templates.reconstruct_photographs(target, generator, faces, evaluator=evaluator, **how)


PROGRAM = program.Program(main=main, kinds=(Templates,))

if __name__ == '__main__':
    PROGRAM.run()
