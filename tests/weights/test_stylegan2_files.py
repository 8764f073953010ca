"""Generators come out of NVIDIA's and rosinality's files as they went in, and no code of theirs runs."""

import functools
import pathlib
import pickle
import re

import jax
import numpy as np
import pytest

from fr_inference.errors import InputError
from fr_inference.formats.state_dicts import read_tensors
from fr_inference.models import stylegan2
from fr_inference.weights import rules, stylegan2_files
from tests.formats import generators, states, writer
from tests.formats.generators import Sizes

SIZES = Sizes()
STATE = generators.filled(generators.nvidia_generator(SIZES))


def test_source_code_never_runs(tmp_path):
    """Python's own unpickler does run it."""
    marker = tmp_path / 'marker'
    file = generators.nvidia_file(SIZES, source=f'open({str(marker)!r}, "w").close()\n' * 100)
    path = generators.save(tmp_path / 'file.pkl', file)
    stylegan2_files.open_generator(path)
    assert not marker.exists()
    with generators.stand_ins():
        pickle.loads(path.read_bytes())
    assert marker.exists()


def images(path, psi=0.7):
    module, variables, notes = stylegan2_files.open_generator(path)
    z = np.random.default_rng(1).standard_normal((2, module.z_dim), np.float32)
    noise = stylegan2.constant_noise(variables)
    return np.asarray(compiled(module)(variables, z, psi=psi, noise=noise)), module, notes


@functools.cache
def compiled(module):
    return jax.jit(module.apply)


class TestOpen:
    def test_both_layouts_give_the_same_images(self, tmp_path):
        nvidia = generators.save(tmp_path / 'a.pkl', generators.nvidia_file(SIZES))
        rosinality = writer.save(tmp_path / 'b.pt', generators.rosinality_file(STATE))
        ours, module, notes = images(nvidia)
        theirs, other, _ = images(rosinality)
        np.testing.assert_array_equal(ours, theirs)
        assert module == other
        assert (module.resolution, module.channel_base, module.channel_max) == (16, 64, 12)
        assert (module.z_dim, module.w_dim, module.mapping_layers) == (6, 8, 2)
        assert notes == ('recognised as StyleGAN2 at 16x16 from G_ema',)

    @pytest.mark.parametrize('resolution', [4, 8, 32])
    def test_resolutions(self, tmp_path, resolution):
        sizes = Sizes(resolution=resolution)
        path = generators.save(tmp_path / 'a.pkl', generators.nvidia_file(sizes))
        assert images(path)[0].shape == (2, resolution, resolution, 3)

    @pytest.mark.parametrize('clamp', [None, 0.5])
    def test_bound_of_the_features(self, tmp_path, clamp):
        path = generators.save(tmp_path / 'a.pkl', generators.nvidia_file(SIZES, clamp=clamp))
        assert stylegan2_files.open_generator(path)[0].clamp == clamp
        state = read_tensors(path)
        module, variables = stylegan2_files.discriminator(state.tensors, 'file', state.options)
        assert module.clamp == clamp
        assert compiled(module)(variables, np.zeros((2, 16, 16, 3), np.float32)).shape == (2,)

    def test_without_a_mean(self, tmp_path):
        path = writer.save(tmp_path / 'b.pt', generators.rosinality_file(STATE, average=False))
        module, variables, notes = stylegan2_files.open_generator(path)
        assert 'computed from 4,096 random latents' in notes[1]
        z = np.asarray(jax.random.normal(jax.random.key(5), (4096, SIZES.z)))
        w = module.apply(variables, z, method='mapping')
        error = np.abs(np.mean(w, axis=0) - variables['buffers']['w_avg'])
        assert (error < 0.1 * np.std(w, axis=0)).all()


ROSINALITY = generators.to_rosinality(STATE)


def opened(path, value):
    module, variables, notes = stylegan2_files.open_generator(writer.save(path, value))
    return module, rules.by_path(variables), notes


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
    """rosinality's generator where it lies as a rule."""
    path = tmp_path_factory.mktemp('plain') / 'file.pt'
    return opened(path, {'g_ema': ROSINALITY, 'latent_avg': STATE['mapping.w_avg']})


