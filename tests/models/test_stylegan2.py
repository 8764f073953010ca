"""The networks: exact sizes, truncation, noise that is an argument, arithmetic in bfloat16."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fr_inference.errors import InputError
from fr_inference.models import stylegan2
from fr_inference.models.stylegan2 import Discriminator, Generator

# In closed form from the paper's table of layers; those of 256 and above are the published ones.
GENERATOR = {256: 30_034_338, 512: 30_276_583, 1024: 30_370_060}
DISCRIMINATOR = {256: 28_864_129}
SMALL = Generator(resolution=16, z_dim=8, w_dim=8, channel_base=128, channel_max=16)
RGB = 3


def width(resolution, base, most):
    return min(base // resolution, most)


def generator_count(resolution, base=32768, most=512, w=512, layers=8):
    """Mapping, constant, then a resolution's two 3x3 layers and one 1x1."""
    total = layers * (w * w + w) + 16 * width(4, base, most)
    for r in stylegan2.resolutions(resolution):
        inputs, outputs = width(max(r // 2, 4), base, most), width(r, base, most)
        for i in ([inputs] if r > 4 else []) + [outputs]:
            total += 9 * i * outputs + outputs + 1 + (w * i + i)
        total += outputs * RGB + RGB + (w * outputs + outputs)
    return total


def discriminator_count(resolution, base=32768, most=512):
    first, last = width(resolution, base, most), width(4, base, most)
    total = RGB * first + first
    for r in stylegan2.resolutions(resolution)[1:]:
        inputs, outputs = width(r, base, most), width(r // 2, base, most)
        total += 9 * inputs**2 + inputs + 9 * inputs * outputs + outputs + inputs * outputs
    total += 9 * (last + 1) * last + last + 16 * last * last + last + last + 1
    return total


def abstract(module):
    side = module.resolution
    latent = isinstance(module, Generator)
    shape = (1, module.z_dim) if latent else (1, side, side, RGB)
    return jax.eval_shape(module.init, jax.random.key(0), jnp.zeros(shape))


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables['params']))


@pytest.mark.parametrize('resolution', [4, 8, 32, 64, 256, 512, 1024])
def test_parameters_of_the_generator(resolution):
    found = count(abstract(Generator(resolution=resolution)))
    assert found == generator_count(resolution) == GENERATOR.get(resolution, found)


@pytest.mark.parametrize('resolution', [8, 32, 64, 256, 1024])
def test_parameters_of_the_discriminator(resolution):
    found = count(abstract(Discriminator(resolution=resolution)))
    assert found == discriminator_count(resolution) == DISCRIMINATOR.get(resolution, found)


def test_parameters_of_small_ones():
    """As numbers, so that the formulas above cannot be wrong with the module."""
    assert count(abstract(Generator(resolution=32))) == PINNED['generator', 32]
    assert count(abstract(Generator(resolution=64))) == PINNED['generator', 64]
    assert count(abstract(Discriminator(resolution=32))) == PINNED['discriminator', 32]
    assert count(abstract(Discriminator(resolution=64))) == PINNED['discriminator', 64]


def test_buffers_are_no_parameters():
    found = abstract(Generator(resolution=32))['buffers']
    assert found['w_avg'].shape == (512,)
    maps = [found[f'noise_{i}'].shape for i in range(7)]
    assert maps == [(s, s) for s in (4, 8, 8, 16, 16, 32, 32)]
    assert len(found) == 8


PINNED = {
    ('generator', 32): 21_523_475,
    ('generator', 64): 27_032_600,
    ('discriminator', 32): 21_507_073,
    ('discriminator', 64): 26_488_833,
}


@functools.cache
def drawn(module):
    """Variables by NumPy, none of them where it begins (which takes no compilation either)."""
    draw = np.random.default_rng(0)

    def one(leaf):
        return jnp.asarray(draw.standard_normal(leaf.shape, np.float32))

    return jax.tree.map(one, abstract(module))


def small():
    return drawn(SMALL)


def latents(count=2, module=SMALL):
    return jax.random.normal(jax.random.key(2), (count, module.z_dim))


@functools.cache
def compiled(module, method):
    """One program instead of one for each of its operations."""

    def run(variables, arguments, options):
        return module.apply(variables, *arguments, method=method, **options)

    return jax.jit(run)


def apply(*arguments, module=SMALL, method=None, variables=None, **options):
    variables = small() if variables is None else variables
    return np.asarray(compiled(module, method)(variables, arguments, options))


@pytest.mark.parametrize('resolution', [4, 8])
def test_smallest(resolution):
    generator = Generator(resolution=resolution, z_dim=8, w_dim=8, channel_max=8)
    images = apply(latents(3, generator), module=generator, variables=drawn(generator))
    assert (images.shape, images.dtype) == ((3, resolution, resolution, RGB), jnp.float32)
    discriminator = Discriminator(resolution=resolution, channel_max=8)
    if resolution > 4:
        logits = apply(images, module=discriminator, variables=drawn(discriminator))
        assert (logits.shape, logits.dtype) == ((3,), jnp.float32)


@pytest.mark.parametrize('resolution', [0, 2, 3, 12, 2048, -4, 256.5, '256'])
def test_other_resolutions(resolution):
    for make in (stylegan2.resolutions, lambda r: abstract(Generator(resolution=r))):
        with pytest.raises(InputError) as caught:
            make(resolution)
        assert (caught.value.field, caught.value.found) == ('resolution', repr(resolution))


class TestTruncation:
    def test_to_the_mean(self):
        w = apply(latents(), method='mapping')
        mean = np.asarray(small()['buffers']['w_avg'])
        found = apply(w, 0.0, method='truncate')
        assert found.shape == (2, stylegan2.style_count(16), 8)
        np.testing.assert_allclose(found, np.broadcast_to(mean, found.shape), atol=1e-6)
        images = apply(latents(), psi=0.0)
        np.testing.assert_allclose(images[0], images[1], rtol=1e-5, atol=1e-5)

    def test_not_at_all(self):
        w = apply(latents(), method='mapping')
        found = apply(w, 1.0, method='truncate')
        np.testing.assert_allclose(found, np.repeat(w[:, None], 6, axis=1), rtol=1e-5, atol=1e-6)

    def test_half_way(self):
        """The same for every layer."""
        w = apply(latents(), method='mapping')
        found = apply(w, 0.5, method='truncate')
        half = (w + np.asarray(small()['buffers']['w_avg'])) / 2
        for layer in range(6):
            np.testing.assert_allclose(found[:, layer], half, rtol=1e-5, atol=1e-6)


class TestNoise:
    def test_is_an_argument(self):
        """The same arguments give the same image: no key, nothing hidden."""
        np.testing.assert_array_equal(apply(latents()), apply(latents()))

    def test_none_is_zeros(self):
        zeros = [jnp.zeros((1, s, s, 1)) for s in stylegan2.noise_sizes(16)]
        np.testing.assert_array_equal(apply(latents()), apply(latents(), noise=zeros))

    def test_constant(self):
        noise = stylegan2.constant_noise(small())
        assert [part.shape for part in noise] == [(1, s, s, 1) for s in (4, 8, 8, 16, 16)]
        np.testing.assert_array_equal(noise[3][0, :, :, 0], small()['buffers']['noise_3'])
        assert np.abs(apply(latents(), noise=noise) - apply(latents())).max() > 0.01

    def test_random(self):
        one, same, other = (
            stylegan2.random_noise(jax.random.key(seed), 16, 2) for seed in (0, 0, 1)
        )
        assert [part.shape for part in one] == [(2, s, s, 1) for s in (4, 8, 8, 16, 16)]
        first, again, second = (apply(latents(), noise=noise) for noise in (one, same, other))
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - second).max() > 0.01

    def test_no_layer_is_left_out(self):
        """Each map moves the image."""
        for i, size in enumerate(stylegan2.noise_sizes(16)):
            noise = [jnp.zeros((1, s, s, 1)) for s in stylegan2.noise_sizes(16)]
            noise[i] = jnp.ones((1, size, size, 1))
            assert np.abs(apply(latents(), noise=noise) - apply(latents())).max() > 1e-3


