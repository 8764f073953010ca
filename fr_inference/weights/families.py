"""The families of backbones that are recognised by the names in a file, and the variables they give."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import flax.linen as nn
import numpy as np

from fr_inference import errors
from fr_inference.models import registry
from fr_inference.models.target import InputSpec
from fr_inference.weights import (
    arcface_resnet_names,
    edgenext_names,
    inception_resnet_names,
    ir_names,
    iresnet_names,
    mobilefacenet_names,
    rules,
    vit_names,
)
from fr_inference.weights.descriptions import naming
from fr_inference.weights.rules import Layer, Match


class Family(Protocol):
    """What a table of names offers; each is a module of this package."""

    @property
    def SIGNATURES(self) -> Sequence[str]:
        """Names of tensors, one of which is in every file of the family."""

    def recognise(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        input: InputSpec | None = None,
        prefix: str = '',
    ) -> Match | None:
        """Returns the variant that names and shapes spell out, None for another family.

        What a project calls the backbone, `prefix`, at times tells its input convention.
        """

    def layers_of(self, module: nn.Module, input: InputSpec) -> tuple[Layer, ...] | None:
        """Returns the rules of a module of the family, None for another's."""


FAMILIES: tuple[Family, ...] = (
    iresnet_names,
    ir_names,
    mobilefacenet_names,
    inception_resnet_names,
    arcface_resnet_names,
    vit_names,
    edgenext_names,
)

# Names under which training code keeps the classification layer beside the backbone.
_HEAD = re.compile(
    r'(^|\.)(heads?|classifier|classification|margin|(arc|cos|sphere|ada|curricular)_?face|'
    r'arc_?margin|metric(_fc)?|logits|(am_?)?softmax|criterion|loss|product|fc_head|head_fc|'
    r'partial_fc)(\.|$)',
    re.IGNORECASE,
)
_MAX_PREFIXES = 16  # each is tried on all names


def recognise(
    tensors: Mapping[str, np.ndarray],
    source: str,
    arch: str | None = None,
    input: InputSpec | None = None,
) -> tuple[Match, dict[str, np.ndarray], list[str]]:
    """Recognises family and variant from names and shapes, below any common prefix.

    Args:
      tensors: state dict.
      source: the file, as errors call it.
      arch: the variant to expect, in place of the one found.
      input: what images it expects; by default square ones as the head's shape says.

    Returns:
      (the match, the tensors below the prefix with the prefix removed, names of all others).

    Raises:
      InputError: when no family fits; of the field 'arch', when there is no table of names for `arch`.
    """
    if arch is not None:
        errors.one_of('arch', arch, registry.VARIANTS)
    for prefix in _prefixes(tensors):
        inside = {
            name.removeprefix(prefix): value
            for name, value in tensors.items()
            if name.startswith(prefix)
        }
        shapes = {name: tuple(value.shape) for name, value in inside.items()}
        found = (family.recognise(shapes, input, prefix) for family in FAMILIES)
        match = next((match for match in found if match), None)
        if match is None:
            continue
        if arch is not None and arch != match.architecture:
            match = _override(match, arch)
        others = [name for name in tensors if not name.startswith(prefix)]
        return match, inside, others
    some = ', '.join(list(tensors)[:3])
    raise errors.InputError(
        source,
        f'no known backbone in these {len(tensors)} tensors ({some}, ...)',
        f'one of {", ".join(registry.VARIANTS)}',
    )


def _prefixes(tensors):
    """Returns '' and every prefix under which a family's signature is found, shortest first."""
    signatures = [name for family in FAMILIES for name in family.SIGNATURES]
    found = {
        name.removesuffix(signature)
        for name in tensors
        for signature in signatures
        if name.endswith(f'.{signature}') or name == signature
    }
    return sorted(found, key=len)[:_MAX_PREFIXES]


def _override(match: Match, arch: str) -> Match:
    """Returns the rules of `arch`, so that the mismatch with the file is listed key by key."""
    module = registry.build(arch)
    spec = registry.sized(registry.VARIANTS[arch].input, match.input.height, match.input.width)
    for family in FAMILIES:
        layers = family.layers_of(module, spec)
        if layers is not None:
            return Match(arch, {}, spec, layers)
    raise errors.InputError(
        'arch', f'{arch!r}, which has no table of names', f'{match.architecture!r} or its like'
    )


def convert(
    match: Match, tensors: Mapping[str, np.ndarray], expected: Any, source: str
) -> tuple[Any, list[str]]:
    """Applies a family's rules.

    Args:
      match: what `recognise` found.
      tensors: state dict without prefix.
      expected: abstract variables of the module.
      source: the file, as errors call it.

    Returns:
      ({'params', 'batch_stats'} as float32 NumPy arrays, names of set-aside head tensors).

    Raises:
      InputError: that lists every unmatched, missing and misshaped tensor.
    """
    entries = {
        layer.key(suffix): (f'{collection}/{layer.target}/{leaf}', transform)
        for layer in match.layers
        for suffix, (collection, leaf, transform) in layer.weights().items()
    }
    variables, missing, misshaped = rules.fill(entries, tensors, expected)
    rest = [
        key for key in tensors if key not in entries and not key.endswith('num_batches_tracked')
    ]
    heads = [key for key in rest if _HEAD.search(key)]
    _check_statistics(missing, tensors, match.architecture, source)
    with naming(source):
        errors.report_mismatch(
            f'as {match.architecture}',
            unmatched=[key for key in rest if key not in heads],
            missing=missing,
            misshaped=misshaped,
        )
    return variables, heads


def _check_statistics(missing, tensors, architecture, source):
    lost = [key for key in missing if key.rsplit('.', 1)[-1].startswith('running_')]
    if lost and not any(name.endswith('.running_mean') for name in tensors):
        raise errors.InputError(
            source,
            f'{architecture} without BatchNorm statistics ({len(lost)} missing, as '
            f'{", ".join(lost[:2])}), to which the attack on images measures distances',
            'a checkpoint with its buffers',
            'export state_dict(), not parameters(); where statistics are folded into the weights, only '
            'people can be attacked, by embeddings: fr_inference.audit(apply, variables, ...)',
        )
