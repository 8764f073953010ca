import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference import errors
from fr_inference.defending import folding
from fr_inference.measuring import distances
from fr_inference.models import registry
from fr_inference.weights import native_targets
from fr_inference.weights.targets import open_target


@pytest.fixture(scope='module')
def target():
    return open_target('demo_few')


@pytest.fixture(scope='module')
def images(target):
    shape = (3, target.input.height, target.input.width, 3)
    return jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)


@pytest.mark.parametrize('how', ['fold', 'strip'])
def test_answers_stay_and_statistics_go(target, images, how):
    made = folding.fold(target)[0] if how == 'fold' else folding.strip(target)
    expected = target.apply(target.variables, images)
    np.testing.assert_allclose(made.apply(made.variables, images), expected, rtol=1e-3, atol=1e-4)
    assert set(made.variables) == {'params'}
    assert not made.statistics
    assert distances.layer_names(made) == ()
    found, embedding = distances.of_image(made.apply, made.variables, images[0])
    assert found.shape == (0,)
    np.testing.assert_allclose(embedding, expected[0], rtol=1e-3, atol=1e-4)


def test_only_layers_behind_no_convolution_keep_a_scale(target):
    """In an IResNet those that begin a block, and the one before the dense layer."""
    made, left = folding.fold(target)
    assert left == [f'layer{stage}_0/bn1' for stage in range(1, 5)] + ['bn2']
    for layer in folding.layers(target):
        scale = made.variables['params']
        for part in (*layer.path, 'scale'):
            scale = scale[part]
        assert (np.asarray(scale) == 1).all() == ('/'.join(layer.path) not in left)


def test_a_folded_backbone_is_kept_and_read(target, images, tmp_path):
    made = folding.strip(target)
    native_targets.save_target(tmp_path / 'made', made)
    read = native_targets.load_target(tmp_path / 'made')
    assert not read.statistics
    np.testing.assert_array_equal(
        read.apply(read.variables, images), made.apply(made.variables, images)
    )


class Shared(nn.Module):
    """One convolution that two layers hear, and one BatchNorm that is called twice."""

    twice: bool

    @nn.compact
    def __call__(self, x, train=False):
        norm = nn.BatchNorm(use_running_average=True)
        y = nn.Conv(4, (3, 3))(x)
        y = norm(y) + (norm(y) if self.twice else y)
        return nn.Dense(5)(y.mean((1, 2)))


def shared(target, twice):
    module = Shared(twice)
    variables = module.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    moved = jax.tree.map(lambda leaf: leaf + 0.7, variables['batch_stats'])
    return dataclasses.replace(
        target,
        apply=module.apply,
        variables={**variables, 'batch_stats': moved},
        input=registry.sized(target.input, 8, 8),
    )


def test_a_layer_of_two_calls_cannot_be_folded(target):
    with pytest.raises(errors.InputError) as raised:
        folding.layers(shared(target, twice=True))
    assert raised.value.field == 'target'


def test_a_backbone_without_statistics(target):
    made = folding.strip(target)
    for change in (folding.strip, folding.fold):
        with pytest.raises(errors.InputError) as raised:
            change(made)
        assert raised.value.field == 'target'
