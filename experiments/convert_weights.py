"""Converts a checkpoint (.pth, .pt, .ckpt, .safetensors) to a native folder, and says what it is.

  python -m experiments.convert_weights --source=FILE --out=DIR

Nothing in the file is run. What does not belong to the backbone is set aside and named; weights that
are missing, left over or of another shape stop the conversion. Native folders of earlier versions, of
generators too, are rewritten in today's form; --out may be the same folder.
"""

from typing import Any

from absl import flags

from experiments import cli
from fr_inference import errors
from fr_inference.measuring import distances
from fr_inference.models import registry
from fr_inference.weights import generators, native_targets
from fr_inference.weights.targets import locate, open_target

_SOURCE = flags.DEFINE_string('source', None, 'The checkpoint to convert.', required=True)
_OUT = flags.DEFINE_string('out', None, 'Folder for the native checkpoint.', required=True)
_ARCH = flags.DEFINE_enum(
    'arch', None, list(registry.VARIANTS), 'What it is, in place of what names and shapes say.'
)
_SIZE = flags.DEFINE_string(
    'input_size', None, 'HEIGHTxWIDTH of its images, in place of what the shapes say.'
)
_MEAN = flags.DEFINE_list(
    'mean', None, "Of R, G, B on the scale 0 to 255, in place of the family's usual one."
)
_STD = flags.DEFINE_list('std', None, 'The same for the standard deviation.')


def main() -> None:
    """Reads, recognises, converts, writes, tells."""
    if generators.is_generator(generators.locate(_SOURCE.value)):
        _convert_generator()
        return
    changes: dict[str, Any] = {}
    if _SIZE.value is not None:
        height, separator, width = _SIZE.value.partition('x')
        sides = (height, width if separator else '1')
        if not all(side.isdecimal() and len(side) < 9 for side in sides):
            raise errors.InputError(
                'input_size', f'{_SIZE.value!r:.40}', 'HEIGHTxWIDTH in pixels as in 112x96'
            )
        changes.update(height=int(height), width=int(width or height))
    for flag in (_MEAN, _STD):
        if flag.value is not None:
            changes[flag.name] = _colour(flag.name, flag.value)
    target = open_target(_SOURCE.value, arch=_ARCH.value, input=changes, field='source')
    out = cli.make_folder(_OUT.value, '--out', ['target.json', 'members.csv'])
    native_targets.save_target(out, target, members=_members())
    print(describe(target))
    print(f'written to {out}')


def _convert_generator():
    given = [flag.name for flag in (_ARCH, _SIZE, _MEAN, _STD) if flag.value is not None]
    if given:
        raise errors.InputError(given[0], 'a value', 'none, for the source is a generator')
    generator = generators.open_generator(_SOURCE.value, field='source')
    out = cli.make_folder(_OUT.value, '--out', ['generator.json'])
    generators.save_generator(out, generator)
    module = generator.module
    print(f'architecture: StyleGAN2, {module.resolution} x {module.resolution} pixels')
    print('\n'.join([*generator.notes, f'sha256: {generator.sha256}', f'written to {out}']))


def describe(target) -> str:
    """Returns what a target was recognised as, one thing a line."""
    layers = distances.layer_names(target)
    config = ', '.join(f'{name}={value}' for name, value in target.config.items())
    spec = target.input
    lines = [
        f'architecture: {target.architecture}' + (f' with {config}' if config else ''),
        f'parameters: {registry.count_parameters(target.variables):,}',
        f'BatchNorm layers: {len(layers)}' + (f' ({layers[0]} to {layers[-1]})' if layers else ''),
        f'input: {spec.height} high x {spec.width} wide, RGB, '
        f'mean {_listed(spec.mean)}, std {_listed(spec.std)}',
        *target.notes,
        f'sha256: {target.sha256}',
    ]
    return '\n'.join(lines)


def _listed(values):
    return ' '.join(f'{value:g}' for value in values)


def _colour(field, values):
    try:
        red, green, blue = (float(value) for value in values)
    except ValueError as error:
        raise errors.InputError(
            field, repr(','.join(values)), 'three numbers as in 123.7,116.3,103.5'
        ) from error
    return red, green, blue


def _members():
    """A native checkpoint keeps the list of its training images."""
    path = locate(_SOURCE.value)
    return native_targets.read_member_rows(path) if path.is_dir() else None


if __name__ == '__main__':
    cli.run(main, shared=False, saves=False)
