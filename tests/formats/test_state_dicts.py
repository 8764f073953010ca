"""Tensors come out of all three file formats as they went in; torch, where there is one, agrees."""

import importlib.util
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from fr_inference.errors import InputError
from fr_inference.formats.state_dicts import read_tensors
from tests.formats import states, writer

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec('torch') is None,
    reason='torch is not installed (.[test,parity]): the hand-written writer is not checked live',
)
FORMS = tuple(writer.FORMATS)


def state(dtype=np.float32):
    draw = np.random.default_rng(0)
    return {
        'conv.weight': draw.normal(size=(4, 3, 3, 3)).astype(dtype),
        'bn.running_mean': draw.normal(size=4).astype(dtype),
        'scalar': np.asarray(3, dtype),
    }


def same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def read(path, value, form='zip'):
    return read_tensors(writer.save(path / 'file.pt', value, form))


def refused(reading, path, *arguments):
    """What an error about a file below the path says was found."""
    with pytest.raises(InputError) as caught:
        reading(path, *arguments)
    assert caught.value.field.startswith(str(path))
    return caught.value.found


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('dtype', ['float64', 'float32', 'float16', 'bfloat16', 'int64', 'uint8'])
def test_dtypes(tmp_path, form, dtype):
    expected = state(np.dtype(ml_dtypes.bfloat16) if dtype == 'bfloat16' else dtype)
    same(read(tmp_path, expected, form).tensors, expected)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('name', ['state_dict', 'net_state_dict', 'model', 'backbone'])
def test_nested(tmp_path, form, name):
    value = {'epoch': 7, name: state(), 'note': 'text', 'best': 0.5, 'more': [None, (1, True)]}
    found = read(tmp_path, value, form)
    same(found.tensors, {f'{name}/{key}': array for key, array in state().items()})
    assert found.notes == ()


@pytest.mark.parametrize('form', FORMS)
def test_views_share_a_storage(tmp_path, form):
    base = np.arange(12, dtype=np.float32)
    block = writer.storage('0', 'float32', 12, view=form == 'legacy')
    value = {
        'rows': writer.tensor(block, 0, (3, 4), (4, 1)),
        'columns': writer.tensor(block, 0, (4, 3), (1, 4)),
        'late': writer.tensor(block, 9, (3,), (1,)),
        'repeated': writer.tensor(block, 2, (2, 3), (0, 1)),
    }
    pickled = writer.PROTO + writer.body(value, []) + b'.'
    path = tmp_path / 'file.pt'
    path.write_bytes(writer.FORMATS[form](pickled, [base]))
    found = read_tensors(path).tensors
    rows = base.reshape(3, 4)
    same(
        found,
        {'rows': rows, 'columns': rows.T, 'late': base[9:], 'repeated': np.stack([base[2:5]] * 2)},
    )
    with pytest.raises(ValueError, match='read-only'):
        found['rows'][0, 0] = 1


def test_parameters_and_metadata(tmp_path):
    """A Parameter is its tensor; an OrderedDict's attributes are left out."""
    keep: list[np.ndarray] = []
    array = np.arange(3, dtype=np.float32)
    inner = writer.Raw(writer.body(array, keep))
    parameter = writer.call(
        'torch._utils', '_rebuild_parameter', inner, True, writer.call('collections', 'OrderedDict')
    )
    ordered = writer.call('collections', 'OrderedDict', [('weight', parameter)])
    metadata = writer.body({'_metadata': {'': {'version': 1}}}, [])
    path = tmp_path / 'file.pt'
    path.write_bytes(writer.zip_bytes(writer.PROTO + ordered + metadata + b'b.', keep))
    same(read_tensors(path).tensors, {'weight': array})


@pytest.mark.parametrize('suffix', ['.safetensors', '.pt'])
def test_safetensors(tmp_path, suffix):
    """Recognised by content, whatever it is called."""
    expected = state()
    path = tmp_path / f'file{suffix}'
    safetensors.numpy.save_file(expected, path)
    found = read_tensors(path).tensors
    same({name: found[name] for name in expected}, expected)


def test_bfloat16_safetensors(tmp_path):
    header = b'{"a":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]}}'
    values = np.array([1.5, -2, 0.25], ml_dtypes.bfloat16)
    path = tmp_path / 'file.safetensors'
    path.write_bytes(struct.pack('<Q', len(header)) + header + values.tobytes())
    same(read_tensors(path).tensors, {'a': values})


@pytest.mark.parametrize(
    'value',
    [{}, np.ones(3), {0: np.ones(3)}, 'text', 5],
    ids=['empty', 'nameless', 'number', 'text', 'whole'],
)
@pytest.mark.parametrize('form', FORMS)
def test_no_state_dict(tmp_path, value, form):
    assert refused(read, tmp_path, value, form) == 'no named tensors'


def test_any_zip_is_no_checkpoint(tmp_path):
    path = tmp_path / 'file.pt'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('readme.txt', 'text')
    assert refused(read_tensors, path) == 'an archive with 0 entries called data.pkl'


def test_big_endian(tmp_path):
    pickled = writer.PROTO + writer.body({}, []) + b'.'
    path = tmp_path / 'file.pt'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', pickled)
        archive.writestr('archive/byteorder', b'big')
    assert refused(read_tensors, path) == 'big-endian numbers'


@pytest.mark.parametrize('form', FORMS)
def test_empty_tensor(tmp_path, form):
    value = {'some': np.ones(1, np.float32), 'nothing': np.zeros((0, 5), np.float32)}
    assert read(tmp_path, value, form).tensors['nothing'].size == 0


@needs_torch
class TestAgainstTorch:
    @pytest.mark.parametrize('zipped', [True, False])
    def test_reads_what_torch_writes(self, tmp_path, zipped):
        import torch

        expected = states.filled(states.iresnet())
        tensors = {name: torch.from_numpy(array) for name, array in expected.items()}
        tensors['half'] = torch.arange(6).reshape(2, 3).half()
        tensors['brain'] = torch.arange(6).bfloat16()
        tensors['turned'] = torch.arange(6.0).reshape(2, 3).T
        tensors['parameter'] = torch.nn.Parameter(torch.ones(3))
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9)
        path = tmp_path / 'file.pt'
        torch.save(
            {'epoch': 3, 'model': tensors, 'optimizer': optimizer.state_dict()},
            path,
            _use_new_zipfile_serialization=zipped,
        )
        read = read_tensors(path).tensors
        found = {name.removeprefix('model/'): array for name, array in read.items()}
        assert list(found) == list(tensors)
        for name, tensor in tensors.items():
            value = tensor.detach()
            assert str(found[name].dtype) == str(value.dtype).removeprefix('torch.')
            wide = found[name].astype(np.float64)
            np.testing.assert_array_equal(wide, value.double().numpy())

    @pytest.mark.parametrize('form', FORMS)
    def test_torch_reads_what_the_writer_writes(self, tmp_path, form):
        import torch

        expected = {**states.filled(states.iresnet()), **state(), 'h': np.ones(2, np.float16)}
        path = writer.save(tmp_path / 'file.pt', {'epoch': 3, 'net': expected}, form)
        found = torch.load(path, weights_only=True)['net']
        same({name: tensor.numpy() for name, tensor in found.items()}, expected)
