"""`Backbone` checkpoints (IR and IR-SE) of InsightFace_Pytorch and of the projects that reuse it.

| project | how it is recognised | convention |
|---|---|---|
| AdaFace | a norm between convolution and PReLU | BGR |
| CVLface | the same below `net.` | RGB by default, BGR where its YAML file says so |
| CurricularFace | a last norm without scale | RGB, embeddings of any length |
| FaceX-Zoo | below `backbone.` | BGR, deviation 128, embeddings of any length, no mirror image |
| InsightFace_Pytorch | nothing; has IR-SE | BGR: its images are stored with red and blue exchanged |
| face.evoLVe | nothing; has IR | RGB |
"""

import dataclasses
import itertools
import re
from collections.abc import Mapping

import flax.linen as nn

from fr_inference.models import registry
from fr_inference.models.backbones.ir import IR
from fr_inference.models.target import InputSpec
from fr_inference.weights.rules import Layer, Match, differing, grid_of, input_of, part_of, size_of

SIGNATURES = ('body.0.res_layer.0.weight',)
# Depths of the stages -> size in the variants' names.
IR_SIZES = {(3, 4, 14, 3): '50', (3, 13, 30, 3): '100', (3, 8, 36, 3): '152'}
ADAFACE_SIZES = {
    (2, 2, 2, 2): '18',
    (3, 4, 6, 3): '34',
    (3, 4, 14, 3): '50',
    (3, 13, 30, 3): '101',
}
FACEX_ZOO = InputSpec(colour='bgr', std=(128.0, 128.0, 128.0), mirror='none')


def recognise(
    shapes: Mapping[str, tuple[int, ...]], input: InputSpec | None = None, prefix: str = ''
) -> Match | None:
    """Returns the variant that fits a state dict's names and shapes, None for another family."""
    if SIGNATURES[0] not in shapes:
        return None
    depths = _depths(shapes)
    middle_norm = 'body.0.res_layer.2.running_mean' in shapes
    squeeze_excite = any(
        name.endswith('.fc1.weight') for name in shapes if name.startswith('body.0.')
    )
    affine_head = not middle_norm and 'output_layer.4.weight' in shapes
    if middle_norm:
        family, sizes = 'adaface_ir', ADAFACE_SIZES
    else:
        family, sizes = 'irse' if squeeze_excite else 'ir', IR_SIZES
    architecture = family + sizes.get(depths, '50')
    embedding = size_of(shapes, 'output_layer.3.weight', 512)
    columns = size_of(shapes, 'output_layer.3.weight', 25088, axis=1)

    convention = registry.VARIANTS[architecture].input
    assumed: tuple[str, ...] = ('colour',)
    unit_length = True
    if middle_norm:
        cvlface = part_of(prefix, 'net')
        convention = dataclasses.replace(convention, colour='rgb' if cvlface else 'bgr')
        assumed = ('colour',) if cvlface else ()
    elif not affine_head:
        convention, assumed, unit_length = InputSpec(), (), False
    elif part_of(prefix, 'backbone'):
        convention, assumed = FACEX_ZOO, ('colour', 'mean', 'std', 'mirror')
        unit_length = False
    spec = input_of(convention, columns, 512, input)

    wanted = {
        'depths': list(depths),
        'squeeze_excite': squeeze_excite,
        'affine_head': affine_head,
        'unit_length': unit_length,
        'embedding': embedding,
    }
    config = differing(architecture, wanted)
    rules = layers(depths, grid_of(spec), squeeze_excite, middle_norm, affine_head)
    return Match(architecture, config, spec, rules, assumed)


def _depths(shapes):
    """Returns the depths of the stages. A stage begins where a shortcut has weights."""
    found = {re.match(r'body\.(\d{1,3})\.', name) for name in shapes}
    blocks = max((int(match[1]) for match in found if match), default=0) + 1
    starts = [i for i in range(1, blocks) if f'body.{i}.shortcut_layer.0.weight' in shapes]
    if len(starts) != 3:
        return next((depths for depths in IR_SIZES if sum(depths) == blocks), (3, 4, 14, 3))
    borders = (0, *starts, blocks)
    return tuple(end - start for start, end in itertools.pairwise(borders))


def layers_of(module: nn.Module, input: InputSpec) -> tuple[Layer, ...] | None:
    """Returns the rules of a module of this family, None for a module of another."""
    if not isinstance(module, IR):
        return None
    flags = (module.squeeze_excite, module.middle_norm, module.affine_head)
    return layers(tuple(module.depths), grid_of(input), *flags)


def layers(
    depths: tuple[int, ...],
    grid: tuple[int, int],
    squeeze_excite: bool = False,
    middle_norm: bool = False,
    affine_head: bool = True,
) -> tuple[Layer, ...]:
    """Returns the rules of a Backbone of these depths, whose last map has size `grid`."""
    rules = [
        Layer('input_layer.0', 'conv', 'conv1'),
        Layer('input_layer.1', 'norm', 'bn1'),
        Layer('input_layer.2', 'prelu', 'prelu'),
    ]
    branch = [
        ('norm', 'bn1'),
        ('conv', 'conv1'),
        *([('norm', 'middle_bn')] if middle_norm else []),
        ('prelu', 'prelu'),
        ('conv', 'conv2'),
        ('norm', 'bn2'),
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
            parts += [(f'res_layer.{j}', kind, name) for j, (kind, name) in enumerate(branch)]
            if squeeze_excite:
                gate = 'res_layer.se_block' if middle_norm else f'res_layer.{len(branch)}'
                parts += [(f'{gate}.{fc}', 'pointwise', f'se/{fc}') for fc in ('fc1', 'fc2')]
            rules += [Layer(f'{source}.{a}', kind, f'{target}/{b}') for a, kind, b in parts]
            index += 1
    return (
        *rules,
        Layer('output_layer.0', 'norm', 'bn2'),
        Layer('output_layer.3', 'flat_dense', 'fc', grid=grid),
        Layer('output_layer.4', 'norm' if affine_head else 'norm_plain', 'features'),
    )
