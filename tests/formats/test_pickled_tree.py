"""Tensors have the names that a state dict gives them, wherever in a pickle they lie."""

import collections

import numpy as np
import pytest

from fr_inference.errors import InputError
from fr_inference.formats.state_dicts import read_tensors
from tests.formats import writer

ONE, TWO = np.ones(2, np.float32), np.arange(3)


def read(tmp_path, operations, keep=(), form='zip'):
    path = tmp_path / 'file.pt'
    path.write_bytes(writer.FORMATS[form](writer.PROTO + bytes(operations) + b'.', list(keep)))
    return read_tensors(path)


def same(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_lists_and_pairs(tmp_path):
    value = [{'a': ONE}, ONE, ('named', TWO), (TWO, ONE), 7]
    found = read_tensors(writer.save(tmp_path / 'file.pt', value)).tensors
    same(found, {'0/a': ONE, '1': ONE, 'named': TWO, '3/0': TWO, '3/1': ONE})


def block(keep):
    conv = writer.module('Conv2d', keep, weight=ONE, bias=None)
    norm = writer.module('BatchNorm2d', keep, weight=ONE, running_mean=TWO)
    return writer.module('Block', keep, {'conv': conv, 'bn': norm})


@pytest.mark.parametrize('form', writer.FORMATS)
def test_a_module_pickled_whole(tmp_path, form):
    keep: list[np.ndarray] = []
    whole = writer.module('Net', keep, {'layer': block(keep)}, scale=ONE)
    found = read(tmp_path, writer.body({'model': whole, 'epoch': 3}, keep), keep, form)
    expected = {'scale': ONE, 'layer.conv.weight': ONE, 'layer.bn.weight': ONE}
    expected['layer.bn.running_mean'] = TWO
    same(found.tensors, {f'model/{name}': array for name, array in expected.items()})
    assert len(found.notes) == 1
    assert 'net.Net' in found.notes[0]


def test_the_older_format_keeps_code_beside_a_class(tmp_path):
    """It is a text like any other."""
    keep: list[np.ndarray] = []
    kind = ('module', writer.name_of('net', 'Net'), 'net.py', 'import os')
    tables = {'_parameters': {'weight': ONE}, '_buffers': {}, '_modules': {}}
    made = writer.body(kind, []) + b'Q)\x81' + writer.body(tables, keep) + b'b'
    same(read(tmp_path, made, keep, 'legacy').tensors, {'weight': ONE})


def test_a_module_that_is_part_of_two(tmp_path):
    """A state dict holds it under both names."""
    keep: list[np.ndarray] = []
    shared = writer.Raw(bytes(writer.module('PReLU', keep, weight=ONE)) + b'q\xc8')
    whole = writer.module('Net', keep, {'a': shared, 'b': writer.Raw(b'h\xc8')})
    same(read(tmp_path, whole, keep).tensors, {'a.weight': ONE, 'b.weight': ONE})


@pytest.mark.parametrize('protocol', [2, 4])
def test_buffers_that_no_state_dict_holds(tmp_path, protocol):
    keep: list[np.ndarray] = []
    tables = {'_parameters': {}, '_buffers': {'kept': ONE, 'passing': TWO}, '_modules': {}}
    passing = writer.pickled({'passing'}, 2)
    if protocol == 4:
        passing = writer.Raw(b'\x8f(X\x07\0\0\0passing\x90')
    whole = writer.built('net', 'Net', {**tables, '_non_persistent_buffers_set': passing}, keep)
    same(read(tmp_path, whole, keep).tensors, {'kept': ONE})


def test_torchscript(tmp_path):
    keep: list[np.ndarray] = []
    data = writer.PROTO + writer.scripted({'conv.weight': ONE, 'a.b.bias': TWO}, keep) + b'.'
    path = tmp_path / 'file.pt'
    path.write_bytes(writer.zip_bytes(data, keep, extra={'archive/constants.pkl': b'code'}))
    same(read_tensors(path).tensors, {'conv.weight': ONE, 'a.b.bias': TWO})


def test_torchscript_without_names(tmp_path):
    data = writer.PROTO + writer.scripted({}, []) + b'.'
    path = tmp_path / 'file.pt'
    path.write_bytes(writer.zip_bytes(data, extra={'archive/constants.pkl': data}))
    with pytest.raises(InputError) as caught:
        read_tensors(path)
    assert 'TorchScript' in caught.value.found
    assert 'ONNX' in caught.value.hint


def test_objects_are_named_and_what_they_hold_is_found(tmp_path):
    """In the order of the file; plain values such as sets are not worth a word."""
    keep: list[np.ndarray] = []
    state = {'shadow': {'w': ONE}, 'decay': 0.9}
    value = {
        'ema': writer.built('train', 'Average', state, keep),
        'steps': writer.pickled(collections.Counter('ab')),
        'seen': writer.pickled({1}),
        'size': writer.call('torch', 'Size', (1,)),
    }
    found = read(tmp_path, writer.body(value, keep), keep)
    same(found.tensors, {'ema/shadow/w': ONE})
    assert [note.split(': ')[1] for note in found.notes] == ['train.Average, collections.Counter']


def unread(name, *arguments):
    """A tensor in a form that is not read."""
    return writer.call('torch._utils', name, *arguments)


UNREAD = {
    'sparse': unread('_rebuild_sparse_tensor', 'layout', (1, 2)),
    'quantised': unread('_rebuild_qtensor', writer.storage('9', 'uint8', 4), 0, (4,), (1,)),
    'float8': unread('_rebuild_tensor_v3', writer.storage('9', 'uint8', 4), 0, (4,), (1,)),
    'meta': unread('_rebuild_meta_tensor_no_storage', 'float32', (4,), (1,), False),
    'subclass': writer.call('my.tensors', 'rebuild', writer.storage('9', 'float32', 4)),
    'complex': writer.tensor(writer.storage('9', 'complex64', 4), 0, (4,), (1,)),
}


@pytest.mark.parametrize('name', UNREAD)
def test_tensors_of_other_forms_are_set_aside_and_named(tmp_path, name):
    keep: list[np.ndarray] = []
    found = read(tmp_path, writer.body({'w': ONE, 'side': UNREAD[name]}, keep), keep)
    same(found.tensors, {'w': ONE})
    assert set(found.unread) == {'side'}
    assert len(found.notes) == 1
    assert 'side (' in found.notes[0]


def test_nothing_but_tensors_of_other_forms(tmp_path):
    with pytest.raises(InputError) as caught:
        read(tmp_path, writer.body({'w': UNREAD['sparse']}, []))
    assert 'w (torch._utils._rebuild_sparse_tensor)' in caught.value.found


def test_an_optimizer_pickled_whole(tmp_path):
    """Its state has parameters for keys, in both formats of a file."""
    keep: list[np.ndarray] = []
    key = writer.Raw(writer.body(ONE, keep))
    state = writer.Raw(b'}' + bytes(key) + writer.body({'step': 1}, []) + b's')
    optimizer = writer.built('torch.optim.sgd', 'SGD', {'state': state, 'param_groups': [{}]}, keep)
    value = writer.Raw(writer.body({'opt': optimizer, 'w': TWO}, keep))
    same(read(tmp_path, value, keep).tensors, {'w': TWO})


torch_cases = pytest.mark.parametrize('zipped', [True, False])


@torch_cases
def test_reads_whole_modules_of_torch(tmp_path, zipped):
    torch = pytest.importorskip('torch')
    made = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 1, bias=False), torch.nn.BatchNorm2d(4), torch.nn.PReLU(4)
    )
    optimizer = torch.optim.Adam(made.parameters())
    path = tmp_path / 'file.pt'
    value = {'net': made, 'optimizer': optimizer, 'sparse': torch.eye(3).to_sparse()}
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    found = read_tensors(path)
    expected = {f'net/{name}': array.numpy() for name, array in made.state_dict().items()}
    same({k: v for k, v in found.tensors.items() if k.startswith('net/')}, expected)
    assert set(found.unread) == {'sparse'}
    assert found.options['net/1.eps'] == 1e-5
