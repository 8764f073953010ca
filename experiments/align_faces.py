"""Aligns photographs by five landmarks to the 112 x 112 template that face networks are trained on.

  python -m experiments.align_faces --faces=FOLDER --out=FOLDER
  python -m experiments.align_faces --faces=FOLDER --landmarks=landmarks.csv --out=FOLDER

The first command finds the landmarks (pip install 'fr_inference[align]') and writes them to
OUT/landmarks.csv, where they can be corrected for the second command.
"""

import sys

from fr_inference import config, errors
from fr_inference.cli import folders, options, program
from fr_inference.data import landmarks
from fr_inference.program_config import Alignment


def main(flags: options.Flags) -> None:
    """Writes OUT/PATH.png for each photograph; lists photographs with no face or several faces."""
    asked = flags.read(Alignment)
    out = folders.make(asked.out, 'out').resolve()
    made = landmarks.align_files(config.replace(asked, out=out))
    for path, count in made.several:
        print(errors.shown(f'{path}: {count} faces, the main one was used'), file=sys.stderr)
    for _, reason in made.left_out:
        print(f'left out: {errors.shown(reason)}', file=sys.stderr)
    print(f'{errors.called(str(out))}: {made}')


PROGRAM = program.Program(main=main, kinds=(Alignment,), shared=False, saves=False)

if __name__ == '__main__':
    PROGRAM.run()
