"""Names and shapes of published checkpoints, of every layout: recognised whole, with the right input."""

import json
import pathlib

import pytest

from fr_inference import errors
from fr_inference.models import registry
from fr_inference.weights import families, rules
from tests.formats import states
from tests.models.shapes import abstract_variables

SHARED = pathlib.Path(__file__).parents[3] / 'shared' / 'cases' / 'layouts'

HALF = (127.5, 127.5, 127.5)
BY_128 = (128.0, 128.0, 128.0)
IMAGENET = (123.675, 116.28, 103.53)

# File -> (variant, size, colour, mean, deviation, mirror images, what is assumed, what is set aside).
PUBLISHED = {
    'adaface_ir18.ckpt': ('adaface_ir18', 112, 'bgr', HALF, HALF, 'add', (), 4),
    'adaface_ir50.ckpt': ('adaface_ir50', 112, 'bgr', HALF, HALF, 'add', (), 1),
    'curricular_ir50.pth': ('ir50', 112, 'rgb', HALF, HALF, 'add', (), 0),
    'elasticface_iresnet18_se.pth': ('iresnet18', 112, 'rgb', HALF, HALF, 'add', (), 0),
    'facexzoo_mobilefacenet.pt': (
        'mobilefacenet',
        112,
        'bgr',
        HALF,
        BY_128,
        'none',
        ('colour', 'mean', 'std', 'mirror'),
        1,
    ),
    'facenet_vggface2.pt': ('inception_resnet_v1', 160, 'rgb', HALF, BY_128, 'none', (), 0),
    'foamliu_insightface_v2_sd.pt': (
        'arcface_resnet18',
        112,
        'rgb',
        IMAGENET,
        (58.395, 57.12, 57.375),
        'none',
        (),
        0,
    ),
    'insightface_vit.pt': ('vit_s', 112, 'rgb', HALF, HALF, 'add', (), 0),
    'insightface_mbf.pt': ('mbf', 112, 'rgb', HALF, HALF, 'add', (), 0),
    'magface_iresnet18.pth': (
        'iresnet18',
        112,
        'bgr',
        (0.0, 0.0, 0.0),
        (255.0, 255.0, 255.0),
        'none',
        (),
        1,
    ),
    'treb_mobilefacenet.pth': ('mobilefacenet', 112, 'bgr', HALF, HALF, 'add', ('colour',), 0),
}

ADAFACE = {
    (2, 2, 2, 2): 'adaface_ir18',
    (3, 4, 6, 3): 'adaface_ir34',
    (3, 4, 14, 3): 'adaface_ir50',
    (3, 13, 30, 3): 'adaface_ir101',
}
# Those whose names and shapes are tested here, for the list in `test_families`.
RULED = [
    name
    for name in registry.VARIANTS
    if name.startswith(('mobilefacenet', 'mbf', 'inception', 'arcface_resnet', 'vit', 'edgeface'))
]
VARIANTS = {*ADAFACE.values(), *RULED}


def recognised(shapes, **options):
    """The match of a file of these shapes, once every name has one rule and every rule a place."""
    match, inside, others = families.recognise(states.hollow(shapes), 'file', **options)
    keys = [layer.key(suffix) for layer in match.layers for suffix in layer.weights()]
    assert len(keys) == len(set(keys))
    left = {key for key in inside if not key.endswith('num_batches_tracked')} - set(keys)
    module = registry.build(match.architecture, **match.config)
    leaves = rules.by_path(abstract_variables(module, match.input))
    for layer in match.layers:
        for suffix, (collection, leaf, transform) in layer.weights().items():
            expected = leaves.pop(f'{collection}/{layer.target}/{leaf}')
            assert transform(inside[layer.key(suffix)]).shape == expected.shape, layer
    assert not leaves
    return match, sorted(left), others


@pytest.mark.parametrize('file', PUBLISHED)
def test_published_layouts(file):
    path = SHARED / f'{file}.json'
    if not path.exists():
        pytest.skip(f'{path} is not here')
    shapes = {name: tuple(shape) for name, shape in json.loads(path.read_text()).items()}
    match, left, others = recognised(shapes)
    name, size, colour, mean, std, mirror, assumed, aside = PUBLISHED[file]
    spec = match.input
    assert match.architecture == name
    assert (spec.height, spec.width, spec.colour, spec.mirror) == (size, size, colour, mirror)
    assert (spec.mean, spec.std, match.assumed) == (mean, std, assumed)
    assert (left, len(others)) == ([], aside)


