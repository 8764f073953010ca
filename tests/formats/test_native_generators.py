"""Native generators: what is written is read, and what is damaged or hostile is one line."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference import checkpointing, errors
from fr_inference.models import stylegan2
from fr_inference.weights import generators


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


def change(folder, **values):
    path = folder / 'generator.json'
    record = json.loads(path.read_text())
    record['stylegan2'] |= values
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'resolution': 7}, 'resolution: found 7'),
        ({'resolution': 16}, 'weights do not fit'),
        ({'z_dim': 10**9}, 'z_dim: found 1000000000, expected a whole number from 1 to 4096'),
        ({'mapping_layers': True}, 'mapping_layers: found True'),
        ({'clamp': float('inf')}, 'the number Infinity'),
        ({'parent': None}, "hyper-parameter: found 'parent'"),
    ],
)
def test_hostile_descriptions(folder, values, message):
    change(folder, **values)
    with pytest.raises(errors.InputError, match=message):
        generators.open_generator(folder)


def test_no_generator(folder, tmp_path):
    (folder / 'generator.json').write_text('[]')
    with pytest.raises(errors.InputError, match='not a generator description'):
        generators.open_generator(folder)
    with pytest.raises(errors.InputError, match='without generator'):
        generators.open_generator(tmp_path)
    with pytest.raises(errors.InputError, match="--generator: 'nowhere' not found"):
        generators.open_generator('nowhere')
