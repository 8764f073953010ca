"""Sheets of samples and the log of Fréchet distances, which outlives an interruption."""

import json

import jax
import jax.numpy as jnp
import pytest
from PIL import Image

from fr_inference import files
from fr_inference.data import sources
from fr_inference.errors import InputError
from fr_inference.models import stylegan2
from fr_inference.training.sample_sheets import Sheets
from tests.experiments import targets

MODULE = stylegan2.Generator(8, z_dim=4, w_dim=4, channel_base=32, channel_max=4, mapping_layers=1)


@pytest.fixture(scope='module')
def variables():
    return jax.jit(MODULE.init)(jax.random.key(0), jnp.zeros((1, 4)))


@pytest.fixture(scope='module')
def faces():
    return sources.open_faces('procedural:easy,people=4,images=2,size=16')


def test_a_sheet_of_64_samples(tmp_path, variables, faces):
    sheets = Sheets(MODULE, faces, tmp_path)
    sheets(12, variables)
    with Image.open(tmp_path / 'samples_000000012.png') as image:
        assert image.size == (64, 64)
    trained = stylegan2.Trained(name='mine', module=MODULE, variables=variables, recipe={'r1': 1})
    assert sheets.recorded(trained) is trained
    assert not (tmp_path / 'frechet.json').exists()


def test_distances_outlive_an_interruption(tmp_path, variables, faces):
    embedder = targets.target_of(0)
    first = Sheets(MODULE, faces, tmp_path, embedder)
    first(100, variables)
    first(20, variables)
    again = Sheets(MODULE, faces, tmp_path, embedder)
    trained = stylegan2.Trained(name='mine', module=MODULE, variables=variables, recipe={'r1': 1})
    recipe = again.recorded(trained).recipe
    assert recipe == first.recorded(trained).recipe
    assert (recipe['r1'], recipe['embedder']) == (1, embedder.name)
    assert [row['images'] for row in recipe['frechet']] == [20, 100]
    assert recipe['frechet'][0]['frechet'] == recipe['frechet'][1]['frechet'] > 0


def test_a_damaged_log_is_one_line(tmp_path, faces):
    whole = json.dumps(files.sealed({'embedder': None, 'frechet': {'20': 1.5}}))
    for text in ('{"half', '[]', json.dumps({'frechet': {}}), whole.replace('1.5', '1.7')):
        (tmp_path / 'frechet.json').write_text(text)
        with pytest.raises(InputError) as caught:
            Sheets(MODULE, faces, tmp_path)
        assert caught.value.field.endswith('frechet.json')
        assert caught.value.hint == 'remove it'
