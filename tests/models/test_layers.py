"""The shared layers against independent formulations."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference import errors
from fr_inference.models import layers


def draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('size', [(7, 6), (8, 9)])
def test_depthwise_layer_equals_grouped_conv(size, stride):
    """With padding and through the choice of form by platform, under `vmap` and gradients too."""
    x = draw(0, 3, *size, 4)
    layer = layers.DepthwiseConv((3, 3), stride=stride, padding=1)
    reference = nn.Conv(
        4, (3, 3), (stride, stride), [(1, 1), (1, 1)], feature_group_count=4, use_bias=False
    )
    variables = layer.init(jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(
        jnp.shape, reference.init(jax.random.key(0), x)
    )

    def squares(module, variables, x):
        return (module.apply(variables, x) ** 2).sum()

    one = jax.vmap(lambda image: layer.apply(variables, image[None])[0])(x)
    np.testing.assert_allclose(one, reference.apply(variables, x), rtol=1e-4, atol=1e-5)
    found = jax.grad(lambda *a: squares(layer, *a), (0, 1))(variables, x)
    expected = jax.grad(lambda *a: squares(reference, *a), (0, 1))(variables, x)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, expected
    )


def test_depthwise_over_the_whole_map():
    x, kernel = draw(0, 2, 7, 6, 4), draw(1, 7, 6, 1, 4)
    expected = np.einsum('nhwc,hwc->nc', x.astype(np.float64), kernel[:, :, 0])[:, None, None]
    np.testing.assert_allclose(layers.depthwise(x, kernel), expected, rtol=1e-4, atol=1e-5)
    grouped = jax.lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        'VALID',
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=4,
    )
    np.testing.assert_allclose(grouped, expected, rtol=1e-4, atol=1e-5)


class Wrapped(nn.Module):
    """`layers.conv` makes a function at kernel 1, a module elsewhere; here it is always a module."""

    kernel: int
    stride: int
    padding: int = 0
    use_bias: bool = False

    @nn.compact
    def __call__(self, x):
        options = {'stride': self.stride, 'padding': self.padding, 'use_bias': self.use_bias}
        return layers.conv(6, self.kernel, name='conv', **options)(x)


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('size', [(7, 6), (8, 9)])
@pytest.mark.parametrize('use_bias', [False, True])
def test_pointwise_conv_equals_conv(size, stride, use_bias):
    x = draw(0, 2, *size, 3)
    module = Wrapped(kernel=1, stride=stride, use_bias=use_bias)
    shapes = module.init(jax.random.key(0), x)['params']['conv']
    weights = {name: draw(len(name), *leaf.shape) for name, leaf in shapes.items()}
    reference = nn.Conv(6, (1, 1), (stride, stride), 'VALID', use_bias=use_bias)
    kernel = {**weights, 'kernel': weights['kernel'][None, None]}
    np.testing.assert_allclose(
        module.apply({'params': {'conv': weights}}, x),
        reference.apply({'params': kernel}, x),
        rtol=1e-4,
        atol=1e-5,
    )


def test_strided_conv_pads_symmetrically():
    """As PyTorch's Conv2d: the first output looks one row above the image, the last never below."""
    x = jnp.ones((1, 4, 4, 1))
    module = Wrapped(kernel=3, stride=2, padding=1)
    ones = jax.tree.map(jnp.ones_like, module.init(jax.random.key(0), x))
    assert module.apply(ones, x)[0, :, :, 0].tolist() == [[4, 6], [6, 9]]


def test_prelu_has_one_slope_per_channel():
    x = draw(0, 5, 4, 3)
    slope = np.array([0.1, -0.5, 2], np.float32)
    module = layers.PReLU()
    assert module.init(jax.random.key(0), x)['params']['slope'].shape == (3,)
    found = module.apply({'params': {'slope': slope}}, x)
    np.testing.assert_allclose(found, np.where(x > 0, x, x * slope), rtol=1e-6)


@pytest.mark.parametrize(
    ('kind', 'axes'), [('layer', (1, 2, 3)), ('instance', (1, 2)), ('group', None)]
)
def test_normalisations_remove_mean_and_deviation(kind, axes):
    """Over the axes that the kind's name promises."""
    x = draw(0, 2, 5, 4, 64) * 3 + 2
    norm = Normed(kind)
    variables = norm.init(jax.random.key(0), x)
    if axes is None:  # 32 groups of two channels
        expected = x.reshape(2, 5, 4, 32, 2)
        axes = (1, 2, 4)
    else:
        expected = x
    expected = (expected - expected.mean(axes, keepdims=True)) / expected.std(axes, keepdims=True)
    np.testing.assert_allclose(
        norm.apply(variables, x), expected.reshape(x.shape), rtol=1e-3, atol=1e-4
    )


class Normed(nn.Module):
    """One normalisation layer."""

    kind: str

    @nn.compact
    def __call__(self, x):
        return layers.normalization(self.kind)(train=False, name='norm')(x)


@pytest.mark.parametrize('channels', [16, 32, 48, 512])
@pytest.mark.parametrize('kind', ['group', 'layer', 'instance'])
def test_norms_keep_flat_features(kind, channels):
    """Groups of one or two numbers would leave zeros or signs of an embedding."""
    x = draw(0, 3, channels)
    norm = Normed(kind)
    variables = norm.init(jax.random.key(0), x)
    found = np.asarray(norm.apply(variables, x))
    of_one_pixel = norm.apply(variables, x[:, None, None])
    np.testing.assert_allclose(of_one_pixel[:, 0, 0], found, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.std(axis=1), 1, rtol=1e-3)
    assert [len(set(np.abs(row).round(4))) > channels // 2 for row in found] == [True] * 3


@pytest.mark.parametrize(('started', 'tolerance'), [(True, 3e-4), (False, 5e-3)])
def test_batch_statistics_in_one_pass(started, tolerance):
    """As the two passes of Flax: with means up to 50 deviations before the first step, 500 later."""
    means = jnp.asarray([0.0, 1.0, 10.0, 100.0, 1000.0][: 5 if started else 4])
    x = 2 * draw(0, 8, 6, 6, len(means)) + means
    running = {'mean': started * 1.01 * means, 'var': jnp.ones_like(means)}
    one = layers.normalization('batch')(train=True)
    two = nn.BatchNorm(use_running_average=False, momentum=0.9, use_fast_variance=False)
    params = {'scale': 1 + draw(1, len(means)) / 4, 'bias': draw(2, len(means))}

    def output(module, params, x):
        variables = {'params': params, 'batch_stats': running}
        y, updated = module.apply(variables, x, mutable=['batch_stats'])
        return jnp.sum(jnp.sin(y) * draw(3, *y.shape)), (y, updated)

    run = jax.value_and_grad(output, argnums=(1, 2), has_aux=True)
    (_, found), gradients = run(one, params, x)
    (_, expected), expected_gradients = run(two, params, x)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance),
        (found, gradients),
        (expected, expected_gradients),
    )


def test_unknown_normalisation():
    with pytest.raises(errors.InputError) as caught:
        layers.normalization('spectral')
    assert (caught.value.field, caught.value.found) == ('norm', "'spectral'")
    assert "'batch'" in caught.value.expected
