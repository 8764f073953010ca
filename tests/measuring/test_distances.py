"""Distances: against NumPy, one number per layer and image, and a backbone that stays as it is."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference.data import loader
from fr_inference.data.faces import BadImageError, concat
from fr_inference.errors import InputError
from fr_inference.measuring import distances, measurements
from tests.membership.backbones import (
    SIZE,
    Plain,
    Small,
    assert_same_bytes,
    noise_faces,
    target_of,
)


@pytest.fixture(scope='module')
def target():
    return target_of(Small(), mean=(100.0, 110.0, 120.0), std=(50.0, 60.0, 70.0))


@pytest.fixture(scope='module')
def faces():
    return noise_faces(5)


def pixels(faces):
    return np.stack([faces.read(index) for index in range(len(faces))])


def by_hand(target, image):
    """`Small` in NumPy at double precision: (distances [2], embedding [5])."""
    tree = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), target.variables)
    params, statistics = tree['params'], tree['batch_stats']
    x = (image - np.array(target.input.mean)) / np.array(target.input.std)
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    maps = np.zeros((SIZE, SIZE, 4)) + params['conv']['bias']
    for row in range(3):
        for column in range(3):
            window = padded[row : row + SIZE, column : column + SIZE]
            maps += window @ params['conv']['kernel'][row, column]

    def normalised(x, name):
        own = statistics[name]
        y = (x - own['mean']) / np.sqrt(own['var'] + 1e-5)
        return y * params[name].get('scale', 1) + params[name]['bias']

    def distance(x, name):
        own = statistics[name]
        pooled = x if x.ndim == 1 else x.mean((0, 1))
        return (((pooled - own['mean']) ** 2) / (own['var'] + 1e-5)).sum()

    hidden = np.tanh(normalised(maps, 'bn')).mean((0, 1))
    vector = hidden @ params['fc']['kernel'] + params['fc']['bias']
    found = np.array([distance(maps, 'bn'), distance(vector, 'features')])
    return found, normalised(vector, 'features')


class TestValues:
    def test_against_numpy(self, target, faces):
        measured = measurements.measure(target, faces)
        assert measured.layers == ('bn', 'features')
        assert measured.distances.dtype == measured.embeddings.dtype == np.float32
        for row, image in enumerate(pixels(faces)):
            expected, embedding = by_hand(target, image.astype(np.float64))
            np.testing.assert_allclose(measured.distances[row], expected, rtol=1e-5)
            np.testing.assert_allclose(measured.embeddings[row], embedding, rtol=1e-5, atol=1e-5)

    def test_vmapped_is_one_by_one(self, target, faces):
        images = target.input.normalize(jnp.asarray(pixels(faces)))
        one = functools.partial(distances.of_image, target.apply, target.variables)
        together, alone = jax.jit(jax.vmap(one))(images), jax.jit(one)
        for row, image in enumerate(images):
            for whole, single in zip(together, alone(image), strict=True):
                np.testing.assert_allclose(whole[row], single, rtol=1e-5, atol=1e-6)

    def test_mirror(self, target, faces):
        flipped = dataclasses.replace(faces, read=lambda index: faces.read(index)[:, ::-1])
        expected = measurements.measure(target, flipped)
        found = measurements.measure(target, faces, mirror=True)
        np.testing.assert_array_equal(found.distances, expected.distances)
        assert (found.distances != measurements.measure(target, faces).distances).any()

    def test_half_precision_keeps_distances_in_float32(self, faces):
        class Half(nn.Module):
            @nn.compact
            def __call__(self, x):
                x = nn.Conv(4, (3, 3), dtype=jnp.bfloat16)(x)
                x = nn.BatchNorm(use_running_average=True, dtype=jnp.bfloat16)(x)
                return x.mean((1, 2))

        with jax.numpy_dtype_promotion('standard'):  # Linen's own BatchNorm mixes the two
            measured = measurements.measure(target_of(Half()), faces)
        assert measured.distances.dtype == measured.embeddings.dtype == np.float32
        assert (measured.distances > 0).all()


class TestBatches:
    """Neither padding nor batch size nor devices change a measurement."""

    def test_padding_changes_not_a_bit(self, target):
        eight = noise_faces(8)
        padded = measurements.measure(target, eight.select(range(5)), batch_size=4)
        full = measurements.measure(target, eight, batch_size=4)
        assert len(padded) == 5
        assert_same_bytes(padded.distances, full.distances[:5])
        assert_same_bytes(padded.embeddings, full.embeddings[:5])

    @pytest.mark.parametrize(('batch_size', 'devices'), [(1, 1), (3, 1), (2, 2), (64, 2)])
    def test_batch_size_and_devices(self, target, faces, batch_size, devices):
        expected = measurements.measure(target, faces, batch_size=4)
        found = measurements.measure(
            target, faces, batch_size=batch_size, on=jax.local_devices()[:devices]
        )
        np.testing.assert_array_equal(found.index, np.arange(5))
        np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-5)
        np.testing.assert_allclose(found.embeddings, expected.embeddings, rtol=1e-5, atol=1e-6)

    def test_neighbours_do_not_matter(self, target, faces):
        order = [3, 0, 4]
        among = measurements.measure(target, concat([noise_faces(3, seed=9), faces.select(order)]))
        alone = measurements.measure(target, faces)
        np.testing.assert_allclose(among.distances[3:], alone.distances[order], rtol=1e-5)

    def test_skipped_images(self, target, faces):
        def read(index):
            if index in (0, 3):
                raise BadImageError(f'faces#{index}: broken')
            return faces.read(index)

        broken = dataclasses.replace(faces, read=read)
        with pytest.raises(BadImageError, match='faces#0: broken'):
            measurements.measure(target, broken)
        told = []
        found = measurements.measure(
            target, broken, skip_bad=True, batch_size=2, progress=lambda *call: told.append(call)
        )
        assert found.index.tolist() == [1, 2, 4]
        assert found.identities == ('faces1', 'faces2', 'faces4')
        assert found.skipped == (('faces#0', 'faces#0: broken'), ('faces#3', 'faces#3: broken'))
        expected = measurements.measure(target, faces).distances[[1, 2, 4]]
        np.testing.assert_allclose(found.distances, expected, rtol=1e-5)
        assert [call[0] for call in told] == ['measuring'] * 2
        assert told[-1][1:] == (5, 5)
        with pytest.raises(InputError) as caught:
            measurements.measure(target, broken.select([0, 3]), skip_bad=True)
        assert (caught.value.field, caught.value.found) == ('faces', 'no readable image among 2')

    def test_select(self, target, faces):
        measured = measurements.measure(target, faces)
        for rows in ([2, 4], np.array([False, False, True, False, True])):
            part = measurements.select(measured, rows)
            assert part.identities == ('faces2', 'faces4')
            np.testing.assert_array_equal(part.distances, measured.distances[[2, 4]])
            np.testing.assert_array_equal(part.embeddings, measured.embeddings[[2, 4]])
            assert part.index.tolist() == [2, 4]


class TestFrozen:
    def test_measuring_leaves_every_variable_as_it_is(self, target, faces):
        before = jax.tree.map(np.array, target.variables)
        measurements.measure(target, faces)
        distances.of_image(target.apply, target.variables, jnp.ones((SIZE, SIZE, 3), jnp.float32))
        assert_same_bytes(before, target.variables)
        # Nor does what was measured depend on what was measured before.
        first, second = (measurements.measure(target, faces) for _ in range(2))
        assert_same_bytes(first.distances, second.distances)

    def test_training_mode_is_an_error(self, target, faces):
        def training(variables, images):
            return Small().apply(variables, images, train=True, mutable=['batch_stats'])[0]

        before = jax.tree.map(np.array, target.variables)
        with pytest.raises(InputError) as caught:
            measurements.measure(dataclasses.replace(target, apply=training), faces)
        assert (caught.value.field, caught.value.inside) == ('apply', 'bn')
        assert 'training mode' in caught.value.found
        assert_same_bytes(before, target.variables)

    @pytest.mark.parametrize('how', ['attribute', 'keyword', 'position'])
    @pytest.mark.parametrize('frozen', [True, False])
    def test_however_the_mode_is_given(self, how, frozen):
        class Mode(nn.Module):
            @nn.compact
            def __call__(self, x):
                if how == 'attribute':
                    return nn.BatchNorm(use_running_average=frozen)(x).mean((1, 2))
                if how == 'keyword':
                    return nn.BatchNorm()(x=x, use_running_average=frozen).mean((1, 2))
                return nn.BatchNorm()(x, frozen).mean((1, 2))

        def apply(variables, images):
            return Mode().apply(variables, images, mutable=['batch_stats'])[0]

        variables = Mode().init(jax.random.key(0), jnp.ones((1, 4, 4, 3), jnp.float32))
        image = jnp.ones((4, 4, 3), jnp.float32)
        if frozen:
            assert distances.of_image(apply, variables, image)[0].shape == (1,)
        else:
            with pytest.raises(InputError) as caught:
                distances.of_image(apply, variables, image)
            assert (caught.value.field, caught.value.inside) == ('apply', 'BatchNorm_0')
            assert 'use_running_average=True' in caught.value.expected


class TestLayers:
    def test_names_come_in_the_order_of_the_computation(self, target):
        assert distances.layer_names(target) == ('bn', 'features')
        assert distances.layer_names(target) == ('bn', 'features')  # not remembered by JAX

    def test_a_layer_called_twice_has_two_names(self, faces):
        class Shared(nn.Module):
            @nn.compact
            def __call__(self, x):
                norm = nn.BatchNorm(use_running_average=True, name='bn')
                return nn.BatchNorm(use_running_average=True)(norm(jnp.sin(norm(x)))).mean((1, 2))

        measured = measurements.measure(target_of(Shared()), faces)
        assert measured.layers == ('bn', 'bn#2', 'BatchNorm_0')
        assert (measured.distances[:, 0] != measured.distances[:, 1]).all()

    def test_without_batch_norm_embeddings_are_left(self, faces):
        measured = measurements.measure(target_of(Plain()), faces)
        assert measured.layers == ()
        assert measured.distances.shape == (5, 0)
        assert measured.embeddings.shape == (5, 6)

    def test_channels_first_is_an_error(self, faces):
        class First(nn.Module):
            @nn.compact
            def __call__(self, x):
                return nn.BatchNorm(use_running_average=True, axis=1)(x).mean((1, 2))

        with pytest.raises(InputError) as caught:
            measurements.measure(target_of(First()), faces)
        assert caught.value.inside == 'BatchNorm_0'
        assert 'axis 1' in caught.value.found

    def test_a_compiled_apply_hides_nothing(self, target, faces):
        """JAX remembers a compiled function's trace: no layer would be called the second time."""
        compiled = jax.jit(target.apply)
        compiled(target.variables, jnp.ones((1, SIZE, SIZE, 3), jnp.float32))
        found = measurements.measure(dataclasses.replace(target, apply=compiled), faces)
        assert found.layers == ('bn', 'features')
        expected = measurements.measure(target, faces)
        np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-5)

    def test_layers_out_of_reach_are_an_error_of_one_line(self, faces):
        class Block(nn.Module):
            @nn.compact
            def __call__(self, x):
                return nn.BatchNorm(use_running_average=True)(nn.Dense(3)(x))

        class Remat(nn.Module):
            @nn.compact
            def __call__(self, x):
                return nn.remat(Block)()(x).mean((1, 2))

        class Scanned(nn.Module):
            @nn.compact
            def __call__(self, x):
                repeated = nn.scan(
                    lambda block, x, _: (block(x), None),
                    variable_axes={'params': 0, 'batch_stats': 0},
                    split_rngs={'params': True},
                    length=2,
                )
                return repeated(Block(), x, None)[0].mean((1, 2))

        for module in (Remat(), Scanned()):
            with pytest.raises(InputError) as caught:
                measurements.measure(target_of(module), faces)
            assert caught.value.field == 'small'
            assert 'nn.remat, nn.scan' in caught.value.found


