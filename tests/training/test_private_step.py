"""A private step against loops of NumPy: clipping, sensitivity, noise, and the step of a network."""

import dataclasses
import functools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference import devices
from fr_inference.config import Recipe
from fr_inference.data import sources
from fr_inference.models.target import InputSpec
from fr_inference.training import margin as margins
from fr_inference.training import private, private_step, recognizer, records
from fr_inference.training.private_step import Mechanism

CLIP = 0.7
STILL = frozenset({('still',)})


def drawn(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def squares(weights, unit):
    """(x . w - label)^2 / 2 of a unit's images, their mean."""
    images, label, present = unit
    given = images @ weights['free']['kernel'] + images[:, 0] * weights['still']['kernel']
    share = present.astype(jnp.float32) / jnp.maximum(present.sum(), 1).astype(jnp.float32)
    return share @ (given - label) ** 2 / 2, share @ (given > 0).astype(jnp.float32)


WEIGHTS = {'free': {'kernel': drawn(0, 5)}, 'still': {'kernel': np.float32(0.3)}}


def units(count, seed=1):
    """[count, 3, 5] images of units, of which each has one to three; the last unit is absent."""
    images = drawn(seed, count, 3, 5)
    images[0] /= 100  # a gradient that is not clipped
    labels = drawn(seed + 1, count)
    present = np.arange(3)[None, :] <= np.arange(count)[:, None] % 3
    present[-1] = False
    return images, labels, present


def by_hand(images, labels, present):
    """The clipped sum, unit by unit."""
    free, still = WEIGHTS['free']['kernel'], WEIGHTS['still']['kernel']
    total, clipped = np.zeros(5), []
    for own, label, there in zip(images, labels, present, strict=True):
        if there.any():
            x = own[there].astype(np.float64)
            error = x @ free + x[:, 0] * still - label
            gradient = (error[:, None] * x).mean(0)
            norm = np.linalg.norm(gradient)
            clipped.append(norm > CLIP)
            total += gradient * min(1, CLIP / norm)
    return total, clipped


summed = jax.jit(functools.partial(private_step.clipped_sum, squares, CLIP, STILL, 16))


def difference(first, second):
    return np.sqrt(
        sum(
            np.square(np.asarray(one, np.float64) - np.asarray(two, np.float64)).sum()
            for one, two in zip(*map(jax.tree.leaves, (first, second)), strict=True)
        )
    )


@pytest.mark.parametrize('count', [4, 34])  # in one chunk, in two
def test_the_clipped_sum(count):
    gradient, figures = summed(WEIGHTS, units(count))
    expected, clipped = by_hand(*units(count))
    assert any(clipped)
    assert not all(clipped)
    np.testing.assert_allclose(gradient['free']['kernel'], expected, rtol=1e-4, atol=1e-5)
    assert gradient['still']['kernel'] == 0
    assert figures[2] == count - 1


@pytest.mark.parametrize('factor', [1.0, 1e-3, 1e4])
def test_a_unit_more_or_less_changes_the_sum_by_the_norm_at_most(factor):
    """Whatever its images are, one or three; and by no less where its gradient is long."""
    images, labels, present = units(6)
    images[2] *= factor
    without = present.copy()
    without[2] = False
    with_it, less = (summed(WEIGHTS, (images, labels, there))[0] for there in (present, without))
    moved = difference(with_it, less)
    assert moved <= CLIP * (1 + 1e-4)
    assert (moved > 0.99 * CLIP) == (factor > 1e-2)


def test_noise_is_normal_and_of_the_secret_and_the_step():
    like = {'a': jnp.zeros((200, 50)), 'b': jnp.zeros(200)}
    secret = np.array([1, 2, 3, 4], np.uint32)
    noise = jax.jit(functools.partial(private_step.noise_like, like))
    first = noise(secret, 3)
    values = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(first)])
    assert abs(values.mean()) < 0.04
    assert values.std() == pytest.approx(1, abs=0.03)
    assert abs(np.corrcoef(np.asarray(first['a'])[:, 0], first['b'])[0, 1]) < 0.3
    assert difference(first, noise(secret, 3)) == 0
    for other in (noise(secret, 4), noise(secret + np.uint32(1), 3)):
        assert difference(first, other) > 100


@pytest.mark.parametrize(
    ('units', 'size', 'rows'), [(1, 2, 2), (5, 1, 6), (18, 2, 18), (70, 2, 72)]
)
def test_padding_is_small_and_even(units, size, rows):
    """In chunks of 4, or fewer, on each of the CPUs."""
    assert private_step.padded(units, devices.training_mesh(size)) == rows


SPEC = 'procedural:easy,people=6,images=4,size=16,seed=2'
INPUT = InputSpec(height=16, width=16)
RECIPE = Recipe(
    epochs=2,
    batch_size=6,
    learning_rate=0.05,
    seed=3,
    noise_multiplier=0.5,
    noise_seed=9,
    privacy_unit='person',
)


@pytest.fixture(scope='module')
def faces():
    return sources.open_faces(SPEC)


@pytest.fixture(scope='module')
def start():
    return recognizer.fresh_target('tiny', {'width': 4, 'norm': 'group'}, INPUT, seed=1)