def test_scale_of_z_is_nothing():
    np.testing.assert_allclose(apply(latents()), apply(3 * latents()), rtol=1e-4, atol=1e-4)


class TestLowPrecision:
    def test_of_the_generator(self):
        """In the two highest of three resolutions; the image itself is added up in float32."""
        full, low = (apply(latents(), module=SMALL.clone(low_precision_from=r)) for r in (None, 8))
        assert low.dtype == np.float32
        error = np.sqrt(np.mean((low - full) ** 2)) / np.std(full)
        assert 1e-5 < error < 0.02

    def test_of_the_discriminator(self):
        module = Discriminator(resolution=16, channel_base=128, channel_max=16)
        images = jax.random.normal(jax.random.key(3), (4, 16, 16, RGB))
        full, low = (
            apply(images, module=module.clone(low_precision_from=r), variables=drawn(module))
            for r in (None, 8)
        )
        assert low.dtype == jnp.float32
        error = np.abs(low - full).max() / np.abs(full).max()
        assert 1e-5 < error < 0.05

    def test_not_below(self):
        module = SMALL.clone(low_precision_from=32)
        np.testing.assert_array_equal(apply(latents(), module=module), apply(latents()))


def test_bound_of_the_features():
    """A bound that nothing reaches changes nothing, a low one does."""
    # One operation after the other: two whole programs may round differently.
    module = SMALL.clone(resolution=8)
    high, none = (module.clone(clamp=c).apply(drawn(module), latents()) for c in (1e6, None))
    np.testing.assert_array_equal(high, none)
    low = apply(latents(), module=SMALL.clone(clamp=0.01))
    # Each of three images of 0.01 at most, and upsampling does not exceed its input.
    assert np.abs(low).max() <= 0.03


class TestGroups:
    module = Discriminator(resolution=8, channel_base=64, channel_max=8)

    def logits(self, images, **options):
        module = self.module.clone(**options)
        return apply(images, module=module, variables=drawn(self.module))

    def test_samples_of_a_group(self):
        """Samples i and i + 2 are one group of two: a sample changes its own group's logits only."""
        images = jax.random.normal(jax.random.key(3), (4, 8, 8, RGB))
        changed = images.at[0].set(0.0)
        before, after = (self.logits(x, group=2) for x in (images, changed))
        np.testing.assert_allclose(before[[1, 3]], after[[1, 3]], rtol=1e-5)
        assert (np.abs(before - after)[[0, 2]] > 1e-4).all()

    def test_group_larger_than_the_batch(self):
        images = jax.random.normal(jax.random.key(3), (3, 8, 8, RGB))
        np.testing.assert_array_equal(self.logits(images, group=4), self.logits(images, group=3))

    def test_alone(self):
        """In groups of one no sample knows of another."""
        images = jax.random.normal(jax.random.key(3), (3, 8, 8, RGB))
        alone = [self.logits(images[i : i + 1], group=1)[0] for i in range(3)]
        np.testing.assert_allclose(self.logits(images, group=1), alone, rtol=1e-4, atol=1e-5)
