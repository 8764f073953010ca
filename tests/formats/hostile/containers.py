"""Objects, modules, arrays, archives and folders that lie, and files of other kinds."""

import json
import os
import pickle
import struct
import zipfile

import numpy as np
import safetensors.numpy

from tests.formats import writer
from tests.formats.hostile.cases import case, pickle_in, tiny
from tests.formats.hostile.pickles import MARKER, bombs

ONES = np.ones(4, np.float32)


def honest_with_objects(path):
    """A good state dict beside objects whose functions would leave a marker, were they called."""
    command = f'touch {path.parent / MARKER}'
    system = writer.call('builtins', 'getattr', writer.name_of('my.os', 'path'), 'system')
    called = writer.Raw(bytes(system) + writer.body((command,), []) + b'R')
    classes = writer.built('my.trainer', 'Trainer', {'run': called})
    writer.save(path, {'model': tiny(), 'called': called, 'trainer': classes})


def honest_torchscript(path):
    """Code and constants beside the tensors are not looked at."""
    keep: list[np.ndarray] = []
    bomb = pickle.dumps(bombs(path.parent / MARKER)['system'], 2)
    data = writer.PROTO + writer.scripted(tiny(), keep) + b'.'
    extra = {'archive/constants.pkl': bomb, 'archive/code/__torch__.py': b'import os\n'}
    path.write_bytes(writer.zip_bytes(data, keep, extra=extra))


@case('nothing was run', 'system', 'eval', 'getattr', 'nested')
def code_in_an_object(path, name):
    """Among arguments, attributes and items of a class that is nobody's."""
    bomb = writer.pickled(bombs(path.parent / MARKER)[name])
    value = {'model': tiny(), 'cfg': writer.built('easydict', 'EasyDict', {'a': bomb})}
    writer.save(path, value)


@case('nothing was run', 'system', 'eval')
def code_in_a_whole_module(path, name):
    bomb = writer.pickled(bombs(path.parent / MARKER)[name])
    keep: list[np.ndarray] = []
    whole = writer.module('IResNet', keep, {'conv1': writer.module('Conv2d', keep, weight=bomb)})
    path.write_bytes(writer.zip_bytes(writer.PROTO + whole + b'.', keep))


@case('nothing was run')
def code_in_torchscript(path):
    bomb = pickle.dumps(bombs(path.parent / MARKER)['system'], 2)
    path.write_bytes(writer.zip_bytes(bomb, extra={'archive/constants.pkl': bomb}))


@case('nothing was run', 'partial', 'newobj_ex')
def code_by_another_operation(path, name):
    system, command = writer.name_of('os', 'system'), (f'touch {path.parent / MARKER}',)
    arguments = writer.body(command, [])
    if name == 'partial':
        pickle_in(path, writer.call('functools', 'partial', system))
    else:
        pickle_in(path, bytes(system) + arguments + b'}\x92')


@case('named tensors')
def objects_without_end(path):
    """Each has room for entries and items."""
    pickle_in(path, bytes(writer.name_of('a', 'B')) + b'q\0](' + b'h\0)\x81' * 150_000 + b'e')


@case('named tensors')
def class_that_speaks_to_the_terminal(path):
    pickle_in(path, writer.built('\x1b]0;evil\x07', 'B', {}))


@case('named tensors')
def class_of_megabytes(path):
    pickle_in(path, writer.built('a' * (4 << 20), 'B', {}))


@case('share 4 stored ones')
def module_inside_itself(path):
    keep: list[np.ndarray] = []
    start = writer.name_of('net', 'Loop') + b')\x81q\xc8'
    tables = {'_parameters': {'weight': ONES}, '_buffers': {}}
    state = writer.body(tables, keep) + b'X\x08\0\0\0_modules}X\x01\0\0\0ah\xc8ss'
    pickle_in(path, start + state + b'b', 'zip', keep)


@case('20001 entries|400000 parts')
def modules_doubled(path):
    """Sixteen levels, each twice the one below."""
    keep: list[np.ndarray] = []
    bottom = writer.module('Conv2d', keep, weight=ONES)
    level = b'}(X\x01\0\0\0ah\0X\x01\0\0\0bh\0u'
    tables = b'}(X\x0b\0\0\0_parameters}X\x08\0\0\0_buffers}X\x08\0\0\0_modules' + level + b'u'
    made = bytes(writer.name_of('net', 'M')) + b')\x81' + tables + b'bq\0'
    pickle_in(path, bytes(bottom) + b'q\0' + made * 15, 'zip', keep)