@pytest.mark.parametrize('where', [('params', 'fc', 'bias'), ('batch_stats', 'bn', 'mean')])
def test_features_that_are_not_finite(target, faces, where):
    variables = jax.tree.map(np.array, target.variables)
    kind, layer, name = where
    variables[kind][layer][name][0] = np.nan
    with pytest.raises(InputError) as caught:
        measurements.measure(dataclasses.replace(target, variables=variables), faces)
    assert caught.value.field == 'small'
    assert ' 5 of 5 images ' in caught.value.found
    assert caught.value.found.endswith(' faces#0')


class TestGradient:
    """Inversion follows the distances back to the image."""

    def test_against_finite_differences(self, target, faces):
        def total(image):
            found, _ = distances.of_image(target.apply, target.variables, image)
            return (jnp.arange(1, 3, dtype=jnp.float32) * found).sum()

        image = target.input.normalize(jnp.asarray(faces.read(0)))
        gradient = jax.jit(jax.grad(total))(image)
        assert np.isfinite(gradient).all()
        evaluate = jax.jit(total)
        generator, step = np.random.default_rng(0), 2e-2
        for _ in range(4):
            way = generator.normal(size=image.shape).astype(np.float32)
            ahead, back = (float(evaluate(image + sign * way)) for sign in (step, -step))
            slope = float((gradient * way).sum())
            assert slope == pytest.approx((ahead - back) / (2 * step), rel=1e-2, abs=1e-2)

    def test_finite_where_a_distance_is_zero(self):
        target = target_of(Small())
        variables = jax.tree.map(jnp.zeros_like, target.variables)
        image = jnp.zeros((SIZE, SIZE, 3), jnp.float32)

        def total(image):
            return distances.of_image(target.apply, variables, image)[0].sum()

        value, gradient = jax.jit(jax.value_and_grad(total))(image)
        assert value == 0
        assert np.isfinite(gradient).all()


