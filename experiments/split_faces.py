"""Splits the people of a source into manifests with no person in common.

  python -m experiments.split_faces --faces=FACES --parts=members:0.5,nonmembers:0.5 --out=FOLDER

Writes FOLDER/NAME.csv for each part; with --holdout_images also NAME_other.csv, further images of the
same people.
"""

from fr_inference import config, errors
from fr_inference.cli import folders, options, program
from fr_inference.data import splits
from fr_inference.program_config import Split


def main(flags: options.Flags) -> None:
    """Writes OUT/NAME.csv for each part."""
    asked = flags.read(Split)
    out = folders.make(asked.out, 'out', splits.files(asked.parts))
    for path, faces in splits.write(config.replace(asked, out=out)):
        print(
            f'{errors.called(str(path))}: {len(faces)} images of {len(set(faces.identities))} people'
        )


PROGRAM = program.Program(main=main, kinds=(Split,), shared=False, saves=False)

if __name__ == '__main__':
    PROGRAM.run()
