"""Turns faces into a TensorFlow Datasets set of ArrayRecord files, which many programs can read fast.

  python -m experiments.prepare_faces --faces=train.rec --out=FOLDER --name=webface
  python -m experiments.split_faces --faces=tfds:webface:train --data_dir=FOLDER --out=SPLIT

After a stop or kill at any moment, the same command continues with the rest. Encoded images are
copied byte for byte.
"""

from fr_inference import config, errors
from fr_inference.cli import bars, folders, options, program
from fr_inference.data import prepare
from fr_inference.program_config import Preparation


def main(flags: options.Flags) -> None:
    """Writes OUT/NAME/1.0.0 and says how to open it."""
    asked = flags.read(Preparation)
    out = folders.make(asked.out, 'out')
    made = prepare.prepare(config.replace(asked, out=out), bars.progress)
    print(errors.called(str(made)))


PROGRAM = program.Program(main=main, kinds=(Preparation,), shared=False)

if __name__ == '__main__':
    PROGRAM.run()
