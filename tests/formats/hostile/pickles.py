"""Pickles that try to run code, lie about sizes, or take time and memory."""

import os
import pathlib
import pickle
import struct
from collections.abc import Callable

import numpy as np

from tests.formats import writer
from tests.formats.hostile.cases import case, pickle_in, tiny


class Bomb:
    """Pickles as a call."""

    def __init__(self, function: Callable, *arguments: object):
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


def bombs(marker: pathlib.Path) -> dict[str, Bomb]:
    """What Python's own unpickler would run: each leaves `marker` behind."""
    opening = f'open({str(marker)!r}, "w")'
    return {
        'system': Bomb(os.system, f'touch {marker}'),
        'eval': Bomb(eval, opening),
        'getattr': Bomb(getattr, Bomb(eval, opening), 'name'),
        'nested': Bomb(print, Bomb(print, Bomb(exec, opening))),
    }


MARKER = 'ran.marker'


@case('nothing was run', 'system', 'eval', 'getattr', 'nested')
def code_in_zip(path, name):
    bomb = bombs(path.parent / MARKER)[name]
    pickled = pickle.dumps({'state_dict': {'conv1.weight': bomb}}, 2)
    path.write_bytes(writer.zip_bytes(pickled))


@case('nothing was run', 'system', 'eval', 'getattr', 'nested')
def code_in_legacy(path, name):
    bomb = bombs(path.parent / MARKER)[name]
    path.write_bytes(writer.legacy_bytes(pickle.dumps([bomb], 2)))


@case('nothing was run')
def code_as_a_plain_pickle(path):
    path.write_bytes(pickle.dumps(bombs(path.parent / MARKER)['system'], 4))


@case('INST')
def code_by_an_old_operation(path):
    command = f'touch {path.parent / MARKER}'.encode()
    pickle_in(path, b"(S'" + command + b"'\nios\nsystem\n")


@case('nothing was run')
def whole_model(path):
    """What torch.save(model) writes: the class by name, its state behind."""
    pickle_in(path, writer.name_of('models', 'MobileFaceNet') + b')\x81}b', 'legacy')


@case('TorchScript')
def torchscript(path):
    data = pickle.dumps({}, 2)
    path.write_bytes(writer.zip_bytes(data, extra={'archive/constants.pkl': data}))


BLOCK = writer.storage('0', 'float32', 4)


@case('does not fit its storage', 'zip', 'legacy')
def huge_shape(path, form):
    huge = writer.tensor(BLOCK, 0, (1 << 20, 1 << 20), (1 << 20, 1))
    pickle_in(path, writer.body({'w': huge}, []), form, [np.zeros(4, np.float32)])


@case('has only 16 bytes')
def huge_storage(path):
    block = writer.storage('0', 'float32', 1 << 40)
    huge = writer.tensor(block, 0, (1 << 40,), (1,))
    pickle_in(path, writer.body({'w': huge}, []), 'zip', [np.zeros(4, np.float32)])


@case('truncated or damaged')
def huge_storage_legacy(path):
    block = writer.storage('0', 'float32', 1 << 40, view=True)
    huge = writer.tensor(block, 0, (1 << 40,), (1,))
    pickle_in(path, writer.body({'w': huge}, []), 'legacy', [np.zeros(4, np.float32)])


@case('no known backbone', 'zip', 'legacy')
def huge_but_empty(path, form):
    block = writer.storage('0', 'float32', 4, view=form == 'legacy')
    empty = writer.tensor(block, 0, (0, 1 << 47, 1 << 47), (1, 1, 1))
    pickle_in(path, writer.body({'w': empty}, []), form, [np.zeros(4, np.float32)])


@case('share 4096 stored ones')
def many_views_of_one_storage(path):
    block = writer.storage('0', 'float32', 4096)
    views = {f'w{i}': writer.tensor(block, 0, (4096,), (1,)) for i in range(1000)}
    pickle_in(path, writer.body(views, []), 'zip', [np.zeros(4096, np.float32)])


@case('depths')
def too_many_blocks(path):
    writer.save(path, tiny(**{'layer1.998.bn1.weight': np.ones(4, np.float32)}))


@case('width', 'zip', 'legacy')
def no_width(path, form):
    writer.save(path, tiny(**{'conv1.weight': np.zeros((0, 3, 3, 3), np.float32)}), form)


@case('misshaped')
def scalars(path):
    names = ('conv1.weight', 'fc.weight', 'fc.bias', 'bn1.weight')
    writer.save(path, tiny(**{name: np.ones((), np.float32) for name in names}))


@case('4000 places')
def thousands_of_prefixes(path):
    one = np.ones(1, np.float32)
    names = (
        f'{i}.{end}' for i in range(4000) for end in ('layer1.0.bn1.weight', 'features.weight')
    )
    writer.save(path, dict.fromkeys(names, one), 'zip')


@case('a damaged pickle|operations|named tensors', 'zip', 'legacy')
def nested_lists(path, form):
    pickle_in(path, b']' * 200_000 + b'a' * 199_999, form)


LAUGHS = b'Nq\x00' + b''.join(b'(' + b'h\x00' * 10 + b'tq\x00' for _ in range(40))


@case('named tensors')
def laughs(path):
    """Tuples that mention the last one ten times, forty times over."""
    pickle_in(path, LAUGHS)


@case('named tensors')
def laughs_as_a_key(path):
    pickle_in(path, LAUGHS + b'}h\x00Ns')


@case('operations')
def operations_without_end(path):
    pickle_in(path, b'N' + b'N0' * 400_000)


@case('found a number of', 'zip', 'legacy')
def number_of_megabytes(path, form):
    number = b'\x8b' + struct.pack('<i', 12 << 20) + b'\x7f' * (12 << 20)
    shape = writer.Raw(b'(' + number + b't')
    pickle_in(path, writer.tensor(BLOCK, 0, shape, (1,)), form)


@case('named tensors', 'zip', 'legacy')
def number_of_megabytes_as_a_key(path, form):
    number = b'\x8b' + struct.pack('<i', 12 << 20) + b'\x7f' * (12 << 20)
    pickle_in(path, b'}' + number + b'Ns', form)


@case('named tensors')
def text_of_megabytes_as_a_key(path):
    text = b'a' * (12 << 20) + '\U0001f600'.encode()
    pickle_in(path, b'}X' + struct.pack('<I', len(text)) + text + b'Ns')


@case('named tensors')
def large_pickle(path):
    pickle_in(path, b'B' + struct.pack('<I', 20 << 20) + bytes(20 << 20))


@case('named tensors')
def lists_in_a_dict(path):
    """Long keys over many children: paths must not be built for all of them."""
    children = b''.join(b'J' + struct.pack('<i', i) + b'}' for i in range(50_000))
    keys = (b'X\x00\x02\x00\x00' + b'k' * 512 + b'}') * 3
    pickle_in(path, b'}' + keys + b'(' + children + b'u' + b'sss')
