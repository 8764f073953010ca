"""MobileFaceNet checkpoints: projects name the same layers in several ways.

| names | projects | convention |
|---|---|---|
| `dw_conv1`, `blocks` | Xiaoccer/MobileFaceNet_Pytorch and its forks | RGB, deviation 128, 112 x 96 |
| the same, square images | wujiyang/Face_Pytorch | BGR |
| `dw_conv.depthwise` | foamliu/MobileFaceNet | RGB, ImageNet's mean and deviation |
| `conv_23` | TreB1eN/InsightFace_Pytorch | BGR: it stores its images with red and blue exchanged |
| the same below `backbone.` | FaceX-Zoo | BGR, deviation 128, embeddings of any length, no mirroring |
| `conv_23` and `output_layer` | CurricularFace | RGB, embeddings of any length |
| `conv_sep.layers` | insightface `arcface_torch`, mbf | RGB |

Widths, depths, activation and head are read from names and shapes. A file does not
hold strides. If `blocks` has other widths than in the paper, `_strides` derives the strides from the
pattern of the widths in published tables, and the match says so.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence

import flax.linen as nn

from fr_inference import errors
from fr_inference.models import registry
from fr_inference.models.backbones.mobilefacenet import MobileFaceNet
from fr_inference.models.target import InputSpec
from fr_inference.weights.rules import Layer, Match, differing, part_of, size_of

Shapes = Mapping[str, tuple[int, ...]]
Parts = tuple[tuple[str, str, str], ...]
"""(name below a source, kind of layer, name below a target) of some layers."""


def _activated(source: str, target: str, kind: str, form: str = '{}') -> Parts:
    """A convolution of `kind` with its norm and PReLU; `form` turns 'conv' into '{source}.conv'."""
    conv, norm, prelu = (form.format(part) for part in ('conv', 'bn', 'prelu'))
    return (
        (f'{source}{conv}', kind, target),
        (f'{source}{norm}', 'norm', f'{target}_bn'),
        (f'{source}{prelu}', 'prelu', f'{target}_prelu'),
    )


@dataclasses.dataclass(frozen=True)
class Naming:
    """How one project names the layers.

    Attributes:
      signature: a tensor that is in each of its files.
      stem: layers before the blocks.
      block: layers of one block, below the block's own name.
      last: layers of the last map.
      head: layers that make one pixel of it.
      embed: layers of the embedding.
    """

    signature: str
    stem: Parts
    block: Parts
    last: Parts
    head: Parts
    embed: Parts


XIAOCCER = Naming(
    signature='dw_conv1.conv.weight',
    stem=_activated('conv1.', 'conv1', 'conv') + _activated('dw_conv1.', 'dw_conv', 'depthwise'),
    block=(
        ('conv.0', 'pointwise', 'expand'),
        ('conv.1', 'norm', 'expand_bn'),
        ('conv.2', 'prelu', 'expand_prelu'),
        ('conv.3', 'depthwise', 'depth'),
        ('conv.4', 'norm', 'depth_bn'),
        ('conv.5', 'prelu', 'depth_prelu'),
        ('conv.6', 'pointwise', 'project'),
        ('conv.7', 'norm', 'project_bn'),
    ),
    last=_activated('conv2.', 'conv2', 'pointwise'),
    head=_activated('linear7.', 'global_depth', 'depthwise')[:2],
    embed=_activated('linear1.', 'embed', 'pointwise')[:2],
)
# The same with squeeze-and-excitation, which moves the last two layers of a block up by one.
XIAOCCER_SE = dataclasses.replace(
    XIAOCCER,
    block=(
        *XIAOCCER.block[:6],
        ('conv.6.fc.1', 'pointwise', 'se/fc1'),
        ('conv.6.fc.3', 'pointwise', 'se/fc2'),
        ('conv.7', 'pointwise', 'project'),
        ('conv.8', 'norm', 'project_bn'),
    ),
)
FOAMLIU = Naming(
    signature='dw_conv.depthwise.weight',
    stem=(
        ('conv1.0', 'conv', 'conv1'),
        ('conv1.1', 'norm', 'conv1_bn'),
        ('dw_conv.depthwise', 'depthwise', 'dw_conv'),
        ('dw_conv.bn1', 'norm', 'dw_conv_bn'),
        ('dw_conv.pointwise', 'pointwise', 'dw_conv_point'),
        ('dw_conv.bn2', 'norm', 'dw_conv_point_bn'),
    ),
    block=(
        ('conv.0.0', 'pointwise', 'expand'),
        ('conv.0.1', 'norm', 'expand_bn'),
        ('conv.1.0', 'depthwise', 'depth'),
        ('conv.1.1', 'norm', 'depth_bn'),
        ('conv.2', 'pointwise', 'project'),
        ('conv.3', 'norm', 'project_bn'),
    ),
    last=(('conv2.0', 'pointwise', 'conv2'), ('conv2.1', 'norm', 'conv2_bn')),
    head=(
        ('gdconv.depthwise', 'depthwise', 'global_depth'),
        ('gdconv.bn', 'norm', 'global_depth_bn'),
    ),
    embed=(('conv3', 'pointwise_bias', 'embed'), ('bn', 'norm', 'embed_bn')),
)
TREB1EN = Naming(
    signature='conv_23.conv.conv.weight',
    stem=_activated('conv1.', 'conv1', 'conv') + _activated('conv2_dw.', 'dw_conv', 'depthwise'),
    block=(
        *_activated('conv.', 'expand', 'pointwise'),
        *_activated('conv_dw.', 'depth', 'depthwise'),
        *_activated('project.', 'project', 'pointwise')[:2],
    ),
    last=_activated('conv_6_sep.', 'conv2', 'pointwise'),
    head=_activated('conv_6_dw.', 'global_depth', 'depthwise')[:2],
    embed=(('linear', 'dense_plain', 'embed'), ('bn', 'norm', 'embed_bn')),
)
CURRICULARFACE = dataclasses.replace(
    TREB1EN,
    head=tuple((f'output_layer.{a}', kind, b) for a, kind, b in TREB1EN.head),
    embed=tuple((f'output_layer.{a}', kind, b) for a, kind, b in TREB1EN.embed),
)


def _listed(source: str, target: str, kind: str) -> Parts:
    """A convolution with its norm and PReLU in an `nn.Sequential`."""
    return (
        (f'{source}layers.0', kind, target),
        (f'{source}layers.1', 'norm', f'{target}_bn'),
        (f'{source}layers.2', 'prelu', f'{target}_prelu'),
    )


MBF = Naming(
    signature='conv_sep.layers.0.weight',
    stem=_listed('layers.0.', 'conv1', 'conv') + _listed('layers.1.', 'dw_conv', 'depthwise'),
    block=(
        *_listed('layers.0.', 'expand', 'pointwise'),
        *_listed('layers.1.', 'depth', 'depthwise'),
        *_listed('layers.2.', 'project', 'pointwise')[:2],
    ),
    last=_listed('conv_sep.', 'conv2', 'pointwise'),
    head=_listed('features.layers.0.', 'global_depth', 'depthwise')[:2],
    embed=(
        ('features.layers.2', 'dense_plain', 'embed'),
        ('features.layers.3', 'norm', 'embed_bn'),
    ),
)

SIGNATURES = tuple(naming.signature for naming in (XIAOCCER, FOAMLIU, TREB1EN, MBF))

# Published tables whose strides do not follow from the pattern of the widths: (channels in, between,
# out) of each block -> its stride.
_PUBLISHED: Mapping[tuple[tuple[int, int, int], ...], tuple[int, ...]] = {
    # LH-and-FPGA/MobileFaceNet_Pytorch, core/model_1.py
    ((32, 64, 32),) * 3 + ((32, 64, 64),) + ((64, 128, 64),) * 5: (2, 1, 1, 2, 1, 1, 1, 2, 1),
}


def recognise(shapes: Shapes, input: InputSpec | None = None, prefix: str = '') -> Match | None:
    """Returns the form that fits a state dict's names and shapes, None for another family."""
    naming = _naming(shapes)
    if naming is None:
        return None
    names, strides = _blocks(shapes, naming)
    rows = _rows(shapes, naming, names)
    remarks = []
    if strides is None:
        strides, sure = _strides(rows)
        if not sure:
            remarks.append(
                'strides of the blocks: from the pattern of their widths, not in the file'
            )
    prelu = any(f'{name}.weight' in shapes for name, kind, _ in naming.stem if kind == 'prelu')
    if not prelu and naming is not FOAMLIU:
        remarks.append('activation: ReLU, as in published code; ReLU6 would leave the same file')
    mean = not any(f'{name}.weight' in shapes for name, *_ in naming.head)
    plain_stem = naming is MBF and 'layers.1.layers.0.weight' not in shapes

    architecture, convention, assumed = _convention(naming, shapes, prefix, mean)
    wanted = {
        'expanded': [row[1] for row in rows],
        'channels': [row[2] for row in rows],
        'strides': list(strides),
        'squeeze_excite': naming is XIAOCCER_SE,
        'stem_channels': size_of(shapes, f'{naming.stem[0][0]}.weight', 64),
        'last_channels': size_of(shapes, f'{naming.last[0][0]}.weight', 512),
        'embedding': size_of(shapes, f'{naming.embed[0][0]}.weight', 128),
        'head': 'mean' if mean else 'depthwise',
        'unit_length': naming is TREB1EN and not part_of(prefix, 'backbone'),
    }
    if naming is not FOAMLIU:
        wanted['activation'] = 'prelu' if prelu else 'relu'
    if naming is MBF:
        wanted['stem'] = 'none' if plain_stem else 'depthwise'
        wanted['stem_group'] = (
            1 if plain_stem else size_of(shapes, 'layers.1.layers.0.weight', 1, 1)
        )
    spec = input or _sized(convention, shapes.get(f'{naming.head[0][0]}.weight', ())[2:], strides)
    rules = layers(naming, names, prelu, mean, plain_stem)
    config = differing(architecture, wanted)
    return Match(architecture, config, spec, rules, assumed, tuple(remarks))


