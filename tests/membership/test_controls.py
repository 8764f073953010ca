"""Controls: half of the strangers called members, and a twin of the target that never learned."""

import dataclasses
import functools

import flax.core
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference.data.faces import BadImageError
from fr_inference.errors import InputError
from fr_inference.measuring import measurements
from fr_inference.membership import controls
from fr_inference.models.target import Target
from tests.membership.backbones import (
    SIZE,
    Plain,
    Small,
    assert_same_bytes,
    noise_faces,
    target_of,
)


class TestNullLabels:
    def test_half_of_the_people_with_all_their_images(self):
        names = [f'p{number // 3}' for number in range(60)]
        called = controls.null_labels(names, 0)
        by_person = called.reshape(20, 3)
        assert (by_person == by_person[:, :1]).all()
        assert by_person[:, 0].sum() == 10

    def test_repeatable_and_seeded(self):
        names = [f'p{number}' for number in range(30)]
        np.testing.assert_array_equal(
            controls.null_labels(names, 3), controls.null_labels(names, 3)
        )
        drawn = np.mean([controls.null_labels(names, seed) for seed in range(400)], axis=0)
        np.testing.assert_allclose(drawn, 0.5, atol=0.1)

    def test_too_few_people(self):
        names = [f'p{number}' for number in range(7)] * 2
        with pytest.raises(InputError) as caught:
            controls.null_labels(names, 0)
        assert (caught.value.field, caught.value.found) == ('nonmembers', '7 people')
        assert controls.null_labels(names, 0, least=2).sum() == 6

    def test_of_images(self, images):
        null = controls.null(images, 0)
        assert set(null.identities) == {f'p{number}' for number in range(12, 24)}
        np.testing.assert_array_equal(null.member, controls.null_labels(null.identities, 0))


@pytest.fixture(scope='module')
def target():
    target = target_of(Small(), mean=(100.0, 110.0, 120.0), std=(50.0, 60.0, 70.0))
    return dataclasses.replace(target, sha256='abc', recipe={'epochs': 3}, notes=('a note',))


def moments(module, twin, faces):
    """Linen's own statistics of one batch, at momentum 0."""
    images = jnp.asarray(np.stack([faces.read(index) for index in range(len(faces))]))
    _, updated = module.apply(
        twin.variables, twin.input.normalize(images), train=True, mutable=['batch_stats']
    )
    return updated['batch_stats']


class TestBlindTarget:
    def test_shapes_stay_and_weights_go(self, target):
        before = jax.tree.map(np.array, target.variables)
        twin = controls.blind_target(target, noise_faces(20), seed=0)
        assert_same_bytes(before, target.variables)
        ours, theirs = target.variables['params'], twin.variables['params']
        assert jax.tree.structure(target.variables) == jax.tree.structure(twin.variables)
        for one, two in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
            assert np.shape(one) == np.shape(two)
            assert np.asarray(one).dtype == np.asarray(two).dtype
        for layer in ('conv', 'fc'):
            kernel, drawn = (np.asarray(tree[layer]['kernel']) for tree in (ours, theirs))
            assert abs(np.corrcoef(kernel.ravel(), drawn.ravel())[0, 1]) < 0.5
            np.testing.assert_allclose(theirs[layer]['bias'], ours[layer]['bias'].mean(), rtol=1e-6)
        np.testing.assert_allclose(theirs['bn']['scale'], ours['bn']['scale'].mean(), rtol=1e-6)
        assert twin.name == 'small (random weights)'
        assert (twin.sha256, twin.recipe, twin.notes) == ('', None, ())
        assert twin.input == target.input

    def test_kernels_have_the_spread_of_the_trained_ones(self):
        wide = target_of(nn.Sequential([nn.Conv(64, (3, 3)), lambda x: x.mean((1, 2))]))
        twin = controls.blind_target(wide, noise_faces(8), seed=0)
        kernel, drawn = (
            np.asarray(one.variables['params']['layers_0']['kernel']) for one in (wide, twin)
        )
        assert drawn.std() == pytest.approx(kernel.std(), rel=0.1)
        assert abs(drawn.mean()) < 4 * kernel.std() / np.sqrt(drawn.size)

    def test_seeded(self, target):
        faces = noise_faces(10)
        first, again, other = (
            controls.blind_target(target, faces, seed=seed).variables for seed in (0, 0, 1)
        )
        assert_same_bytes(first, again)
        kernels = [tree['params']['conv']['kernel'] for tree in (first, other)]
        assert (kernels[0] != kernels[1]).all()

    def test_statistics_are_those_of_the_calibration_faces(self, target):
        faces = noise_faces(60)
        twin = controls.blind_target(target, faces, seed=0)
        expected = moments(Small(momentum=0.0), twin, faces)
        for layer in ('bn', 'features'):
            for name in ('mean', 'var'):
                np.testing.assert_allclose(
                    twin.variables['batch_stats'][layer][name],
                    expected[layer][name],
                    rtol=1e-4,
                    atol=1e-5,
                )

    def test_several_batches_are_put_together(self, target):
        """100 faces make two batches of 50: exact for the first layer, whose input knows no batch."""
        faces = noise_faces(100)
        twin = controls.blind_target(target, faces, seed=0)
        expected = moments(Small(momentum=0.0), twin, faces)['bn']
        for name in ('mean', 'var'):
            np.testing.assert_allclose(
                twin.variables['batch_stats']['bn'][name], expected[name], rtol=1e-4, atol=1e-5
            )

    def test_no_more_than_512_faces_are_read(self, target):
        faces, read = noise_faces(600), []
        counted = dataclasses.replace(faces, read=lambda i: read.append(i) or faces.read(i))
        controls.blind_target(target, counted, seed=0)
        assert sorted(read) == list(range(512))

    def test_distances_are_of_a_backbone_in_balance(self, target):
        """A channel's squared deviation is in the mean its variance; pooled maps deviate by less."""
        faces = noise_faces(64)
        measured = measurements.measure(controls.blind_target(target, faces, seed=0), faces)
        assert measured.distances.mean(0)[0] < 4
        assert measured.distances.mean(0)[1] == pytest.approx(5, rel=0.01)

    def test_unreadable_faces(self, target):
        faces = noise_faces(20)

        def read(index):
            if index in (3, 4):
                raise BadImageError(f'faces#{index}: broken')
            return faces.read(index)

        broken = dataclasses.replace(faces, read=read)
        with pytest.raises(BadImageError, match='faces#3: broken'):
            controls.blind_target(target, broken, seed=0)
        kept = faces.select([index for index in range(20) if index not in (3, 4)])
        assert_same_bytes(
            controls.blind_target(target, broken, seed=0, skip_bad=True).variables,
            controls.blind_target(target, kept, seed=0).variables,
        )

    def test_without_batch_norm(self):
        twin = controls.blind_target(target_of(Plain()), noise_faces(9), seed=0)
        assert set(twin.variables) == {'params'}


