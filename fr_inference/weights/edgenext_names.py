"""EdgeFace checkpoints: EdgeNeXt under the names of `timm`."""

import re
from collections.abc import Mapping

import flax.linen as nn

from fr_inference.models import registry
from fr_inference.models.backbones.edgenext import GLOBAL, SCALES, EdgeNeXt
from fr_inference.models.target import InputSpec
from fr_inference.weights.rules import Layer, Match, differing, size_of

SIGNATURES = ('stages.0.blocks.0.conv_dw.weight',)
WIDTHS: Mapping[tuple[int, ...], str] = {
    (24, 48, 88, 168): 'edgeface_xxs',
    (32, 64, 100, 192): 'edgeface_xs_gamma_06',
    (48, 96, 160, 304): 'edgeface_s_gamma_05',
    (80, 160, 288, 584): 'edgeface_base',
}


def recognise(
    shapes: Mapping[str, tuple[int, ...]], input: InputSpec | None = None, prefix: str = ''
) -> Match | None:
    """Returns the variant that fits a state dict's names and shapes, None for another family."""
    if SIGNATURES[0] not in shapes or 'stem.0.weight' not in shapes:
        return None
    depths, widths = [], []
    for stage in range(4):
        found = (re.match(rf'stages\.{stage}\.blocks\.(\d{{1,2}})\.', name) for name in shapes)
        depths.append(max((int(match[1]) for match in found if match), default=0) + 1)
        widths.append(size_of(shapes, f'stages.{stage}.blocks.0.gamma', 8))
    architecture = WIDTHS.get(tuple(widths), 'edgeface_base')
    low_rank = 'head.fc.linear1.weight' in shapes
    last = 'head.fc.linear2' if low_rank else 'head.fc'
    wanted = {
        'depths': depths,
        'widths': widths,
        'heads': size_of(shapes, f'stages.3.blocks.{depths[3] - 1}.xca.temperature', 8),
        'rank_ratio': _ratio(shapes) if low_rank else 1.0,
        'embedding': size_of(shapes, f'{last}.weight', 512),
    }
    spec = input or registry.VARIANTS[architecture].input
    config = differing(architecture, wanted)
    return Match(architecture, config, spec, layers(depths, low_rank))


def _ratio(shapes):
    """Returns the rank ratio, rounded to tenths as published; the widest layer gives it best."""
    rank = size_of(shapes, 'stages.3.blocks.0.mlp.fc1.linear1.weight', 1)
    width = size_of(shapes, 'stages.3.blocks.0.mlp.fc1.linear1.weight', 1, axis=1)
    return min(max(round((rank + 0.5) / max(width, 1), 1), 0.1), 0.9)


def layers_of(module: nn.Module, input: InputSpec) -> tuple[Layer, ...] | None:
    """Returns the rules of a module of this family, None for a module of another."""
    if not isinstance(module, EdgeNeXt):
        return None
    return layers(list(module.depths), module.rank_ratio < 1)


def layers(depths: list[int], low_rank: bool) -> tuple[Layer, ...]:
    """Returns the rules of a network of these depths."""
    rules = [Layer('stem.0', 'conv_bias', 'stem_conv'), Layer('stem.1', 'layer_norm', 'stem_norm')]

    def dense(source, target):
        if not low_rank:
            return [(source, 'dense', f'{target}/dense')]
        return [
            (f'{source}.linear1', 'dense_plain', f'{target}/linear1'),
            (f'{source}.linear2', 'dense', f'{target}/linear2'),
        ]

    expansion = [
        ('norm', 'layer_norm', 'norm'),
        *dense('mlp.fc1', 'mlp/fc1'),
        *dense('mlp.fc2', 'mlp/fc2'),
        ('gamma', 'raw', 'gamma'),
    ]
    for stage, depth in enumerate(depths):
        if stage > 0:
            place, name = f'stages.{stage}.downsample', f'downsample{stage}'
            rules.append(Layer(f'{place}.0', 'layer_norm', f'{name}_norm'))
            rules.append(Layer(f'{place}.1', 'conv_bias', f'{name}_conv'))
        for i in range(depth):
            if i < depth - GLOBAL[stage]:
                parts = [('conv_dw', 'conv_bias', 'conv_dw'), *expansion]
            else:
                convolutions = range(max(1, SCALES[stage] - 1))
                parts = [(f'convs.{j}', 'conv_bias', f'conv{j}') for j in convolutions]
                if stage == 1:
                    parts.append(('pos_embd.token_projection', 'pointwise_bias', 'pos_embd'))
                parts += [
                    ('norm_xca', 'layer_norm', 'norm_xca'),
                    ('gamma_xca', 'raw', 'gamma_xca'),
                    ('xca', 'temperature', 'xca'),
                    *dense('xca.qkv', 'xca/qkv'),
                    *dense('xca.proj', 'xca/proj'),
                    *expansion,
                ]
            source, target = f'stages.{stage}.blocks.{i}', f'stage{stage}_{i}'
            rules += [Layer(f'{source}.{a}', kind, f'{target}/{b}') for a, kind, b in parts]
    rules.append(Layer('head.norm', 'layer_norm', 'head_norm'))
    return (*rules, *(Layer(*part) for part in dense('head.fc', 'head')))
