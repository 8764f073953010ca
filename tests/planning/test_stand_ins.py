"""Numbers and names in place of data: the shapes are those of the real thing."""

import jax
import numpy as np
import pytest

from fr_inference import errors
from fr_inference.models import registry, stylegan2
from fr_inference.planning import stand_ins
from fr_inference.planning.stand_ins import Amount
from fr_inference.weights.targets import open_target


def alike(abstract, real):
    assert jax.tree.structure(abstract) == jax.tree.structure(real)
    for one, other in zip(jax.tree.leaves(abstract), jax.tree.leaves(real), strict=True):
        assert (one.shape, one.dtype) == (np.shape(other), other.dtype)
        assert isinstance(one, jax.ShapeDtypeStruct)


def test_faces_that_are_there_are_counted():
    assert stand_ins.faces('procedural:easy,images=2,people=8', 'members') == Amount(16, 8)


@pytest.mark.parametrize('value', ['10:11', '0', '1e3', '/nowhere'])
def test_what_is_no_number_of_faces(value):
    with pytest.raises(errors.InputError) as raised:
        stand_ins.faces(value, 'members')
    assert raised.value.field == 'members'


def test_a_checkpoint_keeps_its_shapes_alone():
    real = open_target('demo_few')
    found = stand_ins.backbone('demo_few', 'target')
    alike(found.variables, real.variables)
    assert (found.architecture, found.input) == (real.architecture, real.input)


def test_an_architecture_is_a_checkpoint_without_weights():
    with jax.numpy_dtype_promotion('standard'):  # Flax mixes bfloat16 and float32
        found = stand_ins.backbone('tiny', 'target', dtype='bfloat16', changes={'colour': 'bgr'})
    module = registry.build('tiny')
    alike(found.variables, registry.init(module, found.input, jax.random.key(0)))
    assert found.input.colour == 'bgr'
    assert stand_ins.narrow(found)
    assert not stand_ins.narrow(stand_ins.backbone('tiny', 'target'))


def test_a_resolution_is_a_generator_without_weights():
    found = stand_ins.generator('8')
    assert isinstance(found.module, stylegan2.Generator)
    module = stylegan2.Generator(8)
    real = jax.jit(module.init)(jax.random.key(0), np.zeros((1, module.z_dim), np.float32))
    alike(found.variables, real)
    assert stand_ins.narrow(found)  # as NVIDIA's networks, in half precision


@pytest.mark.parametrize('value', ['2', '48', '2048', '/nowhere'])
def test_what_is_no_generator(value):
    with pytest.raises(errors.InputError) as raised:
        stand_ins.generator(value)
    assert raised.value.field == 'generator'
