"""Which layers' means are derived from sums, and that the distances stay what they are."""

import functools

import flax.linen as nn
import jax
import numpy as np
import pytest

from fr_inference.kernels import window_sums
from fr_inference.measuring import channel_means, distances
from fr_inference.models import registry


@pytest.fixture(scope='module')
def target():
    module = registry.build('tiny', width=4)
    spec = registry.sized(registry.VARIANTS['tiny'].input, 32, 32)
    return registry.make_target(
        'tiny', registry.init(module, spec, jax.random.key(0)), config={'width': 4}, input=spec
    )


def test_distances_from_sums_are_the_distances(target, monkeypatch):
    """Every block's `bn2` is derived, and nothing else; the figures stay."""
    image = jax.random.normal(jax.random.key(1), (32, 32, 3))

    def measured():
        with distances.recording() as found:
            target.module.apply(target.variables, image[None], train=False)
        return {name: np.asarray(value) for name, value in found}

    plain, derived = measured(), []

    def sums(convolved, *arguments, padding):
        derived.append(convolved.shape[1:])
        return window_sums.convolved_mean(convolved, *arguments, padding=padding)

    monkeypatch.setattr(channel_means, 'convolved_mean', sums)
    again = measured()
    assert derived == [(32, 32, 4), (16, 16, 8), (8, 8, 16), (4, 4, 32)]
    assert again.keys() == plain.keys()
    for name, value in plain.items():
        np.testing.assert_allclose(again[name], value, rtol=2e-5, atol=1e-6, err_msg=name)


class Standardised(nn.Conv):
    """A convolution whose kernel is not the variable of that name."""

    def param(self, name, *arguments, **options):
        kernel = super().param(name, *arguments, **options)
        return kernel - kernel.mean((0, 1, 2)) if name == 'kernel' else kernel


class Own(nn.Module):
    conv: type[nn.Conv]

    @nn.compact
    def __call__(self, x):
        norm = functools.partial(nn.BatchNorm, use_running_average=True)
        return norm(name='after')(self.conv(4, (3, 3), use_bias=False)(norm(name='before')(x)))


@pytest.mark.parametrize('conv', [nn.Conv, Standardised])
def test_a_convolution_that_is_not_ours_is_averaged_itself(conv, monkeypatch):
    def derived(*arguments, padding):
        raise AssertionError

    monkeypatch.setattr(channel_means, 'convolved_mean', derived)
    image = jax.random.normal(jax.random.key(0), (1, 6, 6, 3))
    variables = Own(conv).init(jax.random.key(1), image)
    with distances.recording() as found:
        Own(conv).apply(variables, image)
    assert [name for name, _ in found] == ['before', 'after']