def renamed(shapes, prefix):
    return {prefix + name: shape for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ('prefix', 'colour', 'mean', 'std', 'epsilon'),
    [
        ('', 'rgb', 127.5, 127.5, 1e-5),
        ('module.', 'rgb', 127.5, 127.5, 1e-5),
        ('features.module.', 'bgr', 0, 255, 2e-5),
        ('module.features.', 'bgr', 0, 255, 2e-5),
    ],
)
def test_magface_is_told_by_what_it_calls_the_backbone(prefix, colour, mean, std, epsilon):
    match, left, _ = recognised(renamed(states.iresnet(), prefix))
    assert (match.input.colour, match.input.mean[0], match.input.std[0]) == (colour, mean, std)
    assert match.config.get('epsilon', 1e-5) == epsilon
    assert not left


@pytest.mark.parametrize(
    ('squeeze_excite', 'prefix', 'colour', 'std', 'assumed'),
    [
        (False, '', 'rgb', 127.5, ('colour',)),
        (True, '', 'bgr', 127.5, ('colour',)),
        (True, 'module.backbone.', 'bgr', 128, ('colour', 'mean', 'std', 'mirror')),
    ],
)
def test_projects_that_share_the_names_of_ir(squeeze_excite, prefix, colour, std, assumed):
    shapes = states.ir(squeeze_excite=squeeze_excite)
    match, left, _ = recognised(renamed(shapes, prefix))
    assert (match.input.colour, match.input.std[0]) == (colour, std)
    assert (match.assumed, left) == (assumed, [])
    assert match.config.get('unit_length', True) != ('backbone' in prefix)


def adaface(shapes):
    """IR's names with the norm that AdaFace adds to each block, and its head without scale."""
    found = {}
    for name, shape in shapes.items():
        block, _, part = name.partition('.res_layer.')
        if part and part[0] in '2345':
            name = f'{block}.res_layer.{int(part[0]) + 1}{part[1:]}'
        if part.startswith('1'):
            norm = ('weight', 'bias', 'running_mean', 'running_var')
            found |= {f'{block}.res_layer.2.{leaf}': shape[:1] for leaf in norm}
        found[name] = shape
    return {
        k: v for k, v in found.items() if k not in ('output_layer.4.weight', 'output_layer.4.bias')
    }


@pytest.mark.parametrize('depths', ADAFACE)
@pytest.mark.parametrize(
    ('prefix', 'colour', 'assumed'), [('model.', 'bgr', ()), ('net.', 'rgb', ('colour',))]
)
def test_adaface_and_cvlface(depths, prefix, colour, assumed):
    """CVLface keeps the colour order beside the weights, in a YAML file."""
    match, left, _ = recognised(renamed(adaface(states.ir(depths)), prefix))
    assert (match.architecture, match.config) == (ADAFACE[depths], {})
    assert (match.input.colour, match.assumed, left) == (colour, assumed, [])


