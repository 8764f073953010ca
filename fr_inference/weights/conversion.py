"""Converts a checkpoint of any kind, or an earlier version's native folder, to a native folder."""

import os
import pathlib
from collections.abc import Collection

from fr_inference import errors
from fr_inference.models import registry
from fr_inference.models.stylegan2 import Trained
from fr_inference.models.target import Target
from fr_inference.program_config import Conversion
from fr_inference.weights import generators, native_targets, targets

_OF_ANY = {'source', 'out'}  # the options that also apply to a generator


def open_source(asked: Conversion, given: Collection[str]) -> Target | Trained:
    """Opens the backbone or generator to convert.

    Args:
      asked: the source, and how a backbone is read.
      given: names of the options that the user gave.

    Raises:
      InputError: of 'source', when it does not fit or is an ONNX graph that is not a registered
        architecture; of an option that does not apply to a generator.
    """
    if generators.is_generator(generators.locate(asked.source, 'source')):
        for name in sorted(set(given) - _OF_ANY):
            raise errors.InputError(name, 'a value', 'none, because the source is a generator')
        return generators.open_generator(asked.source, field='source')
    target = targets.open_target(
        asked.source, arch=asked.arch, input=asked.input, part=asked.part, field='source'
    )
    if target.architecture not in registry.VARIANTS:
        raise errors.InputError(
            'source',
            f'{asked.source}, an ONNX graph that is not a registered architecture with all its layers',
            'a checkpoint; there is nothing to convert in a graph',
            'audit the file itself: --target=FILE.onnx',
        )
    return target


def files(opened: Target | Trained) -> list[str]:
    """Returns the names of the descriptions that `save` writes."""
    if isinstance(opened, Trained):
        return [generators.RECORD]
    return [native_targets.RECORD, native_targets.MEMBERS]


def save(directory: pathlib.Path, opened: Target | Trained, source: str | os.PathLike) -> None:
    """Writes a native folder. A backbone from a native folder keeps its list of training images.

    Args:
      directory: the folder to write; it may be the source itself.
      opened: of `open_source`.
      source: the path that `opened` was read from.

    Raises:
      InputError: for a damaged list of training images, or a path that cannot be written to.
    """
    if isinstance(opened, Trained):
        generators.save_generator(directory, opened)
        return
    place = targets.locate(source, 'source')
    members = native_targets.read_member_rows(place) if place.is_dir() else None
    native_targets.save_target(directory, opened, members=members)
