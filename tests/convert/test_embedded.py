"""The targets that come with the package: they open, are small, and name no machine."""

import pytest

from fr_inference import checkpoint
from fr_inference.convert import open as opening


def test_names():
    assert opening.embedded_names() == ['demo_easy', 'demo_leaky']


@pytest.mark.parametrize(('name', 'images'), [('demo_leaky', 128 * 4), ('demo_easy', 512 * 8)])
def test_opens_with_the_list_of_its_training_images(name, images):
    target = opening.open_target(name)
    assert (target.name, target.architecture) == (name, 'iresnet18')
    assert target.recipe['images'] == images
    assert len(set(checkpoint.read_members(opening.locate(name)))) == images


def test_weights_take_three_megabytes_at_most():
    files = opening.EMBEDDED.glob('*/variables/**/*')
    assert sum(file.stat().st_size for file in files if file.is_file()) <= 3_000_000


def test_no_file_names_the_machine_it_was_made_on():
    for file in opening.EMBEDDED.rglob('*'):
        if file.is_file():
            assert b'/runs/demo' not in file.read_bytes(), file
