"""`Backbone` checkpoints (IR and IR-SE) of InsightFace_Pytorch, facexlib and pixel2style2pixel."""

import re
from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from fr_inference.models.backbones.ir import IR
from fr_inference.models.target import InputSpec
from fr_inference.weights.rules import Layer, Match, grid_of, input_of, size_of

SIGNATURES = ('body.0.res_layer.0.weight',)
# Number of blocks in the body -> (variant, depths of the stages).
BODIES = {24: ('50', (3, 4, 14, 3)), 49: ('100', (3, 13, 30, 3)), 50: ('152', (3, 8, 36, 3))}


def recognise(
    shapes: Mapping[str, tuple[int, ...]], input: InputSpec | None = None
) -> Match | None:
    """Returns the variant that a state dict's names and shapes spell out, None for another family."""
    if SIGNATURES[0] not in shapes:
        return None
    found = (re.match(r'body\.(\d{1,3})\.', name) for name in shapes)
    blocks = max((int(match[1]) for match in found if match), default=0) + 1
    size, depths = BODIES.get(blocks, BODIES[24])
    squeeze_excite = any('.res_layer.5.fc1.' in name for name in shapes)
    architecture = f'{"irse" if squeeze_excite else "ir"}{size}'
    embedding = size_of(shapes, 'output_layer.3.weight', 512)
    columns = size_of(shapes, 'output_layer.3.weight', 25088, axis=1)
    config: dict[str, Any] = {} if embedding == 512 else {'embedding': embedding}
    spec = input_of(architecture, columns, 512, input)
    return Match(architecture, config, spec, layers(depths, squeeze_excite, grid_of(spec)))


def layers_of(module: nn.Module, input: InputSpec) -> tuple[Layer, ...] | None:
    """Returns the rules of a module of this family, None for another's."""
    if not isinstance(module, IR):
        return None
    return layers(tuple(module.depths), module.squeeze_excite, grid_of(input))


def layers(
    depths: tuple[int, ...], squeeze_excite: bool, grid: tuple[int, int]
) -> tuple[Layer, ...]:
    """Returns the rules of a Backbone of these depths, its last map of size `grid`."""
    rules = [
        Layer('input_layer.0', 'conv', 'conv1'),
        Layer('input_layer.1', 'norm', 'bn1'),
        Layer('input_layer.2', 'prelu', 'prelu'),
    ]
    index = 0
    for stage, depth in enumerate(depths, start=1):
        for i in range(depth):
            source, target = f'body.{index}', f'layer{stage}_{i}'
            parts = []
            if i == 0 and stage > 1:  # elsewhere the shortcut has no weights
                parts += [
                    ('shortcut_layer.0', 'pointwise', 'shortcut_conv'),
                    ('shortcut_layer.1', 'norm', 'shortcut_bn'),
                ]
            parts += [
                ('res_layer.0', 'norm', 'bn1'),
                ('res_layer.1', 'conv', 'conv1'),
                ('res_layer.2', 'prelu', 'prelu'),
                ('res_layer.3', 'conv', 'conv2'),
                ('res_layer.4', 'norm', 'bn2'),
            ]
            if squeeze_excite:
                parts += [
                    ('res_layer.5.fc1', 'pointwise', 'se/fc1'),
                    ('res_layer.5.fc2', 'pointwise', 'se/fc2'),
                ]
            rules += [Layer(f'{source}.{a}', kind, f'{target}/{b}') for a, kind, b in parts]
            index += 1
    return (
        *rules,
        Layer('output_layer.0', 'norm', 'bn2'),
        Layer('output_layer.3', 'flat_dense', 'fc', grid=grid),
        Layer('output_layer.4', 'norm', 'features'),
    )
