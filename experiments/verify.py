"""Checks that a backbone is loaded correctly: verifies pairs of faces, and prints the accuracy.

  python -m experiments.verify --target=BACKBONE --faces=FOLDER --pairs=CSV
  python -m experiments.verify --target=BACKBONE --pairs=lfw.bin

As in LFW's protocol, each fold's threshold is chosen on the others. Only images that the pairs name
are read. The exit code is 2 if they clearly fit another input convention better, unless
--allow_misfit is given.
"""

from fr_inference.cli import bars, description, options, program
from fr_inference.data import pairs, placement, verification_bin
from fr_inference.measuring import convention, pair_scores
from fr_inference.metrics import verification
from fr_inference.program_config import Verification
from fr_inference.weights.targets import open_target


def main(flags: options.Flags) -> None:
    """Embeds each image that the pairs name once, and runs the protocol."""
    asked = flags.read(Verification)
    if asked.faces is None:
        listed = verification_bin.open_bin(asked.pairs)  # a verification set brings its own images
    else:
        listed = pairs.open_pairs(asked.pairs, asked.faces, reading=asked)
    target = open_target(asked.target, dtype=asked.dtype, input=asked.input, part=asked.part)
    print(description.line(target))
    placement.check({'the pairs': listed.faces}, target.input)
    scores = pair_scores.cosines(
        target, listed, batch_size=asked.batch_size, progress=bars.progress
    )
    fit = convention.check(target, listed.faces, seed=0, same=listed.twins(convention.PEOPLE))
    print(f'{len(listed.faces)} images, mirror {target.input.mirror}')
    if fit.state == convention.FITS and fit.trusted:  # otherwise `demand` reports it
        print(fit.remark)
    found = verification.verify(scores, listed.same, listed.folds)
    print(found)
    print(found.expectation)
    convention.demand(target, fit, allow=asked.allow_misfit)


PROGRAM = program.Program(main=main, kinds=(Verification,), saves=False)

if __name__ == '__main__':
    PROGRAM.run()
