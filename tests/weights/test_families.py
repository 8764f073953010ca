"""Every variant is recognised by names and shapes; a new family takes one line in the table."""

import json
import types

import flax.linen as nn
import jax
import numpy as np
import pytest
import safetensors.numpy

from fr_inference.errors import InputError
from fr_inference.formats.named_tensors import StateDict
from fr_inference.models import registry
from fr_inference.models.target import InputSpec
from fr_inference.weights import families
from fr_inference.weights.rules import Layer, Match
from fr_inference.weights.targets import open_target
from tests.formats import states
from tests.models.shapes import abstract_variables
from tests.parity import cases
from tests.weights import test_layouts

VARIANTS = {
    'iresnet18': states.iresnet((2, 2, 2, 2), 64, 512, 112),
    'iresnet34': states.iresnet((3, 4, 6, 3), 64, 512, 112),
    'iresnet50': states.iresnet((3, 4, 14, 3), 64, 512, 112),
    'iresnet100': states.iresnet((3, 13, 30, 3), 64, 512, 112),
    'iresnet200': states.iresnet((6, 26, 60, 6), 64, 512, 112),
    'ir50': states.ir((3, 4, 14, 3)),
    'ir100': states.ir((3, 13, 30, 3)),
    'ir152': states.ir((3, 8, 36, 3)),
    'irse50': states.ir((3, 4, 14, 3), True),
    'irse100': states.ir((3, 13, 30, 3), True),
    'irse152': states.ir((3, 8, 36, 3), True),
}


def check_variant(name, shapes, input, config):
    """Every key has one rule, every rule a place, and the sizes add up to the table's count."""
    state = states.hollow(shapes)
    match, inside, others = families.recognise(state, 'file', input=input)
    assert (match.architecture, match.config, others) == (name, config, [])
    assert match.input == (input or registry.VARIANTS[name].input)
    keys = [layer.key(suffix) for layer in match.layers for suffix in layer.weights()]
    assert len(keys) == len(set(keys))
    assert set(keys) == {key for key in inside if not key.endswith('num_batches_tracked')}
    places = [
        f'{collection}/{layer.target}/{leaf}'
        for layer in match.layers
        for collection, leaf, _ in layer.weights().values()
    ]
    module = registry.build(match.architecture, **match.config)
    expected = abstract_variables(module, match.input)
    found = jax.tree_util.tree_leaves_with_path(expected)
    shapes = {
        jax.tree_util.keystr(path, simple=True, separator='/'): leaf.shape for path, leaf in found
    }
    assert len(places) == len(set(places))
    # What a published checkpoint holds and the module has no use for (a scale fixed at 1) or the
    # other way round would show here.
    assert set(places) == set(shapes)
    return registry.count_parameters(expected)


@pytest.mark.parametrize('name', VARIANTS)
def test_every_variant_is_recognised(name):
    count = check_variant(name, VARIANTS[name], None, {})
    assert count == registry.VARIANTS[name].parameters


@pytest.mark.parametrize('name', ['mobilefacenet_prelu', 'mobilefacenet_relu6'])
def test_mobilefacenets_are_recognised(name):
    with np.load(cases.FIXTURES / f'{name}.npz') as file:
        shapes = {key: tuple(shape) for key, shape in json.loads(str(file['shapes'])).items()}
    count = check_variant(name, shapes, cases.CASES[name].input, cases.CASES[name].config)
    assert count < registry.VARIANTS[name].parameters  # the last map of the case is smaller


def test_the_table_of_variants_is_complete():
    tested = {*VARIANTS, 'mobilefacenet_prelu', 'mobilefacenet_relu6', 'tiny'}
    assert tested | test_layouts.VARIANTS == set(registry.VARIANTS)


class Toy(nn.Module):
    """A backbone of one dense layer."""

    features: int = 5

    @nn.compact
    def __call__(self, x, train=False):
        return nn.Dense(self.features, name='embed')(x.mean(axis=(1, 2)))


def toy_family():
    """A table of names as a module of the package would have it."""
    layers = (Layer('toy.embed', 'dense', 'embed'),)

    def recognise(shapes, input=None, prefix=''):
        if 'toy.embed.weight' not in shapes:
            return None
        return Match('toy', {'features': shapes['toy.embed.weight'][0]}, input or SPEC, layers)

    def layers_of(module, input):
        return layers if isinstance(module, Toy) else None

    return types.SimpleNamespace(
        SIGNATURES=('toy.embed.weight',), recognise=recognise, layers_of=layers_of
    )


SPEC = InputSpec(height=8, width=8)


def test_a_new_family_is_one_line_in_the_table(tmp_path, monkeypatch):
    """Its files are recognised below any prefix, beside a head, and where `arch` names it."""
    monkeypatch.setitem(registry.VARIANTS, 'toy', registry.Variant(Toy, SPEC, 3 * 5 + 5))
    monkeypatch.setattr(families, 'FAMILIES', (*families.FAMILIES, toy_family()))
    weights = np.arange(21, dtype=np.float32).reshape(7, 3)
    state = {'module.toy.embed.weight': weights, 'module.toy.embed.bias': weights[:, 0].copy()}
    path = tmp_path / 'file.safetensors'
    safetensors.numpy.save_file({**state, 'head.weight': np.ones(2, np.float32)}, path)
    found = open_target(path)
    assert (found.architecture, found.config) == ('toy', {'features': 7})
    assert found.notes == ('set aside (not part of the backbone): head.weight',)
    np.testing.assert_array_equal(found.variables['params']['embed']['kernel'], weights.T)
    assert found.input == SPEC
    assert open_target(path, arch='toy').architecture == 'toy'


@pytest.mark.parametrize(
    ('name', 'norm', 'right', 'wrong'),
    [
        ('iresnet50', 'layer1.0.bn1', 1e-5, 2e-5),
        ('inception_resnet_v1', 'last_bn', 1e-3, 1e-5),
        ('vit_t', 'feature.1', 2e-5, 1e-5),
        ('vit_t', 'norm', 1e-5, 1e-6),
        ('edgeface_xxs', 'head.norm', 1e-6, 1e-5),
    ],
)
def test_an_epsilon_that_a_whole_module_tells(name, norm, right, wrong):
    """Each kind of norm has its own; the right one is no reason to refuse the file."""
    module, spec = registry.build(name), registry.VARIANTS[name].input
    tables = (family.layers_of(module, spec) for family in families.FAMILIES)
    match = Match(name, {}, spec, next(found for found in tables if found))
    assert norm in [layer.source for layer in match.layers]
    families.check_told(match, module, StateDict({}, options={f'{norm}.eps': right}), 'file')
    with pytest.raises(InputError) as caught:
        families.check_told(match, module, StateDict({}, options={f'{norm}.eps': wrong}), 'file')
    assert f'{wrong:g}' in caught.value.found
