"""Descriptions of a backbone or generator as it was recognised, with the backbone's input, in lines."""

import os

from fr_inference import errors
from fr_inference.measuring import distances
from fr_inference.models import registry
from fr_inference.models.stylegan2 import Trained
from fr_inference.models.target import Target
from fr_inference.report import privacy_words

_MIRRORED = {'none': 'not used', 'add': 'added', 'concat': 'concatenated'}


def line(target: Target) -> str:
    """Returns name, architecture and input convention, and how each part of the convention is known."""
    return f'{target.name}: {_architecture(target)}, input {_input(target)}'


def trained(target: Target, out: str | os.PathLike, images: int) -> str:
    """Returns where a trained backbone was written, and the guarantee of a private training."""
    text = f'{errors.called(str(out))}: {target.architecture}, {images} training images'
    if not (privacy := privacy_words.sentences(target.recipe, ())):
        return text
    return (
        f'{text}\n{privacy} The guarantee covers only the backbone: do not publish members.csv or '
        'state/.'
    )


def lines(target: Target | Trained) -> list[str]:
    """Returns architecture, size, BatchNorm layers, input, notes and digest, one line each.

    For a generator: architecture, notes and digest.
    """
    if isinstance(target, Trained):
        size = target.module.resolution
        first = f'architecture: StyleGAN2, {size} x {size} pixels'
        return [first, *target.notes, f'sha256: {target.sha256}']
    layers = distances.layer_names(target)
    return [
        f'architecture: {_architecture(target)}',
        f'parameters: {registry.count_parameters(target.variables):,}',
        f'BatchNorm layers: {len(layers)}' + (f' ({layers[0]} to {layers[-1]})' if layers else ''),
        f'input: {_input(target)}',
        *([f'answers: {target.answers}'] if target.answers else []),
        *target.notes,
        f'sha256: {target.sha256}',
    ]


def _architecture(target):
    config = ', '.join(f'{name}={value}' for name, value in target.config.items())
    return target.architecture + (f' with {config}' if config else '')


def _input(target):
    spec, known = target.input, target.convention['origins']
    order, _, values = spec.pixels.partition(', ')
    return ', '.join(
        f'{text} ({"; ".join(sorted({known[name] for name in names}))})'
        for text, names in (
            (f'{spec.height} high x {spec.width} wide', ('height', 'width')),
            (order, ('colour',)),
            (values, ('mean', 'std')),
            (f'mirror images {_MIRRORED[spec.mirror]}', ('mirror',)),
        )
    )
