"""What comes with the package, targets and a generator: it opens, is small, and names no machine."""

import re

import jax
import numpy as np
import pytest

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


def test_weights_take_a_few_megabytes_at_most():
    for name in (*opening.embedded_names(), *generators.embedded_names()):
        files = (opening.EMBEDDED / name).rglob('variables/**/*')
        most = 4_700_000 if name == 'demo_evaluator' else 3_000_000
        assert 0 < sum(file.stat().st_size for file in files if file.is_file()) <= most, name


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
