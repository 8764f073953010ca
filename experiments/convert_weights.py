"""Converts a checkpoint (.pth, .pt, .ckpt, .safetensors) to a native one, and says what it is.

  python -m experiments.convert_weights --source=FILE --out=FOLDER

No code in the file is run. Weights that do not belong to the backbone are set aside and named; missing,
superfluous or misshaped weights stop the conversion.
"""

from fr_inference.cli import description, folders, options, program
from fr_inference.program_config import Conversion
from fr_inference.weights import native_targets
from fr_inference.weights.targets import locate, open_target


def main(flags: options.Flags) -> None:
    """Reads, recognises, converts, describes."""
    asked = flags.read(Conversion)
    target = open_target(asked.source, arch=asked.arch, input=asked.input, flag='--source')
    out = folders.make(asked.out, 'out', ['target.json', 'members.csv'])
    source = locate(asked.source)
    # A native checkpoint keeps the list of its training images.
    members = native_targets.read_member_rows(source) if source.is_dir() else None
    native_targets.save_target(out, target, members=members)
    print('\n'.join([*description.lines(target), f'written to {out}']))


PROGRAM = program.Program(main=main, kinds=(Conversion,), shared=False, saves=False)

if __name__ == '__main__':
    PROGRAM.run()