class Deep(nn.Module):
    """Twelve normalisations, each of a map [N, 32, 32, 16]."""

    @nn.compact
    def __call__(self, x):
        for _ in range(12):
            x = nn.relu(nn.BatchNorm(use_running_average=True)(nn.Conv(16, (3, 3))(x)))
        return x.mean((1, 2))


def test_one_number_per_layer_and_image_is_kept():
    target = target_of(Deep(), size=32)
    batch = 4
    images = jax.ShapeDtypeStruct((batch, 32, 32, 3), jnp.float32)

    def measuring(variables, images):
        return jax.vmap(lambda image: distances.of_image(target.apply, variables, image))(images)

    def analysis(function):
        return jax.jit(function).lower(target.variables, images).compile().memory_analysis()

    shapes = jax.eval_shape(measuring, target.variables, images)
    assert [shape.shape for shape in shapes] == [(batch, 12), (batch, 16)]
    ours, bare = analysis(measuring), analysis(target.apply)
    assert ours.output_size_in_bytes <= 4 * batch * (12 + 16) + 64  # and a table of two pointers
    # Nor does anything wait in between: no more than the backbone itself needs and two maps.
    activation = 4 * batch * 32 * 32 * 16
    assert ours.temp_size_in_bytes < bare.temp_size_in_bytes + 2 * activation
    # What it would be if the layers' inputs were kept: the test above can fail.
    kept = analysis(
        lambda variables, images: Deep().apply(variables, images, capture_intermediates=True)
    )
    assert kept.output_size_in_bytes > 12 * activation


def test_batches_are_decoded_no_further_than_needed(target, monkeypatch):
    """At most two batches of results wait, so that memory does not grow with the images."""
    alive, most, collected = [], [], []
    original = loader.batches

    def counted(*arguments, **options):
        for batch in original(*arguments, **options):
            alive.append(batch)
            most.append(len(alive) - len(collected))
            yield batch

    monkeypatch.setattr(loader, 'batches', counted)
    measurements.measure(
        target, noise_faces(20), batch_size=2, progress=lambda *call: collected.append(call)
    )
    assert len(alive) == len(collected) == 10
    assert max(most) <= 2


@pytest.mark.parametrize(
    'apply',
    [
        lambda variables, images: np.asarray(images).mean((1, 2)),
        lambda variables, images: images.mean((1, 2)) * (1 if images.mean() > 0 else 2),
    ],
)
def test_a_function_that_jax_cannot_trace_is_refused_in_one_line(target, apply):
    with pytest.raises(InputError, match='NumPy arrays or Python numbers') as caught:
        distances.layer_names(dataclasses.replace(target, apply=apply))
    assert 'jax.numpy' in caught.value.hint