def test_the_step_of_a_network(start):
    """Two people of two images on two devices, without noise: SGD along the clipped sum, by a loop."""
    recipe = dataclasses.replace(
        RECIPE, momentum=0.0, weight_decay=0.0, mirror=False, warmup=0.0, clip_norm=2.0
    )
    mesh = devices.training_mesh(2)
    assert mesh.size == 2
    step, state = recognizer.first_step(
        *(recipe, start), classes=6, per_epoch=3, mesh=mesh, mechanism=Mechanism(2.0, 0.0, 1.5)
    )
    images = np.random.default_rng(0).integers(0, 256, (2, 2, 16, 16, 3), np.uint8)
    labels = np.array([4, 1], np.int32)
    batch = images, labels, np.zeros((2, 2), np.int32), np.ones((2, 2), bool)
    before = {**state.params, 'centres': np.asarray(state.centres)}

    @jax.jit
    @jax.value_and_grad
    def gradient_of(weights, pixels, label):
        params = {name: value for name, value in weights.items() if name != 'centres'}
        embeddings = start.module.apply({'params': params}, pixels)
        cosine = margins.cosines(embeddings, weights['centres'])
        own = jnp.full(2, label)
        return margins.cross_entropy(
            margins.logits(cosine, own, margins.chosen(recipe)), own
        ).mean()

    total, norms, losses = jax.tree.map(np.zeros_like, before), [], []
    for own, label in zip(images, labels, strict=True):
        loss, gradient = gradient_of(before, (own.astype(np.float32) - 127.5) / 127.5, label)
        gradient = jax.tree.map(np.array, gradient)
        gradient['features']['scale'][:] = 0  # stays
        losses.append(float(loss))
        norms.append(np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(gradient))))
        factor = min(1, 2 / norms[-1])
        total = jax.tree.map(lambda leaf, more, f=factor: leaf + f * more, total, gradient)
    assert min(norms) > 2
    expected = jax.tree.map(lambda leaf, more: leaf - 0.05 * more / 1.5, before, total)
    split = devices.batch_on_mesh(lambda rows: tuple(leaf[rows] for leaf in batch), 2, mesh)
    state = devices.on_mesh(state, mesh)
    for _ in range(2):  # the rate rises from 0: the first step changes nothing
        state, metrics = step(state, split, np.int32(recipe.seed))
    found = {**state.params, 'centres': state.centres}
    assert difference(before, found) > 0.01
    assert difference(expected, found) < 1e-3 * difference(before, found)
    assert float(metrics['loss']) == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.fixture(scope='module')
def whole(faces, start):
    return recognizer.train(RECIPE, start, faces)


class StopHereError(Exception):
    """Stands for whatever ends a run early."""


class TestTraining:
    def test_stopped_and_resumed_is_the_same(self, faces, start, whole, tmp_path):
        def stop(label, done, total, **metrics):
            raise StopHereError

        with pytest.raises(StopHereError):
            recognizer.train(RECIPE, start, faces, workdir=tmp_path, save_seconds=-1, progress=stop)
        states = sorted(path.name for path in (tmp_path / 'state').glob('step_*'))
        assert states[-1] == 'step_000000007'
        resumed = recognizer.train(RECIPE, start, faces, workdir=tmp_path)
        assert resumed.sha256 == whole.sha256
        assert resumed.recipe == whole.recipe

    def test_draws_are_of_a_secret_that_a_run_keeps(self, faces, start, whole, tmp_path):
        """A run that is stopped goes on with it, wherever its folder is."""
        recipe, told = dataclasses.replace(RECIPE, noise_seed=None), []

        def stop(*_, **metrics):
            told.append(metrics)
            raise StopHereError

        options = {'workdir': tmp_path / 'a', 'save_seconds': -1, 'progress': stop}
        with pytest.raises(StopHereError):
            recognizer.train(recipe, start, faces, **options)
        shutil.copytree(tmp_path / 'a', tmp_path / 'b')
        one, two = (
            recognizer.train(recipe, start, faces, workdir=tmp_path / name) for name in 'ab'
        )
        assert one.sha256 == two.sha256 != whole.sha256
        privacy = one.recipe['privacy']
        assert privacy['unit'] == 'person'
        assert privacy['delta'] == 1 / 6
        assert privacy['steps'] == 8
        assert privacy['images_of_a_person'] == 4
        made = private.plan(recipe, np.repeat(np.arange(6), 4), 6, 8)
        assert privacy['epsilon'] == told[0]['epsilon'] == made.epsilon(8) > 0
        assert whole.recipe['privacy']['epsilon'] is None

    def test_no_figure_of_the_training_images_is_recorded(self, whole):
        assert whole.recipe['loss'] is None
        assert whole.recipe['accuracy'] is None

    def test_a_shadow_takes_the_noise_and_not_the_secret(self, whole):
        recipe = records.recorded_recipe(
            {**whole.recipe, 'epsilon': 3.0, 'noise_multiplier': None}, seed=4
        )
        assert (recipe.epsilon, recipe.noise_multiplier) == (None, 0.5)
        assert recipe.noise_seed == recipe.seed == 4
        assert recipe.privacy_unit == 'person'
