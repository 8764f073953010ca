"""Converts a checkpoint (.pth, .pt, .ckpt, .safetensors, .onnx) to a native folder and describes it.

  python -m experiments.convert_weights --source=FILE --out=FOLDER

No code in the file is run. Weights that do not belong to the backbone are set aside and listed;
missing, unexpected or misshaped weights are an error. Native folders of earlier versions, including
generators, are rewritten in the current format; --out may be the same folder.
"""

from fr_inference.cli import description, folders, options, program
from fr_inference.program_config import Conversion
from fr_inference.weights import conversion


def main(flags: options.Flags) -> None:
    """Reads, recognises, converts, describes."""
    asked = flags.read(Conversion)
    opened = conversion.open_source(asked, flags.given(Conversion))
    out = folders.make(asked.out, 'out', conversion.files(opened))
    conversion.save(out, opened, asked.source)
    print('\n'.join([*description.lines(opened), f'written to {asked.out}']))


PROGRAM = program.Program(main=main, kinds=(Conversion,), shared=False, saves=False)

if __name__ == '__main__':
    PROGRAM.run()
