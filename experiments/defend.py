"""Applies defences to a backbone before it is released. An audit shows how much they help.

  python -m experiments.defend --target=BACKBONE --defence=refresh:FACES --out=FOLDER
  python -m experiments.defend --target=BACKBONE --defence=fold,answers-round:bits=8 --out=FOLDER

refresh    measures the BatchNorm statistics again, on FACES that need no protection
noise      adds normal noise n to them: mean + S sqrt(var) n, var exp(S n)
round      rounds the means and variances of each layer to 2^N levels
fold       removes the statistics: folds them into the convolutions before them (same answers)
strip      removes the statistics: leaves each layer a scale and a bias (same answers)
answers-   changes each embedding: noise of S times its root mean square, only its N largest numbers,
           N bits per number, or unit length; anyone who holds the file can leave this out

The native folder keeps no list of training images; its recipe names the defences.
"""

from fr_inference.cli import description, folders, options, program
from fr_inference.defending import defences, folding
from fr_inference.program_config import Defending
from fr_inference.weights import native_targets, state_dict_export
from fr_inference.weights.targets import open_target


def main(flags: options.Flags) -> None:
    """Opens, defends, writes, describes."""
    asked = flags.read(Defending)
    wanted = defences.parse(asked.defence)
    before = open_target(asked.target, dtype=asked.dtype, input=asked.input, part=asked.part)
    out = folders.make(asked.out, 'out', [native_targets.RECORD])
    print(description.line(before))
    target, remarks = defences.defend(before, wanted, seed=asked.seed, reading=asked)
    tensors = {}
    if asked.state_dict is not None:
        epsilons = {'/'.join(one.path): one.epsilon for one in folding.layers(before)}
        tensors = state_dict_export.state_dict(target, epsilons)
    native_targets.save_target(out, target)
    if asked.state_dict is not None:
        state_dict_export.save(asked.state_dict, tensors)
    print('\n'.join([*remarks, *description.lines(native_targets.load_target(out))]))
    print(f'written to {asked.out}')


PROGRAM = program.Program(main=main, kinds=(Defending,), shared=False, saves=False)

if __name__ == '__main__':
    PROGRAM.run()
