"""Native generators: what is written is read, and what is damaged or hostile is one line."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference import checkpointing, errors
from fr_inference.models import stylegan2
from fr_inference.weights import generators, native_folders
from tests.weights import old_folders


@pytest.fixture(scope='module')
def trained():
    module = stylegan2.Generator(
        8, z_dim=4, w_dim=4, channel_base=64, channel_max=8, mapping_layers=1
    )
    variables = jax.device_get(jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 4))))
    return stylegan2.Trained(
        name='small',
        module=module,
        variables=variables,
        sha256=checkpointing.digest(variables),
        recipe={'images': 5},
    )


@pytest.fixture
def folder(trained, tmp_path):
    generators.save_generator(tmp_path / 'g', trained)
    return tmp_path / 'g'


def test_round_trip(trained, folder):
    found = generators.open_generator(folder)
    assert found.module == trained.module
    assert found.name == 'small'
    assert found.recipe == {'images': 5}
    assert found.sha256 == trained.sha256
    for ours, theirs in zip(
        jax.tree.leaves(found.variables), jax.tree.leaves(trained.variables), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_of_half_the_size(trained, tmp_path):
    half = jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), trained.variables)
    generators.save_generator(tmp_path, dataclasses.replace(trained, variables=half))
    found = generators.open_generator(tmp_path)
    assert found.sha256 == checkpointing.digest(half)
    for ours, stored in zip(jax.tree.leaves(found.variables), jax.tree.leaves(half), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, stored.astype(np.float32))


def change(folder, **values):
    path = folder / 'generator.json'
    options = json.loads(path.read_text())['stylegan2']
    old_folders.change(path, stylegan2=options | values)


def refused(source, field='generator'):
    with pytest.raises(errors.InputError) as caught:
        generators.open_generator(source, field=field)
    assert caught.value.field == field
    assert '\n' not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ('values', 'inside', 'found'),
    [
        ({'resolution': 7}, 'resolution', '7'),
        ({'resolution': 16}, 'variables.safetensors', '16 missing'),
        ({'z_dim': 10**9}, 'z_dim', '1000000000'),
        ({'mapping_layers': True}, 'mapping_layers', 'True'),
        ({'clamp': float('inf')}, 'generator.json', 'the number Infinity'),
        ({'clamp': 10**400}, 'clamp', '1' + '0' * 79),
        ({'clamp': -1}, 'clamp', '-1'),
        ({'clamp': True}, 'clamp', 'True'),
        ({'parent': None}, 'hyper-parameter', "'parent'"),
    ],
)
def test_hostile_descriptions(folder, values, inside, found):
    change(folder, **values)
    error = refused(folder)
    assert error.inside.endswith(inside)
    assert found in error.found


def test_no_generator(folder, tmp_path):
    (folder / 'generator.json').write_text('[]')
    assert refused(folder).found == 'list'
    assert refused(tmp_path).found == 'a directory without generator.json'
    error = refused('nowhere', 'other')
    assert (error.found, error.inside) == ("'nowhere', which does not exist", '')
    assert 'demo_generator' in error.expected
    assert refused('').found == "'', which does not exist"


def test_damaged_weights(folder):
    file = folder / 'variables.safetensors'
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    error = refused(folder)
    assert error.inside == str(file)
    assert 'SHA-256' in error.found


def test_earlier_versions(trained, folder):
    """Read, with a line that says how to convert; written again, of today's form."""
    old_folders.age(folder, 'generator.json', trained.variables)
    found = generators.open_generator(folder)
    assert found.sha256 == trained.sha256
    assert found.notes == (native_folders.OLD_FORMAT,)
    generators.save_generator(folder, found)
    assert sorted(path.name for path in folder.iterdir()) == [
        'generator.json',
        'variables.safetensors',
    ]
    again = generators.open_generator(folder)
    assert (again.sha256, again.notes) == (trained.sha256, ())
