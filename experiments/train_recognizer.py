"""Trains a face-recognition backbone, or fine-tunes one, so that it can be audited."""

import dataclasses
import pathlib

import numpy as np
from absl import flags

from experiments import cli, faces_flags
from fr_inference import errors
from fr_inference.config import Recipe
from fr_inference.data import overlap, sources, splits
from fr_inference.measuring import measurements
from fr_inference.metrics import verification
from fr_inference.models import registry
from fr_inference.models.layers import NORMALIZATIONS
from fr_inference.training import margin, recognizer, records
from fr_inference.weights import native_targets
from fr_inference.weights.targets import open_target

flags.adopt_module_key_flags(faces_flags)
_FACES = flags.DEFINE_string('faces', None, faces_flags.SOURCES, required=True)
_OUT = flags.DEFINE_string('out', None, 'Folder for the native checkpoint.', required=True)
_ARCH = flags.DEFINE_enum('arch', 'iresnet18', list(registry.VARIANTS), 'Backbone, from scratch.')
_INIT = flags.DEFINE_string('init', None, 'Checkpoint to start from instead (it says its --arch).')
_DEPTHS = flags.DEFINE_list('depths', None, 'Blocks in each of the four stages, e.g. 1,1,1,1.')
_WIDTH = flags.DEFINE_integer('width', None, 'Channels of the first stage.')
_EMBEDDING = flags.DEFINE_integer('embedding', None, 'Length of the embedding.')
_SIZE = flags.DEFINE_integer('input_size', None, 'Height and width of the images, pixels.')
_NORM = flags.DEFINE_enum('norm', None, NORMALIZATIONS, 'Normalisation layers (IResNet).')
_MARGIN = flags.DEFINE_enum('margin', 'arcface', list(margin.MARGINS), 'Margin softmax.')
_M1 = flags.DEFINE_float('m1', None, 'Factor on the angle, in place of the usual one.')
_M2 = flags.DEFINE_float('m2', None, 'Added to the angle, radians, in place of the usual one.')
_M3 = flags.DEFINE_float('m3', None, 'Taken from the cosine, in place of the usual one.')
_SCALE = flags.DEFINE_float('scale', 64.0, 'Scale of the softmax.')
_EPOCHS = flags.DEFINE_integer('epochs', 20, 'Passes over the images.')
_BATCH = flags.DEFINE_integer('batch_size', 64, 'Images per step.')
_RATE = flags.DEFINE_float('learning_rate', 0.1, 'Peak learning rate of SGD.')
_DECAY = flags.DEFINE_float('weight_decay', 5e-4, 'Weight decay.')
_MIRROR = flags.DEFINE_bool('mirror', True, 'Mirror images at random.')
_CROSS = flags.DEFINE_bool(
    'cross_replica', True, "BatchNorm over the whole batch, not over each device's part of it."
)
_SEED = cli.define_seed('Of weights, order and mirroring.')
_SAVE = flags.DEFINE_list('save_epochs', [], 'Write OUT/epoch_NNN after these epochs, e.g. 0,3,10.')
_HOLDOUT = flags.DEFINE_float('holdout', 0.1, 'Share of the people kept out for verification.')
_SKIP_BAD = flags.DEFINE_bool('skip_bad', False, 'Leave unreadable images out.')


def main() -> None:
    """Trains, saves, verifies on people never trained on."""
    faces = sources.open_faces(_FACES.value, 'faces', **faces_flags.options())
    held_out = None
    if _HOLDOUT.value:
        errors.require(
            0 < _HOLDOUT.value < 1,
            f'--holdout: found {_HOLDOUT.value!r}, expected a number between 0 and 1',
        )
        parts = {'train': 1 - _HOLDOUT.value, 'held_out': _HOLDOUT.value}
        both = splits.split_identities(faces, parts, seed=_SEED.value)
        faces = both['train']
        held_out = overlap.readable(both['held_out'], skip_bad=_SKIP_BAD.value)
        people = len(set(held_out.identities))
        errors.require(
            1 < people < len(held_out),
            f'--holdout: found {len(held_out)} images of {people} people, expected two people or more '
            'and two images of one of them, to be verified; give a larger share, or 0 for none',
        )
    recipe = Recipe(
        margin=_MARGIN.value,
        m1=_M1.value,
        m2=_M2.value,
        m3=_M3.value,
        scale=_SCALE.value,
        epochs=_EPOCHS.value,
        batch_size=_BATCH.value,
        learning_rate=_RATE.value,
        weight_decay=_DECAY.value,
        mirror=_MIRROR.value,
        cross_replica=_CROSS.value,
        seed=_SEED.value,
    )
    save_epochs = _whole_numbers('--save_epochs', _SAVE.value)
    start = _start()
    cli.make_folder(_OUT.value, '--out', ['target.json', 'members.csv', 'run.json'])
    trained = recognizer.train(
        recipe,
        start,
        faces,
        workdir=_OUT.value,
        save_epochs=save_epochs,
        skip_bad=_SKIP_BAD.value,
        progress=cli.progress,
    )
    name = pathlib.Path(_OUT.value).resolve().name
    trained = dataclasses.replace(trained, name=name)
    members = records.training_members(faces, skip_bad=_SKIP_BAD.value)
    native_targets.save_target(_OUT.value, trained, members=members)
    print(f'{pathlib.Path(_OUT.value)}: {trained.architecture}, {len(members)} training images')
    if held_out is not None:
        measured = measurements.measure(trained, held_out, progress=cli.progress)
        scores, same = verification.sample_pairs(
            measured.embeddings, measured.identities, seed=_SEED.value
        )
        folds = np.zeros(len(scores), int)
        print(f'held-out people: {verification.verify(scores, same, folds)}')


def _start():
    config = {
        'depths': _whole_numbers('--depths', _DEPTHS.value) if _DEPTHS.value else None,
        'width': _WIDTH.value,
        'embedding': _EMBEDDING.value,
        'norm': _NORM.value,
    }
    config = {name: value for name, value in config.items() if value is not None}
    if _INIT.value is not None:
        errors.require(
            not config and _SIZE.value is None,
            '--init: the checkpoint says depths, width, embedding, norm and input size itself',
        )
        return open_target(_INIT.value, field='init')
    spec = registry.VARIANTS[_ARCH.value].input
    if _SIZE.value is not None:
        spec = registry.sized(spec, _SIZE.value, _SIZE.value)
    return recognizer.fresh_target(_ARCH.value, config, spec, _SEED.value)


def _whole_numbers(flag, values):
    errors.require(
        all(value.strip().isdecimal() and len(value) < 9 for value in values),
        f'{flag}: found {",".join(values)!r:.40}, expected whole numbers as in 0,3,10',
    )
    return [int(value) for value in values]


if __name__ == '__main__':
    cli.run(main)