ARRAYS = {
    'shape': (1, (1 << 40,), np.dtype('f4'), False, bytes(16)),
    'product': (1, (1 << 40,) * 8, np.dtype('f4'), False, bytes(16)),
    'number': (1, (1 << 70,), np.dtype('f4'), False, bytes(16)),
    'negative': (1, (-4,), np.dtype('f4'), False, bytes(16)),
    'objects': (1, (1,), np.dtype('O'), False, [1]),
    'text': (1, (1,), np.dtype('U4'), False, bytes(16)),
    'content': (1, (4,), np.dtype('f4'), False, None),
    'tuple': (1, (4,)),
    'record': (1, (1,), np.dtype([('a', 'f4', (4,))]), False, bytes(16)),
}


@case('no known backbone|named tensors', *ARRAYS)
def lying_arrays(path, name):
    made = writer.call('numpy.core.multiarray', '_reconstruct', writer.name_of('numpy', 'ndarray'))
    state = bytes(writer.pickled(ARRAYS[name], 4))
    path.write_bytes(b'\x80\x04}X\x01\0\0\0w' + bytes(made) + state + b'bs.')


def _npz(path, content, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, 'w', compression) as archive:
        archive.writestr('a.npy', content)


def _npy(header, data=bytes(16)):
    return b'\x93NUMPY\x01\0' + struct.pack('<H', len(header)) + header + data


HEADERS = {
    'shape': b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }",
    'digits': b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b'9' * 3000 + b',), }',
    'objects': b"{'descr': '|O', 'fortran_order': False, 'shape': (4,), }",
    'code': b"{'descr': __import__('os').system('true'), 'fortran_order': False, 'shape': (4,), }",
    'nested': b'[' * 4000,
    'long': b' ' * 60_000,
    'nothing': b'',
}


@case('an array of|a damaged header|no array', *HEADERS)
def lying_npz(path, name):
    _npz(path, _npy(HEADERS[name]))


@case('a compressed entry')
def npz_bomb(path):
    _npz(path, _npy(HEADERS['shape'], bytes(64 << 20)), zipfile.ZIP_DEFLATED)


INDICES = {
    'climbs': {'weight_map': {'a': '../../etc/passwd'}},
    'elsewhere': {'weight_map': {'a': '/etc/passwd'}},
    'backwards': {'weight_map': {'a': '..\\evil'}},
    'itself': {'weight_map': {'a': 'model.safetensors.index.json'}},
    'missing': {'weight_map': {'a': 'gone.safetensors'}},
    'list': {'weight_map': ['a']},
    'number': {'weight_map': {'a': 7}},
    'nothing': {},
    'folder': {'weight_map': {'a': '.'}},
    'files': {'weight_map': {str(i): f'{i}.bin' for i in range(1001)}},
    'entries': {'weight_map': {str(i): 'one.safetensors' for i in range(20_001)}},
    'terminal': {'weight_map': {'\x1b]0;evil\x07': 'one.safetensors'}},
    'less': {'weight_map': {'a': 'one.safetensors'}},
    'more': {
        'weight_map': {'a': 'one.safetensors', 'b': 'one.safetensors', 'c': 'one.safetensors'}
    },
}


@case('index|shard|no such file|another kind|files|entries|control|other tensors', *INDICES)
def lying_index(path, name):
    path.mkdir()
    (path / 'model.safetensors.index.json').write_text(json.dumps(INDICES[name]))
    safetensors.numpy.save_file({'a': ONES, 'b': ONES}, path / 'one.safetensors')


@case('index', 'deep', 'large', 'pipe')
def index_that_is_none(path, name):
    path.mkdir()
    index = path / 'pytorch_model.bin.index.json'
    if name == 'pipe':
        os.mkfifo(index)
    else:
        index.write_bytes(b'[' * ((5 << 20) if name == 'large' else 100_000))


KINDS = {
    'lfs': b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n',
    'html': b'\n<!DOCTYPE html><html><body>quota exceeded</body></html>',
    'tflite': b'\x1c\0\0\0TFL3' + bytes(100),
    'keras': b'\x89HDF\r\n\x1a\n' + bytes(100),
    'gzip': b'\x1f\x8b\x08' + bytes(100),
    'records': b'\x0a\x23\xd7\xce' + bytes(100),
    'picture': b'\x89PNG\r\n\x1a\n' + bytes(100),
}


@case('Git LFS|web page|Lite|HDF5|gzip|RecordIO|PNG', *KINDS)
def another_kind(path, name):
    path.write_bytes(KINDS[name])


@case('TensorFlow network')
def tensorflow_pickle(path):
    network = writer.built('dnnlib.tflib.network', 'Network', {'version': 4, 'static_kwargs': {}})
    path.write_bytes(writer.PROTO + network + b'.')


@case('SavedModel|train.rec', 'saved_model.pb', 'train.rec')
def folder_of_another_kind(path, name):
    path.mkdir()
    (path / name).write_bytes(bytes(10))