def _naming(shapes):
    found = next(
        (naming for naming in (XIAOCCER, FOAMLIU, TREB1EN, MBF) if naming.signature in shapes), None
    )
    if found is XIAOCCER and 'blocks.0.conv.6.fc.1.weight' in shapes:
        return XIAOCCER_SE
    if found is TREB1EN and 'output_layer.linear.weight' in shapes:
        return CURRICULARFACE
    return found


def _convention(naming, shapes, prefix, mean):
    """(variant, its project's input convention, fields of it that names and shapes do not show)."""
    architecture, assumed = {
        FOAMLIU: ('mobilefacenet_relu6', ()),
        TREB1EN: ('mobilefacenet', ('colour',)),
        CURRICULARFACE: ('mobilefacenet', ('colour',)),
    }.get(naming, ('mobilefacenet_prelu', ()))
    if naming is MBF:
        small = 'layers.1.layers.0.weight' in shapes
        return 'mbf' if small else 'mbf_large', InputSpec(), ()
    spec = registry.VARIANTS[architecture].input
    if naming is CURRICULARFACE:
        spec = dataclasses.replace(spec, colour='rgb')
    elif naming is TREB1EN and part_of(prefix, 'backbone'):
        spec = InputSpec(colour='bgr', std=(128.0, 128.0, 128.0), mirror='none')
        assumed = ('colour', 'mean', 'std', 'mirror')
    elif naming in (XIAOCCER, XIAOCCER_SE):
        grid = shapes.get('linear7.conv.weight', ())[2:]
        if mean:
            assumed = ('height', 'width')
        elif len(grid) == 2 and grid[0] == grid[1]:
            spec = InputSpec(colour='bgr', mirror='concat')
            assumed = ('colour', 'mean', 'std')
    return architecture, spec, assumed


