"""Aligns photographs by five landmarks to the 112 x 112 template that face networks are trained on.

python -m experiments.align_faces --faces=FOLDER --landmarks=landmarks.csv --out=FOLDER
"""

from fr_inference.cli import folders, options, program
from fr_inference.data import landmarks
from fr_inference.program_config import Alignment


def main(flags: options.Flags) -> None:
    """Writes OUT/PATH.png for each row of the landmarks."""
    asked = flags.read(Alignment)
    out = folders.make(asked.out, 'out').resolve()
    print(f'{out}: {landmarks.align_files(asked)} aligned images')


PROGRAM = program.Program(main=main, kinds=(Alignment,), shared=False, saves=False)

if __name__ == '__main__':
    PROGRAM.run()
