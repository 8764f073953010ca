"""Trains a face-recognition backbone, or fine-tunes one, so that it can be audited.

  python -m experiments.train_recognizer --faces=FACES --arch=iresnet50 --out=FOLDER
  python -m experiments.train_recognizer --faces=FACES --init=BACKBONE --epochs=3 --out=FOLDER
  python -m experiments.train_recognizer --faces=FACES --norm=group --epsilon=8 --out=FOLDER  # private

Writes a native checkpoint with the list of its training images (members.csv), and prints the accuracy on
the held-out people. --audit_every=N measures during training how well attacks tell members
from held-out people. Exit codes: 2 bad input, 4 stopped by SIGTERM: the same command continues.
"""

import dataclasses
import pathlib

from fr_inference import config
from fr_inference.batch import leak_curve
from fr_inference.cli import bars, description, folders, options, program
from fr_inference.data import sources
from fr_inference.measuring import convention
from fr_inference.program_config import Network, RecognizerTraining
from fr_inference.training import held_out, private, recognizer, records
from fr_inference.weights import native_targets


def main(flags: options.Flags) -> None:
    """Trains, saves, verifies on people never trained on."""
    asked, how = flags.read(RecognizerTraining), flags.read(config.Recipe)
    people = sources.open_faces(asked.faces, reading=asked)
    faces, others = held_out.split(people, asked.holdout, seed=how.seed, skip_bad=asked.skip_bad)
    network = flags.read(Network)
    start = private.checked(how, recognizer.start(network, how.seed))
    if network.init is not None:
        print(description.line(start))
        fit = convention.check(start, faces, seed=how.seed, skip_bad=asked.skip_bad)
        convention.demand(start, fit, allow=network.allow_misfit)
    written = ['target.json', 'members.csv', 'run.json', *leak_curve.FILES]
    out = folders.make(asked.out, 'out', written)
    trained = recognizer.train(
        how,
        start,
        faces,
        workdir=out,
        save_epochs=asked.save_epochs,
        audits=leak_curve.audits(asked, how, faces, others, out),
        skip_bad=asked.skip_bad,
        progress=bars.progress,
    )
    trained = dataclasses.replace(trained, name=pathlib.Path(out).resolve().name)
    members = records.training_members(faces, skip_bad=asked.skip_bad)
    native_targets.save_target(out, trained, members=members)
    print(description.trained(trained, out, len(members)))
    if others is not None:
        found = held_out.verify(trained, others, seed=how.seed, progress=bars.progress)
        print(f'held-out people: {found}')


PROGRAM = program.Program(
    main=main,
    kinds=(Network, RecognizerTraining, config.Recipe),
    often='arch init margin epochs batch_size learning_rate holdout mirror save_epochs seed',
)

if __name__ == '__main__':
    PROGRAM.run()