def xiaoccer(rows, stem=64, last=512, embedding=128, prelu=True, gate=False, kernel=(7, 6)):
    """Names and shapes of Xiaoccer's form for a table of (expansion, channels, blocks, stride)."""
    shapes = {}

    def layer(name, channels, shape, activated=True):
        shapes[f'{name}.conv.weight'] = (channels, *shape)
        shapes.update(states._norm(f'{name}.bn', channels))
        if activated and prelu:
            shapes[f'{name}.prelu.weight'] = (channels,)

    layer('conv1', stem, (3, 3, 3))
    layer('dw_conv1', stem, (1, 3, 3))
    index, inputs = 0, stem
    for expansion, channels, count, _ in rows:
        for _ in range(count):
            name, between = f'blocks.{index}.conv', inputs * expansion
            convolutions = ((0, (between, inputs, 1, 1)), (3, (between, 1, 3, 3)))
            for place, shape in convolutions:
                shapes[f'{name}.{place}.weight'] = shape
                shapes.update(states._norm(f'{name}.{place + 1}', between))
                if prelu:
                    shapes[f'{name}.{place + 2}.weight'] = (between,)
            place = 6
            if gate:
                shapes[f'{name}.6.fc.1.weight'] = (between // 4, between, 1, 1)
                shapes[f'{name}.6.fc.3.weight'] = (between, between // 4, 1, 1)
                place = 7
            shapes[f'{name}.{place}.weight'] = (channels, between, 1, 1)
            shapes.update(states._norm(f'{name}.{place + 1}', channels))
            index, inputs = index + 1, channels
    layer('conv2', last, (inputs, 1, 1))
    if kernel:
        layer('linear7', last, (1, *kernel), activated=False)
    layer('linear1', embedding, (last, 1, 1), activated=False)
    return shapes


PAPER = [(2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1)]
# The tables of LH-and-FPGA/MobileFaceNet_Pytorch, core/*.py, and what else is not the paper's.
FORK = {
    'narrow': (
        [(2, 16, 5, 2), (4, 48, 1, 2), (2, 48, 6, 1), (4, 64, 1, 2), (2, 128, 2, 1)],
        {},
    ),
    'small': (
        [(2, 16, 5, 2), (4, 32, 1, 2), (2, 32, 5, 1), (4, 48, 1, 2), (2, 96, 2, 1)],
        {'stem': 32, 'last': 256},
    ),
    'tiny': (
        [(2, 16, 3, 2), (2, 32, 3, 2), (2, 64, 1, 2), (2, 64, 2, 1)],
        {'last': 128, 'kernel': None},
    ),
    'tiny, ReLU': (
        [(2, 16, 3, 2), (2, 32, 3, 2), (2, 64, 1, 2), (2, 64, 2, 1)],
        {'last': 128, 'kernel': None, 'prelu': False},
    ),
    'micro': (
        [(2, 16, 2, 2), (2, 32, 2, 2), (2, 48, 1, 2), (2, 48, 2, 1)],
        {'stem': 32, 'last': 64, 'embedding': 64, 'gate': True, 'kernel': None},
    ),
    'nano': (
        [(2, 12, 2, 2), (2, 24, 2, 2), (2, 32, 1, 2), (2, 32, 2, 1)],
        {'stem': 32, 'last': 64, 'embedding': 64, 'gate': True, 'kernel': None},
    ),
    'pynq': (
        [(2, 32, 3, 2), (2, 64, 1, 2), (2, 64, 3, 1), (2, 64, 1, 2), (2, 64, 1, 1)],
        {'stem': 32, 'last': 128, 'embedding': 64, 'prelu': False},
    ),
}


@pytest.mark.parametrize('name', FORK)
def test_mobilefacenets_of_other_widths(name):
    rows, further = FORK[name]
    match, left, _ = recognised(xiaoccer(rows, **further))
    assert not left
    strides = [s if i == 0 else 1 for _, _, count, s in rows for i in range(count)]
    assert list(registry.build(match.architecture, **match.config).strides) == strides
    assert (match.input.height, match.input.width, match.input.colour) == (112, 96, 'rgb')
    assert match.assumed == (('height', 'width') if further.get('kernel', 1) is None else ())
    told = ' '.join(match.remarks)
    assert ('strides' in told) == (name != 'pynq')
    assert ('ReLU6' in told) == (not further.get('prelu', True))


def test_the_papers_own_table_leaves_nothing_open():
    match, left, _ = recognised(xiaoccer(PAPER))
    assert (match.architecture, match.config, match.remarks) == ('mobilefacenet_prelu', {}, ())
    assert not left
    square, _, _ = recognised(xiaoccer(PAPER, kernel=(7, 7)))
    assert (square.input.width, square.input.colour) == (112, 'bgr')
    assert square.assumed == ('colour', 'mean', 'std')


def test_strides_that_nothing_tells():
    """Nine equal blocks: an error, because a guess would compute another network without a word."""
    with pytest.raises(errors.InputError) as caught:
        recognised(xiaoccer([(2, 48, 9, 2)], stem=48))
    assert caught.value.field == 'blocks'


@pytest.mark.parametrize('name', RULED)
def test_every_variant_has_rules_of_its_own(name):
    """`--arch` names a variant whatever the file is; its rules fill all of its variables."""
    variant = registry.VARIANTS[name]
    module = variant.build()
    found = [family.layers_of(module, variant.input) for family in families.FAMILIES]
    (layers,) = [layers for layers in found if layers is not None]
    places = {
        f'{collection}/{layer.target}/{leaf}'
        for layer in layers
        for collection, leaf, _ in layer.weights().values()
    }
    assert places == set(rules.by_path(abstract_variables(module, variant.input)))