class TestPlaces:
    """Where in a file the generator lies."""

    @pytest.mark.parametrize('repeated', [False, True])
    @pytest.mark.parametrize(
        'prefix', ['', 'module.', 'decoder.', 'module.decoder.', 'generator.module.']
    )
    def test_prefixes(self, tmp_path, plain, prefix, repeated):
        """pixel2style2pixel keeps the mean w beside, once for each layer."""
        average = STATE['mapping.w_avg']
        state = {f'{prefix}{name}': array for name, array in ROSINALITY.items()}
        state['encoder.input_layer.0.weight'] = np.ones((2, 3, 3, 3), np.float32)
        if not prefix.replace('module.', ''):
            del state['encoder.input_layer.0.weight']
        value = {
            'state_dict': state,
            'latent_avg': np.stack([average] * 6) if repeated else average,
        }
        module, variables, _ = opened(tmp_path / 'file.pt', value)
        assert module == plain[0]
        assert variables.keys() == plain[1].keys()
        assert all(np.array_equal(leaf, plain[1][path]) for path, leaf in variables.items())

    def test_two_that_differ(self, tmp_path):
        other = {name: 2 * array for name, array in ROSINALITY.items()}
        other |= {name: ROSINALITY[name] for name in ROSINALITY if name.endswith('kernel')}
        for value in ({'a': ROSINALITY, 'b': other}, {'b': other, 'a': ROSINALITY}):
            refused(tmp_path, value, "2 different generators: 'a', 'b'")
        opened(tmp_path / 'file.pt', {'a': ROSINALITY, 'b': ROSINALITY})

    def test_without_noise_maps(self, tmp_path, plain):
        """Drawn, the same each time, like normal numbers; all else as it is."""
        state = {name: array for name, array in ROSINALITY.items() if 'noises' not in name}
        value = {'g_ema': state, 'latent_avg': STATE['mapping.w_avg']}
        (_, found, notes), (_, again, _) = (opened(tmp_path / 'file.pt', value) for _ in '12')
        assert 'noise maps' in notes[-1]
        assert found.keys() == plain[1].keys()
        maps = [path for path in found if path.startswith('buffers/noise_')]
        assert len(maps) == 5
        for path, leaf in found.items():
            np.testing.assert_array_equal(leaf, again[path])
            assert leaf.shape == plain[1][path].shape
            assert np.array_equal(leaf, plain[1][path]) == (path not in maps)
        drawn = np.concatenate([found[path].ravel() for path in maps])
        assert abs(drawn.mean()) < 0.2
        assert abs(drawn.std() - 1) < 0.2

    def test_some_noise_maps(self, tmp_path):
        state = {name: array for name, array in ROSINALITY.items() if name != 'noises.noise_1'}
        refused(tmp_path, {'g_ema': state}, r'1 missing \(noises.noise_1\)', FIT)


def refused(tmp_path, value, found, inside=''):
    path = tmp_path / 'file'
    if isinstance(value, bytes):
        path.write_bytes(value)
    else:
        writer.save(path, value)
    with pytest.raises(InputError) as caught:
        stylegan2_files.open_generator(path)
    assert '\n' not in str(caught.value)
    assert (caught.value.field, caught.value.inside) == (str(path), inside)
    assert re.search(found, caught.value.found), caught.value.found


def changed(**changes):
    return {'G_ema': {**STATE, **{name.replace('__', '.'): v for name, v in changes.items()}}}


FIT = 'as StyleGAN2'  # where weights do not fit
OTHER_FILTER = (np.outer([1, 2, 2, 1], [1, 2, 2, 1]) / 36).astype(np.float32)


class TestRefused:
    """One line each."""

    def test_labels(self, tmp_path):
        embed = {'mapping__embed__weight': np.ones((8, 10), np.float32)}
        refused(tmp_path, changed(**embed), 'class labels, not supported')

    @pytest.mark.parametrize(
        'taps', [OTHER_FILTER, np.float32(np.nan) * OTHER_FILTER, OTHER_FILTER[0]]
    )
    def test_filters(self, tmp_path, taps):
        value = changed(synthesis__b8__conv0__resample_filter=taps)
        refused(tmp_path, value, r'resample_filter is not the filter \[1, 3, 3, 1\]', FIT)

    def test_alias_free(self, tmp_path):
        state = {
            'mapping.w_avg': np.ones(8, np.float32),
            'synthesis.L0_36_512.weight': np.ones((2, 2, 3, 3), np.float32),
        }
        made = generators.nvidia_bytes({'G_ema': generators.module(state)})
        refused(tmp_path, made, r'StyleGAN3 generator \(alias-free')

    @pytest.mark.parametrize('size', [2, 48, 2048])
    def test_resolutions(self, tmp_path, size):
        more = {f'synthesis__b{size}__conv1__weight': np.ones((1, 1, 3, 3), np.float32)}
        state = changed(**more)
        if size < 4:
            state['G_ema'] = {
                name: array
                for name, array in state['G_ema'].items()
                if not name.endswith('conv1.weight') or f'b{size}.' in name
            }
        refused(tmp_path, state, f'^{size}$', 'resolution')

    def test_rosinality_resolutions(self, tmp_path):
        state = generators.to_rosinality(STATE)
        state |= {f'to_rgbs.{k}.bias': np.ones((1, 3, 1, 1), np.float32) for k in range(9)}
        refused(tmp_path, {'g_ema': state}, '^2048$', 'resolution')

    @pytest.mark.parametrize('value', [np.nan, np.inf])
    def test_not_finite(self, tmp_path, value):
        bias = np.full(12, value, np.float32)
        refused(tmp_path, changed(synthesis__b4__conv1__bias=bias), '1 of .* not finite')

    def test_bounds(self, tmp_path):
        file = generators.nvidia_file(SIZES, clamp=-1)
        refused(tmp_path, generators.nvidia_bytes(file), 'conv_clamp')

    def test_no_generator(self, tmp_path):
        refused(tmp_path, states.filled(states.iresnet()), 'no StyleGAN2 generator in these')

    def test_every_part_that_does_not_fit_is_named(self, tmp_path):
        state = changed(strange=np.ones(2, np.float32))
        state['G_ema']['mapping.fc1.bias'] = np.ones(3, np.float32)
        del state['G_ema']['synthesis.b8.torgb.affine.weight']
        message = (
            r'unmatched \(strange\).*missing \(synthesis.b8.torgb.affine.w.*misshaped \(mapping.fc1'
        )
        refused(tmp_path, state, message, FIT)


def test_paths(tmp_path):
    for path, found in (
        (tmp_path, 'a directory'),
        (tmp_path / 'none', 'no such file'),
        (pathlib.Path('x' * 300), 'File name too long'),
    ):
        with pytest.raises(InputError) as caught:
            stylegan2_files.open_generator(path)
        assert caught.value.field == str(path)
        assert found in caught.value.found
