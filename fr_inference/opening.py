"""The inputs of an audit: backbones, faces and generator, opened from names or taken from Python."""

import dataclasses
import logging
import os
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import numpy as np

from fr_inference import config, errors, processes, runs
from fr_inference.data import pseudonyms, sources
from fr_inference.data.faces import Faces, from_arrays
from fr_inference.membership.views import Shadow
from fr_inference.models.stylegan2 import Trained
from fr_inference.models.target import Apply, InputSpec, Target, origins
from fr_inference.weights import native_targets
from fr_inference.weights.generators import open_generator
from fr_inference.weights.targets import locate, open_target

_LOG = logging.getLogger(__name__)

# Backbones whose own list of training images is looked at.
LISTED = ('target', 'blind', 'evaluator', 'second_evaluator')
FACES = ('members', 'nonmembers', 'auxiliary', 'member_identities', 'shift', 'collection')

FacesSource = Faces | str | os.PathLike | tuple[np.ndarray, Sequence[object]]
"""`Faces`, a path or name for `open_faces`, or (uint8 images [N, H, W, 3], N identities)."""
TargetSource = Target | str | os.PathLike
"""A `Target`, or a path or name for `open_target`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Opened:
    """The opened inputs of an audit.

    Attributes:
      target: the backbone.
      faces: 'members', 'nonmembers' and, if given, 'auxiliary', 'member_identities' and 'shift', as
        in `config.Inputs`.
      shadow: trained on part of 'auxiliary'; trained by the audit when None.
      shadow_init: the checkpoint from which the audit starts training a shadow; random weights when
        None.
      blind: a backbone that never saw the members nor the non-members; the target with random weights
        when None.
      generator: trained on none of these people; None for membership inference alone.
      evaluator: a backbone with another architecture, trained on other people.
      second_evaluator: another such backbone, which must agree; None for a single evaluator.
      strangers: faces of other people, from which class centres are estimated; pictures of random
        latents when None.
      references: name -> networks that the training may have started from, or that resemble the target.
      trained_on: 'target', 'blind', 'evaluator', 'second_evaluator' or 'references' -> SHA-256 of its
        training images, if known.
      pseudonymous: whether `faces` and `strangers` are named by pseudonyms.
    """

    target: Target
    faces: Mapping[str, Faces]
    shadow: Shadow | None = None
    shadow_init: Target | None = None
    blind: Target | None = None
    references: Mapping[str, Target] = dataclasses.field(default_factory=dict)
    generator: Trained | None = None
    evaluator: Target | None = None
    second_evaluator: Target | None = None
    strangers: Faces | None = None
    trained_on: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    pseudonymous: bool = False


def open_inputs(inputs: config.Inputs) -> Opened:
    """Opens all inputs of an audit.

    >>> opened = open_inputs(config.Inputs(
    ...     target='demo_few',
    ...     members='procedural:easy,images=2,people=8',
    ...     nonmembers='procedural:easy,images=2,people=8,first=8',
    ... ))
    >>> opened.target.architecture, len(opened.faces['members'])
    ('iresnet18', 16)

    Raises:
      InputError: in every process, for an input that any process cannot open.
    """
    return under_pseudonyms(processes.each_its_share(lambda: _open(inputs)), inputs.pseudonyms)


def under_pseudonyms(opened: Opened, key_file: str | os.PathLike | None) -> Opened:
    """Returns the inputs with all faces named by pseudonyms, or unchanged without a key file.

    Raises:
      InputError: as `pseudonyms.read_key` and `pseudonyms.renamed`.
    """
    if key_file is None:
        return opened
    # A new key is the same in all processes, even if they see different disks.
    key = bytes.fromhex(runs.by_first(lambda: pseudonyms.read_key(key_file).hex()))
    given = dict(opened.faces)
    if opened.strangers is not None:
        given['strangers'] = opened.strangers
    found = pseudonyms.renamed(given, key)
    strangers = found.pop('strangers', None)
    return dataclasses.replace(opened, faces=found, strangers=strangers, pseudonymous=True)


def _open(inputs):
    def faces(field):
        value = getattr(inputs, field)
        return None if value is None else sources.open_faces(value, field, reading=inputs)

    return Opened(
        target=as_target(inputs.target, 'target', inputs.dtype, inputs.input, inputs.part),
        faces={field: found for field in FACES if (found := faces(field)) is not None},
        shadow=_open_shadow(inputs) if inputs.shadow else None,
        shadow_init=as_target(inputs.shadow_init, 'shadow_init', inputs.dtype),
        blind=as_target(inputs.blind, 'blind', inputs.dtype),
        references=as_references(inputs.references, inputs.dtype),
        generator=as_generator(inputs.generator),
        evaluator=as_target(inputs.evaluator, 'evaluator'),
        second_evaluator=as_target(inputs.second_evaluator, 'second_evaluator'),
        strangers=faces('strangers'),
        trained_on=training_lists(
            {name: getattr(inputs, name) for name in LISTED},
            inputs.references,
        ),
    )


def _open_shadow(inputs):
    digests = native_targets.read_members(locate(inputs.shadow, 'shadow'))
    if digests is None:
        raise errors.InputError(
            'shadow',
            'no members.csv beside the weights',
            'a native checkpoint with the list of its training images',
            inside=str(inputs.shadow),
        )
    return Shadow(target=as_target(inputs.shadow, 'shadow', inputs.dtype), digests=digests)


def training_lists(
    given: Mapping[str, Any], references: Sequence[Any] = ()
) -> Mapping[str, Sequence[str]]:
    """Returns field -> SHA-256 of the training images, for native checkpoints that list them.

    Args:
      given: field -> source of a backbone; only paths and names can have a list.
      references: the source of each reference; their lists are joined.
    """
    lists: dict[str, list[str]] = {}
    for field, one in [*given.items(), *(('references', one) for one in references)]:
        if isinstance(one, str | os.PathLike):
            digests = native_targets.read_members(locate(one, field))
            if digests is not None:
                lists.setdefault(field, []).extend(digests)
    return lists


def as_references(sources: Sequence[TargetSource], dtype: str | None = None) -> dict[str, Target]:
    """Returns name -> backbone for each source; repeated names are numbered."""
    found: dict[str, Target] = {}
    if isinstance(sources, str | os.PathLike | Target):
        raise errors.InputError('references', f'one {type(sources).__name__}', 'several, in a list')
    for source in sources:
        one = as_target(source, 'references', dtype)
        name, number = one.name, 2
        while name in found:
            name, number = f'{one.name} ({number})', number + 1
        found[name] = one
    return found


def as_backbone(
    target: TargetSource | Apply,
    variables: Any,
    input: InputSpec | None,
    name: str,
    members: FacesSource | None = None,
) -> Target:
    """Returns the target for the arguments of `auditing.audit`.

    Without `input`, a function gets images of the size of the members' arrays, and the assumptions
    on colours and size are logged as a warning.
    """
    if isinstance(target, Target | str | os.PathLike):
        for field, value in (('variables', variables), ('input', input)):
            if value is not None:
                raise errors.InputError(
                    field,
                    f'{field} together with a checkpoint',
                    f'{field} only with a function',
                )
        return as_target(target, 'target')
    if isinstance(target, nn.Module):
        raise errors.InputError(
            'target',
            f'the module {type(target).__name__}',
            'a function of variables and images',
            'give lambda variables, images: module.apply(variables, images, train=False), or what '
            'switches its BatchNorm to inference',
        )
    if not isinstance(variables, Mapping) or 'params' not in variables:
        raise errors.InputError(
            'variables',
            f'{type(variables).__name__} without params',
            "{'params': ..., 'batch_stats': ...}, of a function without BatchNorm {'params': ...}",
        )
    how = origins('assumed' if input is None else 'given')
    if input is None:
        input, known = InputSpec(), []
        if isinstance(members, tuple) and np.ndim(members[0]) == 4:
            height, width = np.shape(members[0])[1:3]
            known = ['height', 'width']
            input = InputSpec(height=height, width=width)
        how |= origins('given', known)
        _LOG.warning(
            '%s: no input convention was given; assumed: height %d, width %d, %s; pass '
            'input=InputSpec(...)',
            name,
            input.height,
            input.width,
            input.pixels,
        )
    return Target(name=name, apply=target, variables=variables, input=input, origins=how)


@typing.overload
def as_target(
    source: TargetSource,
    field: str,
    dtype: str | None = None,
    input: Mapping[str, Any] | None = None,
    part: str | None = None,
) -> Target: ...
@typing.overload
def as_target(source: None, field: str, dtype: str | None = None) -> None: ...
def as_target(source, field, dtype=None, input=None, part=None):
    """Returns the backbone of any source, None for None; `field` is its name in errors."""
    if source is None or isinstance(source, Target):
        return source
    if not isinstance(source, str | os.PathLike):
        raise errors.InputError(field, f'a {type(source).__name__}', 'a path, a name or a Target')
    return open_target(source, dtype=dtype, input=input, part=part, field=field)


def as_generator(source: Trained | str | os.PathLike | None) -> Trained | None:
    """Returns the generator of any source, None for None."""
    if source is None or isinstance(source, Trained):
        return source
    return open_generator(source)


def as_faces(source: FacesSource, field: str, input: InputSpec | None = None) -> Faces:
    """Returns the faces of any source.

    Args:
      source: `Faces`, a path or name for `open_faces`, or (uint8 images [N, H, W, 3], N identities).
      field: its name in errors.
      input: the input convention, if known; arrays must have its size.

    Raises:
      InputError: for anything else.
    """
    if isinstance(source, Faces):
        return source
    if isinstance(source, tuple):
        if len(source) != 2:
            raise errors.InputError(
                field, f'a tuple of {len(source)}', 'the pair (images, identities)'
            )
        images = np.asarray(source[0])
        faces = from_arrays(images, source[1], field)
        if input is not None and images.shape[1:3] != (input.height, input.width):
            height, width = images.shape[1:3]
            raise errors.InputError(
                field,
                f'images of {height}x{width}',
                f"{input.height}x{input.width}, the size of the target's input",
                f'pass input=InputSpec(height={height}, width={width}), or resize them',
            )
        return faces
    if not isinstance(source, str | os.PathLike):
        raise errors.InputError(
            field, f'a {type(source).__name__}', 'a path, Faces or (images, identities)'
        )
    return sources.open_faces(source, field)
