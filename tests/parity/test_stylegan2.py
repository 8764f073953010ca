"""StyleGAN2 in JAX against PyTorch: mapping, synthesis, discriminator, gradients.

'fixture' compares with outputs kept in the repository, 'live' with the oracle itself (needs torch).
"""

import functools
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference.models import stylegan2
from fr_inference.weights import stylegan2_files as convert
from tests.formats import generators
from tests.parity import stylegan2_cases as cases

RTOL = 1e-3
# What cancels to nearly zero is compared on the scale of the whole array.
ATOL = 1e-5
# Some processors' rounding puts an activation on the other side of a leaky ReLU's kink, which moves a
# whole sample's gradient a little. So the deepest network's is compared by its norm, too.
OF_NORM = 1e-3

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec('torch') is None,
    reason='torch is not installed (.[test,parity]): compared with the fixtures only',
)
SOURCES = ('fixture', pytest.param('live', marks=needs_torch))
OUTPUTS = ('w', 'image', 'image_without_noise', 'gradient', 'logits', 'logit_gradient')


@functools.cache
def fixture(name):
    with np.load(cases.FIXTURES / f'{name}.npz') as file:
        return dict(file)


@functools.cache
def live(name):
    from tests.parity import stylegan2_oracle

    return stylegan2_oracle.run(cases.CASES[name])


def opened(name, layout):
    """(module, variables) of the same weights under either layout's names."""
    state = cases.generator(cases.CASES[name])
    tensors = {f'G_ema/{key}': value for key, value in state.items()}
    if layout == 'rosinality':
        tensors = {f'g_ema/{key}': v for key, v in generators.to_rosinality(state).items()}
        tensors['latent_avg'] = state['mapping.w_avg']
    return convert.generator(tensors, 'case')[:2]


@functools.cache
def computed(name):
    """What JAX says."""
    case = cases.CASES[name]
    module, variables = opened(name, 'nvidia')
    critic, weights = convert.discriminator(
        {f'D/{key}': value for key, value in cases.discriminator(case).items()}, 'case'
    )

    @jax.jit
    def evaluate(variables, weights, z, images, readout):
        w = module.apply(variables, z, method='mapping')
        ws = module.apply(variables, w, cases.PSI, method='truncate')
        noise = stylegan2.constant_noise(variables)

        def scalar(ws):
            image = module.apply(variables, ws, noise, method='synthesis')
            return jnp.sum(image * readout), image

        def logit(images):
            logits = critic.apply(weights, images)
            return jnp.sum(logits), logits

        gradient, image = jax.grad(scalar, has_aux=True)(ws)
        slope, logits = jax.grad(logit, has_aux=True)(images)
        return {
            'w': w,
            'image': cases.thin(image),
            'image_without_noise': cases.thin(module.apply(variables, ws, method='synthesis')),
            'gradient': gradient,
            'logits': logits,
            'logit_gradient': cases.thin(slope),
        }

    parts = cases.latents(case), cases.images(case), cases.readout(case)
    return jax.device_get(evaluate(variables, weights, *parts))


def close(found, expected):
    assert found.shape == expected.shape
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=RTOL, atol=ATOL * scale)


@pytest.mark.parametrize('output', OUTPUTS)
@pytest.mark.parametrize('source', SOURCES)
@pytest.mark.parametrize('name', cases.CASES)
def test_parity(name, source, output):
    expected = (fixture(name) if source == 'fixture' else live(name))[output]
    found = computed(name)[output]
    if (name, output) == ('256', 'gradient'):
        assert found.shape == expected.shape
        assert np.linalg.norm(found - expected) < OF_NORM * np.linalg.norm(expected)
        # One sample at least has no activation so near to a kink.
        scale = np.abs(expected).max()
        same = np.isclose(found, expected, rtol=RTOL, atol=ATOL * scale)
        assert same.reshape(len(same), -1).all(1).any()
    else:
        close(found, expected)


@pytest.mark.parametrize('name', cases.CASES)
def test_both_layouts_give_the_same(name):
    """The same module and variables, hence the same images."""
    (module, variables), (other, others) = (
        opened(name, layout) for layout in ('nvidia', 'rosinality')
    )
    assert module == other
    jax.tree.map(np.testing.assert_array_equal, variables, others)


@pytest.mark.parametrize('name', cases.CASES)
def test_the_comparison_sees_something(name):
    """Noise and every sample's latent are in what is compared, and nothing is lost in saturation."""
    expected = fixture(name)
    assert set(expected) == set(OUTPUTS)
    for output in OUTPUTS:
        assert np.isfinite(expected[output]).all()
        assert (
            np.abs(expected[output][0] - expected[output][1]).max()
            > 0.01 * np.abs(expected[output]).max()
        )
    moved = np.abs(expected['image'] - expected['image_without_noise'])
    assert moved.max() > 0.01 * np.abs(expected['image']).max()


def test_fixtures_are_small():
    assert sum(path.stat().st_size for path in cases.FIXTURES.glob('*.npz')) < 200_000
    assert {path.stem for path in cases.FIXTURES.glob('*.npz')} == set(cases.CASES)


@needs_torch
@pytest.mark.parametrize('name', cases.CASES)
def test_fixtures_are_current(name):
    for output in OUTPUTS:
        kept, fresh = fixture(name)[output], live(name)[output]
        np.testing.assert_allclose(kept, fresh, rtol=1e-5, atol=1e-6 * np.abs(fresh).max())
