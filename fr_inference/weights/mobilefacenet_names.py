"""MobileFaceNet checkpoints of Xiaoccer/MobileFaceNet_Pytorch and of foamliu/MobileFaceNet."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from fr_inference.models import registry
from fr_inference.models.backbones.mobilefacenet import MobileFaceNet
from fr_inference.models.target import InputSpec
from fr_inference.weights.rules import Layer, Match, size_of

_FORMS = {'dw_conv1.conv.weight': 'prelu', 'dw_conv.depthwise.weight': 'relu6'}
SIGNATURES = tuple(_FORMS)
BLOCKS = 15


def recognise(
    shapes: Mapping[str, tuple[int, ...]], input: InputSpec | None = None
) -> Match | None:
    """Returns the form that a state dict's names and shapes spell out, None for another family."""
    forms = [form for name, form in _FORMS.items() if name in shapes]
    if not forms:
        return None
    architecture = f'mobilefacenet_{forms[0]}'
    last, whole = {
        'prelu': ('linear1.conv.weight', 'linear7.conv.weight'),
        'relu6': ('conv3.weight', 'gdconv.depthwise.weight'),
    }[forms[0]]
    embedding = size_of(shapes, last, 128)
    config: dict[str, Any] = {} if embedding == 128 else {'embedding': embedding}
    spec = input or registry.VARIANTS[architecture].input
    grid = shapes.get(whole, ())[2:]
    if input is None and len(grid) == 2 and all(0 < side <= 256 for side in grid):
        spec = registry.sized(
            spec, 16 * grid[0], 16 * grid[1]
        )  # the last map's size tells the input's
    return Match(architecture, config, spec, layers(forms[0]))


def layers_of(module: nn.Module, input: InputSpec) -> tuple[Layer, ...] | None:
    """Returns the rules of a module of this family, None for another's."""
    return layers(module.form) if isinstance(module, MobileFaceNet) else None


def layers(form: str) -> tuple[Layer, ...]:
    """Returns the rules of one form."""
    return _prelu() if form == 'prelu' else _relu6()


def _prelu():
    rules = [
        Layer('conv1.conv', 'conv', 'conv1'),
        Layer('conv1.bn', 'norm', 'conv1_bn'),
        Layer('conv1.prelu', 'prelu', 'conv1_prelu'),
        Layer('dw_conv1.conv', 'depthwise', 'dw_conv'),
        Layer('dw_conv1.bn', 'norm', 'dw_conv_bn'),
        Layer('dw_conv1.prelu', 'prelu', 'dw_conv_prelu'),
    ]
    kinds = (
        ('pointwise', 'expand'),
        ('norm', 'expand_bn'),
        ('prelu', 'expand_prelu'),
        ('depthwise', 'depth'),
        ('norm', 'depth_bn'),
        ('prelu', 'depth_prelu'),
        ('pointwise', 'project'),
        ('norm', 'project_bn'),
    )
    for block in range(BLOCKS):
        for i, (kind, name) in enumerate(kinds):
            rules.append(Layer(f'blocks.{block}.conv.{i}', kind, f'block{block}_{name}'))
    return (
        *rules,
        Layer('conv2.conv', 'pointwise', 'conv2'),
        Layer('conv2.bn', 'norm', 'conv2_bn'),
        Layer('conv2.prelu', 'prelu', 'conv2_prelu'),
        Layer('linear7.conv', 'depthwise', 'global_depth'),
        Layer('linear7.bn', 'norm', 'global_depth_bn'),
        Layer('linear1.conv', 'pointwise', 'embed'),
        Layer('linear1.bn', 'norm', 'embed_bn'),
    )


def _relu6():
    rules = [
        Layer('conv1.0', 'conv', 'conv1'),
        Layer('conv1.1', 'norm', 'conv1_bn'),
        Layer('dw_conv.depthwise', 'depthwise', 'dw_conv'),
        Layer('dw_conv.bn1', 'norm', 'dw_conv_bn'),
        Layer('dw_conv.pointwise', 'pointwise', 'dw_conv_point'),
        Layer('dw_conv.bn2', 'norm', 'dw_conv_point_bn'),
    ]
    kinds = (
        ('0.0', 'pointwise', 'expand'),
        ('0.1', 'norm', 'expand_bn'),
        ('1.0', 'depthwise', 'depth'),
        ('1.1', 'norm', 'depth_bn'),
        ('2', 'pointwise', 'project'),
        ('3', 'norm', 'project_bn'),
    )
    for block in range(BLOCKS):
        for source, kind, name in kinds:
            rules.append(Layer(f'features.{block}.conv.{source}', kind, f'block{block}_{name}'))
    return (
        *rules,
        Layer('conv2.0', 'pointwise', 'conv2'),
        Layer('conv2.1', 'norm', 'conv2_bn'),
        Layer('gdconv.depthwise', 'depthwise', 'global_depth'),
        Layer('gdconv.bn', 'norm', 'global_depth_bn'),
        Layer('conv3', 'pointwise_bias', 'embed'),
        Layer('bn', 'norm', 'embed_bn'),
    )
