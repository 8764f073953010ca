"""Recognises families of backbones by the names in a file, and converts their tensors."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import flax.linen as nn
import numpy as np

from fr_inference import errors
from fr_inference.formats.named_tensors import StateDict
from fr_inference.models import registry
from fr_inference.models.target import InputSpec
from fr_inference.weights import (
    arcface_resnet_names,
    edgenext_names,
    heads,
    inception_resnet_names,
    ir_names,
    iresnet_names,
    mobilefacenet_names,
    parts,
    rules,
    vit_names,
)
from fr_inference.weights.descriptions import naming
from fr_inference.weights.rules import Layer, Match


class Family(Protocol):
    """The interface of a table of names; each table is a module of this package."""

    @property
    def SIGNATURES(self) -> Sequence[str]:
        """Names of tensors; every file of the family has one of them."""

    def recognise(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        input: InputSpec | None = None,
        prefix: str = '',
    ) -> Match | None:
        """Returns the variant that fits names and shapes, None for another family.

        `prefix`, the project's name for the backbone, sometimes shows its input convention.
        """

    def layers_of(self, module: nn.Module, input: InputSpec) -> tuple[Layer, ...] | None:
        """Returns the rules of a module of the family, None for a module of another."""


FAMILIES: tuple[Family, ...] = (
    iresnet_names,
    ir_names,
    mobilefacenet_names,
    inception_resnet_names,
    arcface_resnet_names,
    vit_names,
    edgenext_names,
)

# Kind of norm -> attribute of a module with the epsilon of such norms; 1e-5 if it is absent.
_EPSILONS = {'norm': 'epsilon', 'norm_plain': 'epsilon', 'layer_norm': 'layer_epsilon'}


@dataclasses.dataclass(frozen=True)
class _Candidate:
    """A place in a file where a family recognises a backbone.

    Attributes:
      prefix: of its tensors' names.
      match: the recognised network.
      tensors: by name without the prefix; not copies.
    """

    prefix: str
    match: Match
    tensors: dict[str, np.ndarray]

    def is_whole(self) -> bool:
        """Whether all of its tensors are there."""
        return all(key in self.tensors for key in _entries(self.match))


def recognise(
    tensors: Mapping[str, np.ndarray],
    source: str,
    arch: str | None = None,
    input: InputSpec | None = None,
    part: str | None = None,
) -> tuple[Match, dict[str, np.ndarray], list[str]]:
    """Recognises family and variant by names and shapes, below any common prefix.

    Args:
      tensors: by names from the top of the file.
      source: the file, as errors call it.
      arch: the variant to expect, instead of the one found.
      input: the images that it expects; by default square ones whose size fits the head.
      part: the prefix to look below, or the end of it; needed if the file has several backbones.

    Returns:
      (the match, the tensors below the prefix with the prefix removed, names of all others).

    Raises:
      InputError: when no family fits; of 'part', when several places fit, or none at `part`; of
        'arch', when there is no table of names for it.
    """
    if arch is not None:
        errors.one_of('arch', arch, registry.VARIANTS)
    tensors = parts.unwrapped(tensors)
    candidate = _choose(_candidates(tensors, source), part, source)
    match = candidate.match
    if input is not None:
        match = _recognise(candidate.tensors, candidate.prefix, input) or match
    if arch is not None and arch != match.architecture:
        match = _override(match, arch)
    prefix = candidate.prefix
    inside = {prefix + name for name in candidate.tensors}
    others = [name for name in tensors if name not in inside]
    return dataclasses.replace(match, prefix=prefix), candidate.tensors, others


def _candidates(tensors, source):
    """Returns every place where a family recognises a backbone, shortest prefix first."""
    signatures = [name for family in FAMILIES for name in family.SIGNATURES]
    found = []
    for prefix in parts.prefixes(tensors, signatures, source):
        inside = parts.below(tensors, prefix)
        match = _recognise(inside, prefix)
        if match is not None:
            found.append(_Candidate(prefix, match, inside))
    if found:
        found = [candidate for candidate in found if not _is_inside(candidate, found)]
        return [_without_inner(candidate, found) for candidate in found]
    some = ', '.join(name[:80] for name in list(tensors)[:3])
    raise errors.InputError(
        source,
        f'no known backbone in these {len(tensors)} tensors ({some}, ...)',
        f'one of {", ".join(registry.VARIANTS)}',
        'export the network to ONNX, or audit a function that computes it from Python: '
        'docs/own_model.md',
    )


def _recognise(tensors, prefix, input=None):
    # Containers join names by '/', modules by '.'; a family looks for either.
    above = prefix.replace('/', '.')
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    found = (family.recognise(shapes, input, above) for family in FAMILIES)
    return next((match for match in found if match), None)


def _is_inside(candidate, among):
    """Whether a candidate is only a part of another backbone."""
    return any(
        other.is_whole() and any(key.startswith(inner) for key in _entries(other.match))
        for other in among
        if (inner := _inner(candidate, other))
    )


def _inner(candidate, other):
    """Returns the prefix of a candidate within another that contains it, '' if none does."""
    around = candidate.prefix.startswith(other.prefix)
    return candidate.prefix[len(other.prefix) :] if around else ''


def _without_inner(candidate, among):
    """Returns a candidate without the tensors of complete backbones inside it."""
    inner = tuple(
        prefix for other in among if (prefix := _inner(other, candidate)) and other.is_whole()
    )
    if not inner:
        return candidate
    own = {name: value for name, value in candidate.tensors.items() if not name.startswith(inner)}
    return dataclasses.replace(candidate, tensors=own)


def _choose(candidates, part, source):
    """Returns the only backbone of a file, or the one that `part` names."""
    if part is not None:
        prefix = parts.chosen(part, [candidate.prefix for candidate in candidates], source)
        return next(candidate for candidate in candidates if candidate.prefix == prefix)
    whole = [candidate for candidate in candidates if candidate.is_whole()]
    differing = [other for other in whole[1:] if not parts.same(whole[0].tensors, other.tensors)]
    if differing:
        prefixes = [candidate.prefix for candidate in whole]
        raise errors.InputError(
            'part',
            f'{len(whole)} different backbones',
            f'one of {parts.listed(prefixes)}',
            inside=source,
        )
    return (whole or candidates)[0]


def _entries(match):
    """Returns the rule of each tensor of a match: name -> (path in the variables, transform)."""
    return {
        layer.key(suffix): (f'{collection}/{layer.target}/{leaf}', transform)
        for layer in match.layers
        for suffix, (collection, leaf, transform) in layer.weights().items()
    }


def layers_of(module: nn.Module, input: InputSpec) -> tuple[rules.Layer, ...] | None:
    """Returns the table of names of a module's family, None if there is none."""
    found = (family.layers_of(module, input) for family in FAMILIES)
    return next((layers for layers in found if layers is not None), None)


