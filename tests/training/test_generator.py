"""The generator's training: it learns, it goes on where it stopped, and its parts do what they say."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference import checkpointing, errors
from fr_inference.config import GeneratorRecipe
from fr_inference.data.faces import from_arrays
from fr_inference.models import stylegan2
from fr_inference.program_config import GeneratorNetwork
from fr_inference.training import augment, generator

NETWORKS = (
    stylegan2.Generator(4, z_dim=4, w_dim=4, channel_base=32, channel_max=8, mapping_layers=1),
    stylegan2.Discriminator(4, channel_base=32, channel_max=8),
)
RECIPE = GeneratorRecipe(images=64, batch_size=4, r1=0.1, r1_every=4, ema_images=20, seed=1)


@pytest.fixture(scope='module')
def faces():
    # Left half dark, right half bright, of some colour: easily told from noise.
    draw = np.random.default_rng(0)
    images = np.zeros((16, 4, 4, 3), np.uint8)
    images[:, :, 2:] = draw.integers(150, 255, (16, 1, 1, 3))
    return from_arrays(images, range(16))


def same(first, second):
    trees = (jax.tree.leaves(one.variables) for one in (first, second))
    leaves = zip(*trees, strict=True)
    return all(np.array_equal(a, b) for a, b in leaves)


@pytest.fixture(scope='module')
def trained(faces):
    told = []
    made = generator.train(
        RECIPE,
        *NETWORKS,
        faces,
        progress=lambda label, done, total, **metrics: told.append((done, total, metrics)),
    )
    return made, told


def test_variables(trained):
    made, told = trained
    variables = made.variables
    expected = jax.eval_shape(NETWORKS[0].init, jax.random.key(0), jnp.zeros((1, 4)))
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, expected)
    assert told[-1][:2] == (16, 16)
    assert set(told[-1][2]) == {'generator', 'discriminator', 'sign'}
    assert np.abs(variables['buffers']['w_avg']).max() > 0
    image = NETWORKS[0].apply(variables, jnp.ones((1, 4)))
    assert np.isfinite(image).all()


def test_what_is_recorded(trained, faces):
    made = trained[0]
    assert (made.name, made.module) == ('generator', NETWORKS[0])
    assert made.sha256 == checkpointing.digest(made.variables)
    assert made.recipe == {**dataclasses.asdict(RECIPE), 'faces': faces.name, 'count': 16}


def test_networks_of_the_same_widths():
    asked = GeneratorNetwork(
        resolution=4, z_dim=4, w_dim=4, channel_base=32, channel_max=8, mapping_layers=1
    )
    assert generator.networks(asked) == NETWORKS


class Stop(Exception):
    """Stands for a kill."""


def test_goes_on_to_the_same_result(trained, faces, tmp_path):
    def stop(seen, _variables):
        if seen == 32:
            raise Stop

    options = {'workdir': tmp_path, 'save_seconds': 0}
    with pytest.raises(Stop):
        generator.train(RECIPE, *NETWORKS, faces, sample=stop, sample_images=16, **options)
    assert list((tmp_path / 'state').iterdir())
    assert same(generator.train(RECIPE, *NETWORKS, faces, **options), trained[0])
    other = dataclasses.replace(RECIPE, seed=2)
    with pytest.raises(errors.InputError) as caught:
        generator.train(other, *NETWORKS, faces, **options)
    assert caught.value.field == str(tmp_path)
    assert 'recipe.seed (1 there, 2 here)' in caught.value.found


def test_a_run_ends_where_it_stands_and_goes_on_for_longer(trained, faces, tmp_path):
    short = dataclasses.replace(RECIPE, images=32)
    first = generator.train(short, *NETWORKS, faces, workdir=tmp_path)
    longer = generator.train(RECIPE, *NETWORKS, faces, workdir=tmp_path)
    assert same(longer, trained[0])
    assert not same(first, longer)
    ended = generator.train(short, *NETWORKS, faces, workdir=tmp_path)
    assert same(ended, longer)
    assert ended.recipe['images'] == RECIPE.images


def test_path_length_and_augmentation(trained, faces):
    recipe = dataclasses.replace(
        RECIPE, path_length=2.0, path_every=2, augmentation='differentiable'
    )
    changed = generator.train(recipe, *NETWORKS, faces)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(changed.variables))
    assert not same(changed, trained[0])


def test_bad_input(faces):
    def refused(call, *arguments, **options):
        with pytest.raises(errors.InputError) as caught:
            call(*arguments, **options)
        return caught.value.field, caught.value.found

    def train(discriminator=NETWORKS[1], **change):
        recipe = dataclasses.replace(RECIPE, **change)
        return refused(generator.train, recipe, NETWORKS[0], discriminator, faces)

    assert train(batch_size=20) == (faces.name, '16 images')
    assert train(batch_size=6) == ('batch_size', '6')  # the discriminator compares groups of 4
    other = stylegan2.Discriminator(8, channel_base=64, channel_max=8)
    assert train(other) == ('resolution', '4 and 8')
    assert refused(GeneratorRecipe, augmentation='ada') == ('augmentation', "'ada'")
    assert refused(GeneratorRecipe, style_mixing=2)[0] == 'style_mixing'


class TestAugment:
    def test_probability(self):
        images = jax.random.uniform(jax.random.key(0), (400, 8, 8, 3), minval=-1, maxval=1)
        key = jax.random.key(1)
        changed = jax.jit(augment.augment)(key, images, 0.3)
        share = float((jnp.abs(changed - images).max((1, 2, 3)) > 0).mean())
        assert share == pytest.approx(0.3, abs=0.08)
        np.testing.assert_array_equal(augment.augment(key, images, 0.0), images)

    def test_gradient_passes(self):
        images = jax.random.uniform(jax.random.key(0), (4, 8, 8, 3))
        slope = jax.grad(lambda x: augment.augment(jax.random.key(1), x, 1.0).sum())(images)
        assert np.isfinite(slope).all()
        assert float(jnp.abs(slope).sum()) > 0

    def test_adapts(self):
        now = jnp.asarray(0.5)
        assert augment.adapt(now, jnp.asarray(0.9), 1000) == pytest.approx(0.502)
        assert augment.adapt(now, jnp.asarray(0.1), 1000) == pytest.approx(0.498)
        assert augment.adapt(jnp.asarray(0.0), jnp.asarray(0.1), 1000) == 0
