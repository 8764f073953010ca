"""Reconstructs faces from stored templates: what a leaked database of embeddings gives away.

  python -m experiments.reconstruct --target=BACKBONE --generator=GENERATOR --out=FOLDER \\
      --templates=FILE.npy  (or --photographs=FACES)

FILE.npy holds embeddings of the backbone, [P, D] numbers; photographs are embedded first. Writes
reconstructions.csv, reconstructions.png and every reconstruction below FOLDER. The backbone needs no
BatchNorm layers.
"""

from fr_inference.batch import reconstructing
from fr_inference.cli import options, program
from fr_inference.program_config import Templates


def main(flags: options.Flags) -> None:
    """Searches, compares, writes."""
    print(reconstructing.run(flags.read(Templates)))


PROGRAM = program.Program(main=main, kinds=(Templates,))

if __name__ == '__main__':
    PROGRAM.run()
