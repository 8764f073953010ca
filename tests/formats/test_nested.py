"""Files of whole networks, NVIDIA's pickles and rosinality's, give every tensor under its name."""

import importlib.util
import pickle

import numpy as np
import pytest

from fr_inference.errors import InputError
from fr_inference.formats.state_dicts import read_tensors
from fr_inference.weights import stylegan2_files
from tests.formats import generators, writer
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
        value = {
            'a': {'b.c': one, 'd': {'e': two}},
            'f': one,
            5: one,
            'g': [one, ('i', two)],
            'h': 7,
        }
        found = read_tensors(writer.save(tmp_path / 'file.pt', value, form))
        expected = {'a/b.c': one, 'a/d/e': two, 'f': one, 'g/0': one, 'g/i': two}
        same(found.tensors, expected)
        assert (found.notes, found.options) == ((), {})

    @pytest.mark.parametrize('form', writer.FORMATS)
    @pytest.mark.parametrize('average', [True, False])
    def test_rosinality(self, tmp_path, form, average):
        file = generators.rosinality_file(STATE, average)
        found = read_tensors(writer.save(tmp_path / 'file.pt', file, form))
        for name in ('g', 'g_ema', 'd'):
            same(below(found.tensors, f'{name}/'), file[name])
        assert ('latent_avg' in found.tensors) == average
        assert not any('optim' in name for name in found.tensors)

    @pytest.mark.parametrize('protocol', PROTOCOLS)
    def test_nvidia(self, tmp_path, protocol):
        file = generators.nvidia_file(SIZES, clamp=256)
        found = read_tensors(generators.save(tmp_path / 'file', file, protocol))
        same(below(found.tensors, 'G_ema/'), STATE)
        same(below(found.tensors, 'D/'), generators.filled(generators.nvidia_discriminator(SIZES)))
        assert {name.partition('/')[0] for name in found.tensors} == {'G', 'D', 'G_ema'}
        assert found.options['G_ema/z_dim'] == SIZES.z
        assert found.options['G_ema/synthesis.b16.conv0.conv_clamp'] == 256

    def test_one_module(self, tmp_path):
        path = generators.save(tmp_path / 'file', generators.module(STATE))
        same(read_tensors(path).tensors, STATE)

    def test_shared_storage(self, tmp_path):
        """A storage that is mentioned twice is read once."""
        array = np.arange(6, dtype=np.float32)
        one = generators.tensor(array)
        path = generators.save(tmp_path / 'file', generators.module({'weight': one, 'bias': one}))
        found = read_tensors(path).tensors
        assert (
            found['weight'].__array_interface__['data'] == found['bias'].__array_interface__['data']
        )

    @pytest.mark.parametrize('protocol', PROTOCOLS)
    def test_a_pickle_without_tensors(self, tmp_path, protocol):
        path = tmp_path / 'file.pkl'
        path.write_bytes(pickle.dumps({'G_ema': {'weight': [1.0]}}, protocol))
        with pytest.raises(InputError) as caught:
            read_tensors(path)
        assert (caught.value.field, caught.value.found) == (str(path), 'no named tensors')


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
    found = below(read_tensors(path).tensors, 'G_ema/')
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
    found = read_tensors(path).tensors
    same(below(found, 'g_ema/'), state)
    assert set(found) == {*(f'g_ema/{name}' for name in state), 'latent_avg'}
    assert stylegan2_files.open_generator(path)[0].resolution == 16


@needs_torch
@pytest.mark.filterwarnings('ignore:TypedStorage is deprecated')
def test_torch_reads_the_blocks_of_the_stand_ins():
    """Their bytes are those that torch's own `_load_from_bytes` reads."""
    import io

    import torch

    array = np.arange(6, dtype=np.float32)
    stored = torch.load(io.BytesIO(generators.block(array)), weights_only=False)
    assert stored.tolist() == array.tolist()