class Odd(nn.Module):
    """A user's own: the root is no BatchNorm, one layer is nested and called twice, one by keyword."""

    @nn.compact
    def __call__(self, x, train=False):
        inner = Inner(train)
        x = inner(inner(x) ** 2)
        return nn.BatchNorm(use_running_average=not train, use_bias=False)(x=x.mean((1, 2)))


class Inner(nn.Module):
    train: bool

    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(use_running_average=not self.train)(nn.Dense(3)(x))


class TestCustomModules:
    @pytest.mark.parametrize('frozen', [False, True], ids=['dict', 'FrozenDict'])
    def test_shared_layers_hold_what_both_calls_see(self, frozen):
        target, faces = target_of(Odd()), noise_faces(16)
        if frozen:
            variables = flax.core.freeze(target.variables)
            target = dataclasses.replace(target, variables=variables)
        twin = controls.blind_target(target, faces, seed=0)
        seen = []

        def note(call, arguments, keywords, context):
            if isinstance(context.module, nn.BatchNorm) and context.method_name == '__call__':
                seen.append(arguments[0] if arguments else keywords['x'])
            return call(*arguments, **keywords)

        images = target.input.normalize(jnp.asarray(np.stack([faces.read(i) for i in range(16)])))
        with nn.intercept_methods(note):
            Odd().apply(twin.variables, images, train=True, mutable=['batch_stats'])
        both = np.concatenate([np.asarray(x).reshape(-1, 3) for x in seen[:2]])
        shared = twin.variables['batch_stats']['Inner_0']['BatchNorm_0']
        np.testing.assert_allclose(shared['mean'], both.mean(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(shared['var'], both.var(0), rtol=1e-4, atol=1e-5)
        last = twin.variables['batch_stats']['BatchNorm_0']
        np.testing.assert_allclose(last['var'], np.asarray(seen[2]).var(0), rtol=1e-3, atol=1e-6)
        measured = measurements.measure(twin, faces)
        assert measured.layers == ('Inner_0/BatchNorm_0', 'Inner_0/BatchNorm_0#2', 'BatchNorm_0')

    def test_a_single_batch_norm(self):
        module = nn.BatchNorm(use_running_average=True)
        target = target_of(module, apply=lambda v, x: module.apply(v, x).mean((1, 2)))
        faces = noise_faces(16)
        twin = controls.blind_target(target, faces, seed=0)
        pixels = np.stack([faces.read(index) for index in range(16)]).reshape(-1, 3)
        np.testing.assert_allclose(
            twin.variables['batch_stats']['mean'], (pixels.mean(0) - 127.5) / 127.5, atol=1e-4
        )
        assert measurements.measure(twin, faces).layers == ('norm',)

    def test_compiled(self, target):
        compiled = jax.jit(target.apply)
        compiled(target.variables, jnp.ones((1, SIZE, SIZE, 3), jnp.float32))
        faces = noise_faces(12)
        twins = [
            controls.blind_target(dataclasses.replace(target, apply=apply), faces, seed=0)
            for apply in (target.apply, compiled)
        ]
        for one, two in zip(*(jax.tree.leaves(twin.variables) for twin in twins), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)

    def test_statistics_that_are_kept_elsewhere(self):
        inner = target_of(Small())

        def apply(variables, images):
            return Small().apply({kind: tree['net'] for kind, tree in variables.items()}, images)

        target = Target(
            name='wrapped',
            apply=apply,
            variables={kind: {'net': tree} for kind, tree in inner.variables.items()},
            input=inner.input,
        )
        with pytest.raises(InputError) as caught:
            controls.blind_target(target, noise_faces(8), seed=0)
        assert (caught.value.field, caught.value.inside) == ('blind', 'wrapped')
        assert "no statistics under 'bn'" in caught.value.found


def test_the_twin_computes_like_linen_while_it_is_measured(target):
    """Layer by layer with its own batch's statistics: Linen's training mode gives the same features."""
    faces = noise_faces(30)
    twin = controls.blind_target(target, faces, seed=0)
    images = target.input.normalize(jnp.asarray(np.stack([faces.read(i) for i in range(30)])))
    running = functools.partial(Small().apply, twin.variables)
    np.testing.assert_allclose(
        running(images),
        Small(momentum=0.0).apply(twin.variables, images, train=True, mutable=['batch_stats'])[0],
        rtol=1e-3,
        atol=1e-3,
    )
