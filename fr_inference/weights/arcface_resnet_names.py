"""ResNets with IR blocks: foamliu/InsightFace-v2, SimSwap; on grey images: ronghuaiyang, GFPGAN.

Those on grey images have a first convolution of one channel, and `fc5` in place of `fc`.
"""

import re
from collections.abc import Mapping

import flax.linen as nn

from fr_inference.models import registry
from fr_inference.models.backbones.arcface_resnet import ArcFaceResNet
from fr_inference.models.target import InputSpec
from fr_inference.weights.rules import Layer, Match, differing, grid_of, input_of, size_of

SIGNATURES = ('layer1.0.bn0.weight',)
DEPTHS: dict[tuple[int, ...], str] = {
    (2, 2, 2, 2): 'arcface_resnet18',
    (3, 4, 6, 3): 'arcface_resnet34',
    (3, 4, 23, 3): 'arcface_resnet101',
    (3, 8, 36, 3): 'arcface_resnet152',
}


def recognise(
    shapes: Mapping[str, tuple[int, ...]], input: InputSpec | None = None, prefix: str = ''
) -> Match | None:
    """Returns the variant that fits a state dict's names and shapes, None for another family."""
    if SIGNATURES[0] not in shapes:
        return None
    grey = size_of(shapes, 'conv1.weight', 3, axis=1) == 1
    head = 'fc5' if 'fc5.weight' in shapes else 'fc'
    depths = []
    for stage in (1, 2, 3, 4):
        found = (re.match(rf'layer{stage}\.(\d{{1,3}})\.', name) for name in shapes)
        depths.append(max((int(match[1]) for match in found if match), default=0) + 1)
    architecture = DEPTHS.get(tuple(depths), 'arcface_resnet18')
    if grey:
        architecture = 'arcface_resnet18_grey'
    width = size_of(shapes, 'conv1.weight', 64)
    squeeze_excite = 'layer1.0.se.fc.0.weight' in shapes
    wanted = {
        'depths': depths,
        'width': width,
        'squeeze_excite': squeeze_excite,
        'padded': head == 'fc5',
        'embedding': size_of(shapes, f'{head}.weight', 512),
    }
    columns = size_of(shapes, f'{head}.weight', 25088, axis=1)
    spec = input_of(registry.VARIANTS[architecture].input, columns, 8 * width, input)
    rules = layers(tuple(depths), grid_of(spec), squeeze_excite, head == 'fc5')
    return Match(architecture, differing(architecture, wanted), spec, rules)


def layers_of(module: nn.Module, input: InputSpec) -> tuple[Layer, ...] | None:
    """Returns the rules of a module of this family, None for a module of another."""
    if not isinstance(module, ArcFaceResNet):
        return None
    return layers(tuple(module.depths), grid_of(input), module.squeeze_excite, module.padded)


def layers(
    depths: tuple[int, ...], grid: tuple[int, int], squeeze_excite: bool, padded: bool
) -> tuple[Layer, ...]:
    """Returns the rules of a network of these depths, whose last map has size `grid`.

    The head of a `padded` network is called `bn4`, `fc5`, `bn5`.
    """
    rules = [
        Layer('conv1', 'conv', 'conv1'),
        Layer('bn1', 'norm', 'bn1'),
        Layer('prelu', 'prelu', 'prelu'),
    ]
    for stage, depth in enumerate(depths, start=1):
        for i in range(depth):
            parts = [
                ('bn0', 'norm', 'bn0'),
                ('conv1', 'conv', 'conv1'),
                ('bn1', 'norm', 'bn1'),
                ('prelu', 'prelu', 'prelu'),
                ('conv2', 'conv', 'conv2'),
                ('bn2', 'norm', 'bn2'),
            ]
            if squeeze_excite:
                parts += [
                    ('se.fc.0', 'dense', 'se/fc1'),
                    ('se.fc.1', 'prelu', 'se/prelu'),
                    ('se.fc.2', 'dense', 'se/fc2'),
                ]
            if i == 0 and stage > 1:  # elsewhere the shortcut has no weights
                parts += [
                    ('downsample.0', 'pointwise', 'downsample_conv'),
                    ('downsample.1', 'norm', 'downsample_bn'),
                ]
            source, target = f'layer{stage}.{i}', f'layer{stage}_{i}'
            rules += [Layer(f'{source}.{a}', kind, f'{target}/{b}') for a, kind, b in parts]
    first, dense, last = ('bn4', 'fc5', 'bn5') if padded else ('bn2', 'fc', 'bn3')
    return (
        *rules,
        Layer(first, 'norm', 'bn2'),
        Layer(dense, 'flat_dense', 'fc', grid=grid),
        Layer(last, 'norm', 'features'),
    )
