"""IResNet checkpoints of insightface's `arcface_torch`, ElasticFace, TopoFR and MagFace.

The names are the same; MagFace calls the backbone `features` and wants BGR from 0 to 1.
"""

import re
from collections.abc import Mapping

import flax.linen as nn

from fr_inference.models import registry
from fr_inference.models.backbones.iresnet import IResNet
from fr_inference.models.target import InputSpec
from fr_inference.weights.rules import Layer, Match, differing, grid_of, input_of, part_of, size_of

SIGNATURES = ('layer1.0.bn1.weight',)
DEPTHS: dict[tuple[int, ...], str] = {
    (2, 2, 2, 2): 'iresnet18',
    (3, 4, 6, 3): 'iresnet34',
    (3, 4, 14, 3): 'iresnet50',
    (3, 13, 30, 3): 'iresnet100',
    (6, 26, 60, 6): 'iresnet200',
}


MAGFACE = InputSpec(colour='bgr', mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0), mirror='none')


def recognise(
    shapes: Mapping[str, tuple[int, ...]], input: InputSpec | None = None, prefix: str = ''
) -> Match | None:
    """Returns the variant that fits a state dict's names and shapes, None for another family."""
    if SIGNATURES[0] not in shapes or 'features.weight' not in shapes:
        return None
    blocks: list[set[int]] = [set(), set(), set(), set()]
    for name in shapes:
        found = re.match(r'layer([1-4])\.(\d{1,3})\.', name)
        if found:
            blocks[int(found[1]) - 1].add(int(found[2]))
    depths = tuple(max(stage, default=0) + 1 for stage in blocks)
    width = size_of(shapes, 'conv1.weight', 64)
    columns = size_of(shapes, 'fc.weight', 25088, axis=1)
    architecture = DEPTHS.get(depths, 'iresnet50')
    squeeze_excite = 'layer1.0.se_block.fc1.weight' in shapes
    magface = part_of(prefix, 'features')
    wanted = {
        'depths': list(depths),
        'width': width,
        'embedding': size_of(shapes, 'fc.weight', 512),
        'squeeze_excite': squeeze_excite,
        'epsilon': 2e-5 if magface else 1e-5,
        'momentum': 0.1 if magface else 0.9,
    }
    convention = MAGFACE if magface else registry.VARIANTS[architecture].input
    spec = input_of(convention, columns, 8 * width, input)
    rules = layers(depths, grid_of(spec), squeeze_excite)
    return Match(architecture, differing(architecture, wanted), spec, rules)


def layers_of(module: nn.Module, input: InputSpec) -> tuple[Layer, ...] | None:
    """Returns the rules of a module of this family, None for a module of another."""
    if not isinstance(module, IResNet):
        return None
    return layers(tuple(module.depths), grid_of(input), module.squeeze_excite)


def layers(
    depths: tuple[int, ...], grid: tuple[int, int], squeeze_excite: bool = False
) -> tuple[Layer, ...]:
    """Returns the rules of an IResNet of these depths, whose last map has size `grid`."""
    rules = [
        Layer('conv1', 'conv', 'conv1'),
        Layer('bn1', 'norm', 'bn1'),
        Layer('prelu', 'prelu', 'prelu'),
    ]
    for stage, depth in enumerate(depths, start=1):
        for i in range(depth):
            source, target = f'layer{stage}.{i}', f'layer{stage}_{i}'
            parts = [
                ('bn1', 'norm', 'bn1'),
                ('conv1', 'conv', 'conv1'),
                ('bn2', 'norm', 'bn2'),
                ('prelu', 'prelu', 'prelu'),
                ('conv2', 'conv', 'conv2'),
                ('bn3', 'norm', 'bn3'),
            ]
            if squeeze_excite:
                parts += [(f'se_block.{fc}', 'pointwise', f'se/{fc}') for fc in ('fc1', 'fc2')]
            if i == 0:
                parts += [
                    ('downsample.0', 'pointwise', 'downsample_conv'),
                    ('downsample.1', 'norm', 'downsample_bn'),
                ]
            rules += [Layer(f'{source}.{a}', kind, f'{target}/{b}') for a, kind, b in parts]
    return (
        *rules,
        Layer('bn2', 'norm', 'bn2'),
        Layer('fc', 'flat_dense', 'fc', grid=grid),
        Layer('features', 'norm', 'features'),
    )
