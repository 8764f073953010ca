import jax
import numpy as np
import pytest

from fr_inference import errors
from fr_inference.defending import folding
from fr_inference.models import registry
from fr_inference.models.answers import Answers
from fr_inference.weights import rules, state_dict_export
from fr_inference.weights.targets import open_target

SMALL = {
    'iresnet18': {'depths': [1, 1, 1, 1], 'width': 8, 'embedding': 16},
    'ir50': {'depths': [1, 1, 1, 1]},
    'mobilefacenet_prelu': {},
    'vit_t': {'depth': 1},
}


def drawn(architecture):
    module = registry.build(architecture, **SMALL[architecture])
    shapes = registry.abstract_variables(module, registry.VARIANTS[architecture].input)
    generator = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: generator.uniform(0.1, 1, leaf.shape).astype(np.float32), shapes
    )
    return registry.make_target(architecture, variables, config=SMALL[architecture])


def epsilons(target):
    return {'/'.join(one.path): one.epsilon for one in folding.layers(target)}


@pytest.mark.parametrize('architecture', SMALL)
def test_what_is_written_is_read_the_same(architecture, tmp_path):
    target = drawn(architecture)
    written = state_dict_export.state_dict(target, epsilons(target))
    state_dict_export.save(tmp_path / 'w.safetensors', written)
    read = open_target(tmp_path / 'w.safetensors')
    assert registry.build(read.architecture, **read.config) == target.module
    expected = rules.by_path(target.variables)
    found = rules.by_path(read.variables)
    assert found.keys() == expected.keys()
    for path, leaf in expected.items():
        np.testing.assert_array_equal(found[path], leaf)


def test_a_folded_network_computes_the_same_there(tmp_path):
    target = open_target('demo_few')
    made, _ = folding.fold(target)
    written = state_dict_export.state_dict(made, epsilons(target))
    state_dict_export.save(tmp_path / 'w.safetensors', written)
    read = open_target(tmp_path / 'w.safetensors', input={'height': 32, 'width': 32})
    assert all(
        (leaf == 0).all()
        for path, leaf in rules.by_path(read.variables).items()
        if path.endswith('/mean')
    )
    images = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(
        read.apply(read.variables, images),
        target.apply(target.variables, images),
        rtol=1e-3,
        atol=1e-4,
    )


def test_changed_answers_have_no_place_in_a_state_dict():
    target = registry.remade(open_target('demo_few'), answers=Answers(noise=1.0))
    with pytest.raises(errors.InputError) as raised:
        state_dict_export.state_dict(target, {})
    assert raised.value.field == 'state_dict'