def _sized(spec, grid, strides):
    """Returns the convention with the input size that gives the last map's size."""
    step = 2 ** (1 + sum(stride > 1 for stride in strides))
    if len(grid) == 2 and all(0 < side <= 256 for side in grid) and step <= 64:
        return registry.sized(spec, step * grid[0], step * grid[1])
    return spec


def _blocks(shapes, naming):
    """Names of the blocks, and their strides if the names show them."""
    if naming in (XIAOCCER, XIAOCCER_SE, FOAMLIU):
        stem = 'features' if naming is FOAMLIU else 'blocks'
        return [f'{stem}.{i}' for i in range(_count(shapes, rf'{stem}\.(\d{{1,2}})\.conv'))], None
    found: list[tuple[str, int]] = []
    if naming is MBF:
        for i in range(1, _count(shapes, r'layers\.(\d{1,2})\.')):
            if f'layers.{i}.layers.0.layers.0.weight' in shapes:
                found.append((f'layers.{i}', 2))
            inner = _count(
                shapes, rf'layers\.{i}\.layers\.(\d{{1,2}})\.layers\.0\.layers\.0\.weight'
            )
            found += [(f'layers.{i}.layers.{j}', 1) for j in range(inner)]
    else:
        for halved, kept in (('conv_23', 'conv_3'), ('conv_34', 'conv_4'), ('conv_45', 'conv_5')):
            found.append((halved, 2))
            inner = _count(shapes, rf'{kept}\.model\.(\d{{1,2}})\.')
            found += [(f'{kept}.model.{j}', 1) for j in range(inner)]
    return [name for name, _ in found], tuple(stride for _, stride in found)


