"""InceptionResnetV1 checkpoints of timesler/facenet-pytorch, trained on VGGFace2 or CASIA-WebFace."""

import re
from collections.abc import Iterable, Mapping

import flax.linen as nn

from fr_inference.models import registry
from fr_inference.models.backbones.inception_resnet import BLOCK_8, STAGES, STEM, InceptionResnet
from fr_inference.models.target import InputSpec
from fr_inference.weights.rules import Layer, Match, differing, size_of

SIGNATURES = ('repeat_1.0.branch0.conv.weight',)
ARCHITECTURE = 'inception_resnet_v1'


def recognise(
    shapes: Mapping[str, tuple[int, ...]], input: InputSpec | None = None, prefix: str = ''
) -> Match | None:
    """Returns the variant that fits a state dict's names and shapes, None for another family."""
    if SIGNATURES[0] not in shapes:
        return None
    depths = []
    for stage in (1, 2, 3):
        found = (re.match(rf'repeat_{stage}\.(\d{{1,2}})\.', name) for name in shapes)
        depths.append(max((int(match[1]) for match in found if match), default=0) + 1)
    embedding = size_of(shapes, 'last_linear.weight', 512)
    config = differing(ARCHITECTURE, {'depths': depths, 'embedding': embedding})
    spec = input or registry.VARIANTS[ARCHITECTURE].input
    return Match(ARCHITECTURE, config, spec, layers(depths))


def layers_of(module: nn.Module, input: InputSpec) -> tuple[Layer, ...] | None:
    """Returns the rules of a module of this family, None for a module of another."""
    return layers(module.depths) if isinstance(module, InceptionResnet) else None


def layers(depths: Iterable[int]) -> tuple[Layer, ...]:
    """Returns the rules of a network with the given numbers of blocks in its stages."""
    rules: list[Layer] = []

    def add_unit(source, target, unit):
        kind = 'pointwise' if unit[1:3] == (1, 1) else 'conv'
        rules.append(Layer(f'{source}.conv', kind, f'{target}/conv'))
        rules.append(Layer(f'{source}.bn', 'norm', f'{target}/bn'))

    def add_block(source, target, branches, residual):
        for i, units in enumerate(branches):
            for j, unit in enumerate(units):
                place = f'{source}.branch{i}' + (f'.{j}' if len(units) > 1 else '')
                add_unit(place, f'{target}/branch{i}_{j}', unit)
        if residual:
            rules.append(Layer(f'{source}.conv2d', 'pointwise_bias', f'{target}/conv2d'))

    for name, unit, _ in STEM:
        add_unit(name, name, unit)
    counts = iter(depths)
    for name, branches, scale in STAGES:
        if scale is None:
            add_block(name, name, branches, False)
            continue
        for i in range(next(counts)):
            add_block(f'{name}.{i}', f'{name}_{i}', branches, True)
    add_block('block8', 'block8', BLOCK_8, True)
    return (
        *rules,
        Layer('last_linear', 'dense_plain', 'last_linear'),
        Layer('last_bn', 'norm', 'last_bn'),
    )