def _override(match: Match, arch: str) -> Match:
    """Returns the rules of `arch`, so that the mismatch with the file is listed key by key."""
    module = registry.build(arch)
    spec = registry.sized(registry.VARIANTS[arch].input, match.input.height, match.input.width)
    layers = layers_of(module, spec)
    if layers is not None:
        return Match(arch, {}, spec, layers)
    raise errors.InputError(
        'arch', f'{arch!r}, which has no table of names', f'{match.architecture!r} or a similar one'
    )


def convert(
    match: Match,
    tensors: Mapping[str, np.ndarray],
    expected: Any,
    source: str,
    module: nn.Module | None = None,
) -> tuple[Any, list[str]]:
    """Applies a family's rules.

    Args:
      match: what `recognise` found.
      tensors: state dict without prefix.
      expected: abstract variables of the module.
      source: the file, as errors call it.
      module: the network; the length of its embedding shows a head under any name.

    Returns:
      ({'params', 'batch_stats'} as float32 NumPy arrays, names of set-aside head tensors).

    Raises:
      InputError: that lists every unmatched, missing and misshaped tensor.
    """
    entries = _entries(match)
    variables, missing, misshaped = rules.fill(entries, tensors, expected)
    rest = [
        key for key in tensors if key not in entries and not key.endswith('num_batches_tracked')
    ]
    left = heads.among({key: tensors[key] for key in rest}, module, match.input, expected)
    left += [key for key in rest if key not in left and _is_counter(key, tensors[key])]
    _check_statistics(missing, tensors, match.architecture, source)
    with naming(source):
        errors.report_mismatch(
            f'as {match.architecture}',
            unmatched=[key for key in rest if key not in left],
            missing=missing,
            misshaped=misshaped,
        )
    return variables, left


def _is_counter(name, array):
    """Whether it is an integer beside the modules, such as the `n_averaged` of averaged weights."""
    return '.' not in name and array.size == 1 and np.issubdtype(array.dtype, np.integer)


def check_told(match: Match, module: nn.Module, state: StateDict, source: str) -> None:
    """Raises `InputError` if information beside a file's tensors contradicts the module.

    Args:
      match: what `recognise` found.
      module: the module made of it.
      state: the contents of the file. Some tensors may be in an unsupported form, and modules may hold
        the epsilon of their norms.
      source: the file, as errors call it.
    """
    unread = parts.below(parts.unwrapped(state.unread), match.prefix)
    lost = [f'{name} ({form})' for name, form in unread.items() if not heads.is_named(name)]
    if lost:
        raise errors.InputError(
            source,
            f'{len(lost)} tensors in an unsupported format, such as {lost[0][:200]}',
            'dense tensors of plain numbers',
        )
    told = parts.below(parts.unwrapped(state.options), match.prefix)
    for layer in match.layers:
        epsilon = told.get(f'{layer.source}.eps')
        used = float(getattr(module, _EPSILONS.get(layer.kind, ''), 1e-5))
        if layer.kind in _EPSILONS and epsilon not in (None, used):
            raise errors.InputError(source, f'{layer.source} with epsilon {epsilon:g}', f'{used:g}')


def _check_statistics(missing, tensors, architecture, source):
    lost = [key for key in missing if key.rsplit('.', 1)[-1].startswith('running_')]
    if lost and not any(name.endswith('.running_mean') for name in tensors):
        raise errors.InputError(
            source,
            f'{architecture} without BatchNorm statistics ({len(lost)} missing, such as '
            f'{", ".join(lost[:2])}), which the attack on images needs',
            'a checkpoint with its buffers',
            'export state_dict(), not parameters(); if statistics are folded into the weights, audit '
            'the network as an .onnx file, or as a function: fr_inference.audit(apply, variables, ...)',
        )