def _count(shapes, pattern):
    found = (re.match(pattern, name) for name in shapes)
    return max((int(match[1]) + 1 for match in found if match), default=0)


def _rows(shapes, naming, names) -> list[tuple[int, int, int]]:
    """(channels in, between, out) of each block."""
    expand = next(source for source, _, target in naming.block if target == 'expand')
    project = next(source for source, _, target in naming.block if target == 'project')

    def row(name):
        inside = shapes.get(f'{name}.{expand}.weight', ())
        return (
            inside[1] if len(inside) > 1 else 0,
            inside[0] if inside else 0,
            size_of(shapes, f'{name}.{project}.weight', 0),
        )

    return [row(name) for name in names]


def _strides(rows: Sequence[tuple[int, int, int]]) -> tuple[tuple[int, ...], bool]:
    """Returns the blocks' strides, and whether the paper or published code has exactly this table.

    The paper halves the map in the first block and where the expansion rises. Tables with a single
    expansion halve it where the channels change. A network of either kind has three halvings.

    Raises:
      InputError: when neither rule gives three.
    """
    paper = MobileFaceNet()
    if [row[1:] for row in rows] == list(zip(paper.expanded, paper.channels, strict=True)):
        return tuple(paper.strides), True
    if tuple(rows) in _PUBLISHED:
        return _PUBLISHED[tuple(rows)], True
    expansions = [between // max(inputs, 1) for inputs, between, _ in rows]
    rising = [i for i in range(1, len(rows)) if expansions[i] > expansions[i - 1]]
    widening = [i for i in range(1, len(rows)) if rows[i][2] != rows[i - 1][2]]
    for halving in (rising, widening):
        if len(halving) == 2:
            return tuple(2 if i == 0 or i in halving else 1 for i in range(len(rows))), False
    raise errors.InputError(
        'blocks',
        f'{len(rows)} blocks of MobileFaceNet whose strides cannot be told from their widths',
        'a table of the paper, or a network exported with its graph (ONNX)',
    )


def layers_of(module: nn.Module, input: InputSpec) -> tuple[Layer, ...] | None:
    """Returns the rules of a module of this family, None for a module of another."""
    if not isinstance(module, MobileFaceNet):
        return None
    count = len(module.channels)
    prelu, mean = module.activation == 'prelu', module.head == 'mean'
    if module.stem == 'separable':
        return layers(FOAMLIU, [f'features.{i}' for i in range(count)], mean=mean)
    if module.stem == 'none' or module.stem_group > 1:
        names, start = [], 1 if module.stem == 'none' else 2
        for stride, previous in zip(module.strides, (0, *module.strides), strict=False):
            if stride > 1:
                names.append(f'layers.{start}')
                start += 1
            else:
                inner = 0 if previous != 1 else int(names[-1].rsplit('.', 1)[1]) + 1
                start += inner == 0
                names.append(f'layers.{start - 1}.layers.{inner}')
        return layers(MBF, names, prelu, mean, module.stem == 'none')
    if module.unit_length:
        stage, names = 2, []
        for stride in module.strides:
            if stride > 1:
                names.append(f'conv_{stage}{stage + 1}')
                stage, inner = stage + 1, 0
            else:
                names.append(f'conv_{stage}.model.{inner}')
                inner += 1
        return layers(TREB1EN, names, prelu, mean)
    naming = XIAOCCER_SE if module.squeeze_excite else XIAOCCER
    return layers(naming, [f'blocks.{i}' for i in range(count)], prelu, mean)


def layers(
    naming: Naming,
    names: Sequence[str],
    prelu: bool = True,
    mean: bool = False,
    plain_stem: bool = False,
) -> tuple[Layer, ...]:
    """Returns the rules of a network whose blocks have these names."""
    stem = naming.stem[:3] if plain_stem else naming.stem
    parts = [*stem]
    for i, block in enumerate(names):
        parts += [(f'{block}.{a}', kind, f'block{i}_{b}') for a, kind, b in naming.block]
    parts += [*naming.last, *(() if mean else naming.head), *naming.embed]
    return tuple(Layer(*part) for part in parts if prelu or part[1] != 'prelu')
