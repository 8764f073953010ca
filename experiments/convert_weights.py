"""Converts a checkpoint (.pth, .pt, .ckpt, .safetensors, .onnx) to a native folder, and says what it is.

  python -m experiments.convert_weights --source=FILE --out=FOLDER

No code in the file is run. Weights that do not belong to the backbone are set aside and named; missing,
superfluous or misshaped weights stop the conversion. Native folders of earlier versions, also those of
generators, are rewritten in the current form; --out may be the same folder.
"""

from fr_inference import errors
from fr_inference.cli import description, folders, options, program
from fr_inference.models import registry
from fr_inference.program_config import Conversion
from fr_inference.weights import generators, native_targets
from fr_inference.weights.targets import locate, open_target


def main(flags: options.Flags) -> None:
    """Reads, recognises, converts, describes."""
    asked = flags.read(Conversion)
    if generators.is_generator(generators.locate(asked.source)):
        for name in flags.given(Conversion).keys() - {'source', 'out'}:
            raise errors.InputError(name, 'a value', 'none, for the source is a generator')
        lines = _convert_generator(asked)
    else:
        lines = _convert_target(asked)
    print('\n'.join([*lines, f'written to {asked.out}']))


def _convert_target(asked):
    target = open_target(
        asked.source, arch=asked.arch, input=asked.input, part=asked.part, field='source'
    )
    if target.architecture not in registry.VARIANTS:
        raise errors.InputError(
            'source',
            f'{asked.source}, an ONNX graph of an architecture that is not registered',
            'a registered one',
            'audit the file as it is: experiments.audit --target=FILE.onnx',
        )
    out = folders.make(asked.out, 'out', ['target.json', 'members.csv'])
    source = locate(asked.source)
    # A native checkpoint keeps the list of its training images.
    members = native_targets.read_member_rows(source) if source.is_dir() else None
    native_targets.save_target(out, target, members=members)
    return description.lines(target)


def _convert_generator(asked):
    generator = generators.open_generator(asked.source, field='source')
    generators.save_generator(folders.make(asked.out, 'out', ['generator.json']), generator)
    size = generator.module.resolution
    first = f'architecture: StyleGAN2, {size} x {size} pixels'
    return [first, *generator.notes, f'sha256: {generator.sha256}']


PROGRAM = program.Program(main=main, kinds=(Conversion,), shared=False, saves=False)

if __name__ == '__main__':
    PROGRAM.run()
