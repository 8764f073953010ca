"""Verifies a backbone on pairs of faces: is it loaded right? Ends with its LFW-protocol accuracy.

  python -m experiments.verify --target=BACKBONE --faces=FOLDER --pairs=CSV
  python -m experiments.verify --target=BACKBONE --pairs=lfw.bin

Each fold's threshold is chosen on the others. Only images that the pairs name are read. The exit code is
2 where they clearly fit another input convention better, unless --colour, --mean or --std gave the one
in use.
"""

import numpy as np

from fr_inference.cli import bars, description, options, program
from fr_inference.data import pairs, placement, verification_bin
from fr_inference.measuring import convention, measurements
from fr_inference.metrics import verification
from fr_inference.program_config import Verification
from fr_inference.weights.targets import open_target


def main(flags: options.Flags) -> None:
    """Embeds each image that the pairs name once, and runs the protocol."""
    asked = flags.read(Verification)
    listed = _open_pairs(asked)
    target = open_target(asked.target, dtype=asked.dtype, input=asked.input, part=asked.part)
    mirror = target.input.mirror
    print(description.line(target))
    placement.check({'the pairs': listed.faces}, target.input)

    def embed(mirrored):
        return measurements.measure(
            target,
            listed.faces,
            batch_size=asked.batch_size,
            mirror=mirrored,
            label='mirror images' if mirrored else 'images',
            progress=bars.progress,
        ).embeddings

    embeddings = verification.combine_mirror(
        embed(False), None if mirror == 'none' else embed(True), mirror
    )
    scores = verification.cosine(embeddings[listed.first], embeddings[listed.second])
    fit = convention.check(target, listed.faces, seed=0, same=_same(asked, listed))
    print(f'{len(listed.faces)} images, mirror {mirror}')
    print(fit.remark)
    print(verification.verify(scores, listed.same, listed.folds))
    convention.demand(target, fit)


def _same(asked, listed):
    """Pairs of one person; None where the faces say who is on them."""
    if not asked.brings_images:
        return None
    return np.stack([listed.first, listed.second], 1)[listed.same][: convention.PEOPLE]


def _open_pairs(asked):
    if asked.brings_images:
        return verification_bin.open_bin(asked.pairs)
    return pairs.open_pairs(asked.pairs, asked.faces, reading=asked)


PROGRAM = program.Program(main=main, kinds=(Verification,), saves=False)

if __name__ == '__main__':
    PROGRAM.run()
