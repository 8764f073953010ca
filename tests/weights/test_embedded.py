"""What comes with the package: it opens, is small, names no machine, and the leak is found."""

import json
import re

import jax
import numpy as np
import pytest

import fr_inference
from fr_inference import checkpointing, files
from fr_inference.weights import generators, native_targets
from fr_inference.weights import targets as opening


def test_names():
    assert opening.embedded_names() == ['demo_easy', 'demo_evaluator', 'demo_few', 'demo_leaky']


@pytest.mark.parametrize(
    ('name', 'images'), [('demo_leaky', 128 * 4), ('demo_easy', 512 * 8), ('demo_few', 32 * 16)]
)
def test_opens_with_the_list_of_its_training_images(name, images):
    target = opening.open_target(name)
    assert (target.name, target.architecture) == (name, 'iresnet18')
    assert target.recipe['images'] == images
    assert len(set(native_targets.read_members(opening.locate(name)))) == images


def test_descriptions_and_lists_are_sealed():
    for name in (*opening.embedded_names(), *generators.embedded_names()):
        (file,) = (opening.EMBEDDED / name).glob('*.json')
        record = json.loads(file.read_text())
        assert record == files.sealed(record), name
        listed = (opening.EMBEDDED / name / 'members.csv').exists()
        assert list(record.get('files_sha256', {})) == ['members.csv'] * listed


def test_weights_take_a_few_megabytes_at_most():
    for name in (*opening.embedded_names(), *generators.embedded_names()):
        most = {'demo_evaluator': 4_700_000, 'lfw_generator': 8_000_000}.get(name, 3_000_000)
        assert 0 < (opening.EMBEDDED / name / 'variables.safetensors').stat().st_size <= most, name


def test_no_other_files():
    """One file of weights a network: no Orbax folder is left."""
    found = {path.name for path in opening.EMBEDDED.rglob('*') if path.is_file()}
    assert found == {'target.json', 'generator.json', 'variables.safetensors', 'members.csv'}


DIGESTS = {
    'demo_easy': '492fe7ce74718e49d67f4d27973fa54b94c1d7bf532ce691cd0b2691c2c0df99',
    'demo_evaluator': '9eda7669c30e8462cad69c573142a2c3d2bc87a2d184b8660d8048712879a681',
    'demo_few': '11a2ae4c7c1525b4c632791e6510e51ec726ce102fb587c2edd07a1697ad5f69',
    'demo_leaky': 'c36de6d9e279660243dca2dd9a8b2f7f5cf224f9bcef1b6d8fb5c508a30e771b',
    'demo_generator': '2edfc166f95efc75cd5f8a8b28d28a4668fc5e04987da2e15665ac3052c14618',
    'lfw_generator': 'fec44bb8e858ab1f3481bd09c3d3cbe9c050e4a28f2c84d9650d04bedba30dca',
}


@pytest.mark.parametrize('name', DIGESTS)
def test_weights_are_those_that_were_trained(name):
    """Their digests from before they were converted from Orbax."""
    opened = (
        generators.open_generator(name)
        if name in generators.embedded_names()
        else opening.open_target(name)
    )
    stored = opened.variables
    if name == 'lfw_generator':  # kept in half of the size
        stored = jax.tree.map(lambda leaf: leaf.astype(np.float16), stored)
    assert opened.sha256 == checkpointing.digest(stored) == DIGESTS[name]
    assert opened.notes == ()


def test_the_generator_draws_different_faces():
    found = generators.open_generator('demo_generator')
    z = np.random.default_rng(0).standard_normal((8, found.module.z_dim), np.float32)
    images = np.asarray(jax.jit(found.module.apply)(found.variables, z))
    assert images.shape == (8, 32, 32, 3)
    assert 0.1 < np.std(images) < 1
    assert np.std(images, axis=0).mean() > 0.1


def test_no_file_names_the_machine_it_was_made_on():
    for file in opening.EMBEDDED.rglob('*'):
        if file.is_file():
            assert not re.search(rb'/runs/|successful to /', file.read_bytes()), file


SPEC = 'procedural:hard,images=4,seed=1,people=128'


@pytest.fixture(scope='module')
def comparisons():
    found = fr_inference.audit(
        'demo_leaky',
        members=SPEC,
        nonmembers=f'{SPEC},first=128',
        settings=fr_inference.Settings(replicates=200),
    )
    return {comparison.key: comparison for comparison in found.comparisons}


def test_the_leak_is_found(comparisons):
    assert comparisons['bn-distance/partial'].figures['auc'] >= 0.85
    assert comparisons['combined-file/partial'].figures['auc'] >= 0.9
    assert comparisons['combined-answers/strangers'].figures['auc'] >= 0.8
    assert comparisons['people/partial'].figures['auc'] >= 0.95


def test_the_controls_find_nothing(comparisons):
    found = comparisons['bn-distance/partial']
    low, high = found.null['auc_ci95']
    assert low <= 0.5 <= high
    assert found.blind['auc'] < 0.65
    assert found.valid
