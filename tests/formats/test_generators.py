"""Generators come out of NVIDIA's and rosinality's files as they went in, and no code of theirs runs."""

import importlib.util
import pathlib
import pickle

import jax
import numpy as np
import pytest

from fr_inference.errors import InputError
from fr_inference.formats.state_dicts import read_tensors
from fr_inference.models import stylegan2
from fr_inference.weights import stylegan2_names as convert
from tests.formats import generators, states, writer
from tests.formats.generators import Sizes

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec('torch') is None,
    reason='torch is not installed (.[test,parity]): the stand-ins are not checked live',
)
SIZES = Sizes()
PROTOCOLS = (2, 3, 4, 5)
STATE = generators.filled(generators.nvidia_generator(SIZES))


def same(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def below(tensors, prefix):
    return {
        name.removeprefix(prefix): array
        for name, array in tensors.items()
        if name.startswith(prefix)
    }


class TestNested:
    @pytest.mark.parametrize('form', writer.FORMATS)
    def test_names_from_the_top(self, tmp_path, form):
        one, two = np.ones(2, np.float32), np.arange(3)
        value = {'a': {'b.c': one, 'd': {'e': two}}, 'f': one, 5: one, 'g': [one], 'h': 7}
        found = read_tensors(writer.save(tmp_path / 'file.pt', value, form), nested=True)
        same(found.tensors, {'a.b.c': one, 'a.d.e': two, 'f': one})
        assert (found.notes, found.options) == ((), {})

    @pytest.mark.parametrize('form', writer.FORMATS)
    @pytest.mark.parametrize('average', [True, False])
    def test_rosinality(self, tmp_path, form, average):
        file = generators.rosinality_file(STATE, average)
        found = read_tensors(writer.save(tmp_path / 'file.pt', file, form), nested=True)
        for name in ('g', 'g_ema', 'd'):
            same(below(found.tensors, f'{name}.'), file[name])
        assert ('latent_avg' in found.tensors) == average
        assert not any('optim' in name for name in found.tensors)

    @pytest.mark.parametrize('protocol', PROTOCOLS)
    def test_nvidia(self, tmp_path, protocol):
        file = generators.nvidia_file(SIZES, clamp=256)
        found = read_tensors(generators.save(tmp_path / 'file', file, protocol), nested=True)
        same(below(found.tensors, 'G_ema.'), STATE)
        same(below(found.tensors, 'D.'), generators.filled(generators.nvidia_discriminator(SIZES)))
        assert {name.partition('.')[0] for name in found.tensors} == {'G', 'D', 'G_ema'}
        assert found.options['G_ema.z_dim'] == SIZES.z
        assert found.options['G_ema.synthesis.b16.conv0.conv_clamp'] == 256

    def test_one_module(self, tmp_path):
        path = generators.save(tmp_path / 'file', generators.module(STATE))
        same(read_tensors(path, nested=True).tensors, STATE)

    def test_shared_storage(self, tmp_path):
        """A storage that is mentioned twice is read once."""
        array = np.arange(6, dtype=np.float32)
        one = generators.tensor(array)
        path = generators.save(tmp_path / 'file', generators.module({'weight': one, 'bias': one}))
        found = read_tensors(path, nested=True).tensors
        assert (
            found['weight'].__array_interface__['data'] == found['bias'].__array_interface__['data']
        )

    @pytest.mark.parametrize('protocol', PROTOCOLS)
    @pytest.mark.parametrize('nested', [True, False])
    def test_a_plain_pickle(self, tmp_path, protocol, nested):
        path = tmp_path / 'file.pkl'
        path.write_bytes(pickle.dumps({'G_ema': {'weight': [1.0]}}, protocol))
        kind = 'without a network' if nested else 'not a PyTorch checkpoint'
        with pytest.raises(InputError, match=f'a plain pickle, {kind}; nothing was'):
            read_tensors(path, nested=nested)

    @pytest.mark.parametrize('protocol', PROTOCOLS)
    def test_modules_are_no_state_dict(self, tmp_path, protocol):
        path = generators.save(tmp_path / 'file', generators.nvidia_file(SIZES), protocol)
        with pytest.raises(
            InputError, match='a plain pickle, not a PyTorch checkpoint; nothing was'
        ):
            read_tensors(path)


def test_source_code_never_runs(tmp_path):
    """Python's own unpickler does run it."""
    marker = tmp_path / 'marker'
    file = generators.nvidia_file(SIZES, source=f'open({str(marker)!r}, "w").close()\n' * 100)
    path = generators.save(tmp_path / 'file.pkl', file)
    convert.open_generator(path)
    assert not marker.exists()
    with generators.stand_ins():
        pickle.loads(path.read_bytes())
    assert marker.exists()


def images(path, psi=0.7):
    module, variables, notes = convert.open_generator(path)
    z = np.random.default_rng(1).standard_normal((2, module.z_dim), np.float32)
    noise = stylegan2.constant_noise(variables)
    return np.asarray(module.apply(variables, z, psi=psi, noise=noise)), module, notes


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
        assert notes == ('recognised as StyleGAN2 at 16x16 from G_ema.',)

    @pytest.mark.parametrize('resolution', [4, 8, 32])
    def test_resolutions(self, tmp_path, resolution):
        sizes = Sizes(resolution=resolution)
        path = generators.save(tmp_path / 'a.pkl', generators.nvidia_file(sizes))
        assert images(path)[0].shape == (2, resolution, resolution, 3)

    @pytest.mark.parametrize('clamp', [None, 0.5])
    def test_bound_of_the_features(self, tmp_path, clamp):
        path = generators.save(tmp_path / 'a.pkl', generators.nvidia_file(SIZES, clamp=clamp))
        assert convert.open_generator(path)[0].clamp == clamp
        state = read_tensors(path, nested=True)
        module, variables = convert.discriminator(state.tensors, 'file', state.options)
        assert module.clamp == clamp
        assert module.apply(variables, np.zeros((2, 16, 16, 3), np.float32)).shape == (2,)

    def test_without_a_mean(self, tmp_path):
        path = writer.save(tmp_path / 'b.pt', generators.rosinality_file(STATE, average=False))
        module, variables, notes = convert.open_generator(path)
        assert 'taken over 4,096 random latents' in notes[1]
        z = np.asarray(jax.random.normal(jax.random.key(5), (4096, SIZES.z)))
        w = module.apply(variables, z, method='mapping')
        error = np.abs(np.mean(w, axis=0) - variables['buffers']['w_avg'])
        assert (error < 0.1 * np.std(w, axis=0)).all()


@needs_torch
@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_reads_what_torch_pickles(tmp_path, protocol):
    """Parameters and buffers as torch itself writes them into a pickle."""
    import torch

    tensors = {
        'weight': torch.nn.Parameter(torch.randn(3, 4, 3, 3).to(memory_format=torch.channels_last)),
        'bias': torch.nn.Parameter(torch.randn(3).half(), requires_grad=False),
        'inner.weight': torch.nn.Parameter(torch.randn(2, 5).T),
        'inner.w_avg': torch.arange(4),
        'inner.deep.noise_const': torch.randn(5, 5)[1:3, 2:4],
        'inner.deep.bias': torch.randn(7).bfloat16(),
    }
    made = {'G_ema': generators.module(tensors), 'size': torch.Size([3])}
    path = tmp_path / 'file.pkl'
    path.write_bytes(generators.nvidia_bytes(made, protocol, torch=False))
    found = below(read_tensors(path, nested=True).tensors, 'G_ema.')
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        value = tensor.detach()
        assert str(found[name].dtype) == str(value.dtype).removeprefix('torch.')
        np.testing.assert_array_equal(found[name].astype(np.float64), value.double().numpy())


@needs_torch
@pytest.mark.parametrize('zipped', [True, False])
def test_reads_what_torch_saves(tmp_path, zipped):
    import argparse

    import torch

    state = generators.to_rosinality(STATE)
    parameter = torch.nn.Parameter(torch.ones(2))
    optimiser = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimiser.step()
    path = tmp_path / 'file.pt'
    torch.save(
        {
            'g_ema': {name: torch.from_numpy(np.array(array)) for name, array in state.items()},
            'g_optim': optimiser.state_dict(),
            'args': argparse.Namespace(path='faces', size=16),
            'latent_avg': torch.from_numpy(STATE['mapping.w_avg']),
        },
        path,
        _use_new_zipfile_serialization=zipped,
    )
    found = read_tensors(path, nested=True).tensors
    same(below(found, 'g_ema.'), state)
    assert set(found) == {*(f'g_ema.{name}' for name in state), 'latent_avg'}
    assert images(path)[1].resolution == 16


@needs_torch
@pytest.mark.filterwarnings('ignore:TypedStorage is deprecated')
def test_torch_reads_the_blocks_of_the_stand_ins():
    """Their bytes are those that torch's own `_load_from_bytes` reads."""
    import io

    import torch

    array = np.arange(6, dtype=np.float32)
    stored = torch.load(io.BytesIO(generators.block(array)), weights_only=False)
    assert stored.tolist() == array.tolist()


def refused(tmp_path, value, message):
    path = tmp_path / 'file'
    if isinstance(value, bytes):
        path.write_bytes(value)
    else:
        writer.save(path, value)
    with pytest.raises(InputError, match=message) as caught:
        convert.open_generator(path)
    assert '\n' not in str(caught.value)
    assert str(path) in str(caught.value)


def changed(**changes):
    return {'G_ema': {**STATE, **{name.replace('__', '.'): v for name, v in changes.items()}}}


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
        refused(tmp_path, value, r'resample_filter is not the filter \[1, 3, 3, 1\]')

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
        refused(tmp_path, state, f'resolution: found {size}, expected one of 4, 8')

    def test_rosinality_resolutions(self, tmp_path):
        state = generators.to_rosinality(STATE)
        state |= {f'to_rgbs.{k}.bias': np.ones((1, 3, 1, 1), np.float32) for k in range(9)}
        refused(tmp_path, {'g_ema': state}, 'resolution: found 2048, expected one of 4, 8')

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
        refused(tmp_path, state, message)


def test_paths(tmp_path):
    for path in (tmp_path, tmp_path / 'none', pathlib.Path('x' * 300)):
        with pytest.raises(InputError, match=r'directory|not found|can not be read'):
            convert.open_generator(path)
