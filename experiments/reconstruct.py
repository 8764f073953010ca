"""Reconstructs faces from stored templates: what a leaked database of embeddings gives away.

  python -m experiments.reconstruct --target=BACKBONE --generator=GENERATOR --out=FOLDER \\
      --templates=FILE.npy  (or --photographs=FACES)

FILE.npy holds embeddings of the backbone, [P, D] numbers; photographs are embedded first. Writes
reconstructions.csv, reconstructions.png and every reconstruction below FOLDER. The backbone needs no
BatchNorm layers.
"""

from fr_inference.cli import bars, description, folders, options, program
from fr_inference.inversion import framing, templates
from fr_inference.program_config import Templates
from fr_inference.weights.generators import open_generator
from fr_inference.weights.targets import open_target


def main(flags: options.Flags) -> None:
    """Opens everything, searches, compares, writes."""
    asked = flags.read(Templates)
    target = open_target(asked.target, dtype=asked.dtype, input=asked.input, part=asked.part)
    generator = open_generator(asked.generator)
    print(description.line(target))
    if asked.framing is None and framing.of(None, generator.module.resolution) == 'ffhq':
        print('generator: assumed to draw whole heads, as in FFHQ; the face is cropped (--framing)')
    out = folders.make(asked.out, 'out', templates.FILES)
    made = templates.run(asked, target, generator, workdir=out / 'search', progress=bars.progress)
    made.save(out)
    print(f'{made}: {asked.out}/reconstructions.png')


PROGRAM = program.Program(
    main=main,
    kinds=(Templates,),
    often='templates photographs evaluator candidates steps search_batch seed',
)

if __name__ == '__main__':
    PROGRAM.run()
