"""Generators' files that lie: NVIDIA's pickles of modules, and what else is read as a generator."""

import pickle
import struct

import numpy as np

from tests.formats import generators, writer
from tests.formats.hostile.cases import CASES, GENERATORS, PROTO, STOP, case
from tests.formats.hostile.pickles import LAUGHS, MARKER, bombs

_BEFORE = set(CASES)
SIZES = generators.Sizes(resolution=8)


def honest(path):
    """NVIDIA's file."""
    generators.save(path, generators.nvidia_file(SIZES))


def honest_rosinality(path):
    """rosinality's file."""
    state = generators.filled(generators.nvidia_generator(SIZES))
    writer.save(path, generators.rosinality_file(state))


def _binary(content):
    return writer.Raw(b'B' + struct.pack('<I', len(content)) + content)


def _stored(content):
    """A call of `_load_from_bytes`."""
    return writer.call('torch.storage', '_load_from_bytes', _binary(content))


def _module(**state):
    meta = {'type': 'class', 'version': 6, 'module_src': '', 'class_name': 'N', 'state': state}
    return writer.call('torch_utils.persistence', '_reconstruct_persistent_obj', meta)


def _write(path, operations):
    path.write_bytes(PROTO + operations + STOP)


def _with_weight(path, weight):
    _write(path, _module(_parameters={'weight': weight}))


ONES = np.ones(4, np.float32)
BLOCK = generators.block(ONES)


def _tensor(content=BLOCK, shape=(4,), strides=(1,)):
    return writer.tensor(_stored(content), 0, shape, strides)


@case('nothing was run', 'system', 'eval', 'getattr', 'nested')
def code_in_a_module(path, name):
    bomb = bombs(path.parent / MARKER)[name]
    generators.save(path, {'G_ema': generators.module({'weight': bomb})})


@case('nothing was run', 'system', 'eval', 'getattr', 'nested')
def code_in_a_block(path, name):
    """What torch's own `_load_from_bytes` would run."""
    bomb = bombs(path.parent / MARKER)[name]
    _with_weight(path, _tensor(writer.legacy_bytes(pickle.dumps([bomb], 2))))


@case('no StyleGAN2 generator')
def code_as_source(path):
    """What `_reconstruct_persistent_obj` would run."""
    source = f'open({str(path.parent / MARKER)!r}, "w").close()\n' * 400
    generators.save(path, generators.module({'weight': ONES}, source))


@case('named tensors')
def code_as_source_of_nothing(path):
    source = f'open({str(path.parent / MARKER)!r}, "w").close()\n'
    path.write_bytes(pickle.dumps({'G_ema': {'module_src': source}}))


@case('named tensors')
def laughing_lists(path):
    _write(path, LAUGHS)


@case('no named tensors')
def laughing_modules(path):
    """Modules that mention the last one twice, forty times over."""
    call = writer.name_of('torch_utils.persistence', '_reconstruct_persistent_obj')
    names = b'(X\x01\0\0\0ah\0X\x01\0\0\0bh\0u'
    state = b'}X\x05\0\0\0state}X\x08\0\0\0_modules}' + names + b'ss'
    _write(path, b'Nq\0' + b''.join(call + state + b'\x85Rq\0' for _ in range(40)))


@case('more than 400000 parts')
def modules_that_share_their_parameters(path):
    """Ten thousand modules around one dict of ten thousand entries."""
    entries = b''.join(b'X\x05\0\0\0%05dN' % i for i in range(10_000))
    call = b'h\1}X\x05\0\0\0state}X\x0b\0\0\0_parametersh\0ss\x85R'
    start = b'}(' + entries + b'uq\0' + bytes(writer.name_of(*_RECONSTRUCT)) + b'q\1'
    modules = b''.join(b'X\x05\0\0\0%05d' % i + call for i in range(10_000))
    _write(path, start + b'}(' + modules + b'u')


_RECONSTRUCT = ('torch_utils.persistence', '_reconstruct_persistent_obj')


@case('no named tensors')
def deep_modules(path):
    call = bytes(writer.name_of(*_RECONSTRUCT))
    state = b'}X\x05\0\0\0state}X\x08\0\0\0_modules}X\x01\0\0\0a'
    _write(path, (call + state) * 30_000 + b'N' + b'sss\x85R' * 30_000)


@case('damaged', 'list', 'none', 'number', 'nothing')
def modules_of_no_state(path, name):
    state = {'list': [], 'none': None, 'number': 7}
    meta = {'state': state[name]} if name in state else {}
    _write(path, writer.call(*_RECONSTRUCT, meta))


BLOCKS = {
    'empty': b'',
    'text': b'torch',
    'zip': writer.encode({'a': ONES}),
    'number': pickle.dumps(7, 2),
    'cut': BLOCK[:-1],
    'head': BLOCK[:20],
    'list': writer.legacy_bytes(pickle.dumps([1], 2)),
    'missing': writer.legacy_bytes(
        PROTO + writer.storage('1', 'float32', 4, view=True) + STOP, [ONES]
    ),
    'count': writer.legacy_bytes(
        PROTO + writer.storage('0', 'float32', 1 << 40, view=True) + STOP, [ONES]
    ),
    'dtype': writer.legacy_bytes(
        PROTO + writer.storage('0', 'float64', 4, view=True) + STOP, [ONES]
    ),
    'itself': writer.legacy_bytes(PROTO + _stored(BLOCK) + STOP, [ONES]),
}


@case('damaged|truncated|form|does not fit|unknown type', *BLOCKS)
def lying_blocks(path, name):
    _with_weight(path, _tensor(BLOCKS[name]))


@case('does not fit its storage', 'short', 'long', 'wide')
def views_outside_their_block(path, name):
    views = {'short': ((5,), (1,)), 'long': ((1 << 47,), (1,)), 'wide': ((2,), (4,))}
    _with_weight(path, _tensor(BLOCK, *views[name]))


@case('share 4096 stored ones')
def many_views_of_one_block(path):
    content = generators.block(np.zeros(4096, np.float32))
    view = writer.body((0, (4096,), (1,), False, None), [])[1:-1]
    rebuild = bytes(writer.name_of('torch._utils', '_rebuild_tensor_v2'))
    views = b''.join(b'X\x05\0\0\0%05d' % i + rebuild + b'(h\0' + view + b'tR' for i in range(1000))
    state = b'}X\x05\0\0\0state}X\x08\0\0\0_buffers}(' + views + b'uss\x85R'
    start = bytes(_stored(content)) + b'q\x000'
    _write(path, start + bytes(writer.name_of(*_RECONSTRUCT)) + state)


@case('operations')
def operations_in_blocks(path):
    """Each block costs little, all together much."""
    good = PROTO + b'N0' * 10_000 + writer.storage('0', 'float32', 4, view=True) + STOP
    tensors = {f'w{i}': _tensor(writer.legacy_bytes(good, [ONES])) for i in range(60)}
    _write(path, _module(_parameters=tensors))


@case('20001 entries')
def tensors_without_end(path):
    """One block, mentioned again and again."""
    start = bytes(_tensor()) + b'q\x000' + bytes(writer.name_of(*_RECONSTRUCT))
    names = b''.join(b'X\x05\0\0\0%05dh\0' % i for i in range(21_000))
    _write(path, start + b'}X\x05\0\0\0state}X\x08\0\0\0_buffers}(' + names + b'uss\x85R')


@case('a name of')
def names_of_kilobytes(path):
    inner = _module(_buffers={'b' * 500: _tensor()})
    _write(path, _module(_modules={'a' * 500: inner}))


@case('control characters', 'tensor', 'number')
def names_that_speak_to_the_terminal(path, name):
    evil = '\x1b]0;evil\x07'
    _write(path, _module(_buffers={evil if name == 'tensor' else 'b': _tensor()}, **{evil: 7}))


@case('two tensors called')
def two_of_one_name(path):
    _write(path, _module(_buffers={'w': _tensor()}, _parameters={'w': _tensor()}))


@case('no StyleGAN2 generator')
def attribute_of_megabytes(path):
    number = writer.Raw(b'\x8b' + struct.pack('<i', 12 << 20) + b'\x7f' * (12 << 20))
    _write(path, _module(_buffers={'w': _tensor()}, conv_clamp=number))


@case('damaged')
def text_in_place_of_bytes(path):
    _with_weight(path, _tensor_of_text('\u20ac'.encode() * 5000))


@case('damaged')
def text_of_megabytes_in_place_of_bytes(path):
    """A text of zeros, which are a hole on the disk."""
    marker, size = b'the text' * 1000, 65 << 20
    _with_weight(path, _tensor_of_text(marker, size))
    head, tail = path.read_bytes().split(marker)
    with open(path, 'wb') as file:
        file.write(head)
        file.seek(size, 1)
        file.write(tail)


def _tensor_of_text(text, length=None):
    written = writer.Raw(b'X' + struct.pack('<I', length or len(text)) + text)
    content = writer.call('_codecs', 'encode', written, 'latin1')
    block = writer.call('torch.storage', '_load_from_bytes', content)
    return writer.tensor(block, 0, (4,), (1,))


@case('of 1099511627776 bytes', 'bytes', 'text', 'bytearray')
def blocks_longer_than_the_file(path, name):
    operation = {'bytes': b'\x8e', 'text': b'\x8d', 'bytearray': b'\x96'}[name]
    _write(path, operation + struct.pack('<Q', 1 << 40))


@case('damaged', '100', '5000', 'half', 'last')
def cut_modules(path, where):
    data = generators.nvidia_bytes(generators.nvidia_file(SIZES))
    path.write_bytes(data[: {'half': len(data) // 2, 'last': -1}.get(where) or int(where)])


@case('unmatched')
def gigabytes_without_content(path):
    """A hole on the disk, as long as its block says."""
    count = 1 << 30
    stored = PROTO + writer.storage('0', 'float32', count, view=True) + STOP
    head = writer.legacy_bytes(stored, [ONES[:1]])[:-12] + struct.pack('<q', count)
    length = len(head) + 4 * count
    start = (
        PROTO + bytes(writer.name_of(*_RECONSTRUCT)) + b'}X\x05\0\0\0state}X\x08\0\0\0_buffers}('
    )
    start += b'X\x12\0\0\0synthesis.b4.const' + bytes(_tensor()) + b'X\x07\0\0\0strange'
    load = bytes(writer.name_of('torch.storage', '_load_from_bytes'))
    rebuild = bytes(writer.name_of('torch._utils', '_rebuild_tensor_v2'))
    start += rebuild + b'(' + load + b'\x8e' + struct.pack('<Q', length) + head
    rest = b'\x85R' + writer.body((0, (count,), (1,)), [])[1:-1] + b'tRuss\x85R' + STOP
    with open(path, 'wb') as file:
        file.write(start)
        file.seek(4 * count, 1)
        file.write(rest)


def _state(**changes):
    state = generators.filled(generators.nvidia_generator(SIZES))
    return {'G_ema': {**state, **{name.replace('__', '.'): v for name, v in changes.items()}}}


@case('misshaped|resolution')
def generator_of_no_width(path):
    empty = np.zeros((0, 8, 3, 3), np.float32)
    writer.save(path, _state(synthesis__b4__conv1__weight=empty))


@case('misshaped')
def generator_of_scalars(path):
    one = np.ones((), np.float32)
    names = 'mapping__fc0__weight', 'synthesis__b8__conv0__weight', 'synthesis__b4__const'
    writer.save(path, _state(**dict.fromkeys(names, one)))


@case('missing|misshaped')
def many_layers(path):
    ones = np.ones((8, 8), np.float32)
    writer.save(path, _state(**{f'mapping__fc{i}__weight': ones for i in range(100)}))


@case('missing')
def only_its_name(path):
    writer.save(path, {'synthesis.b4.const': np.ones((4, 4, 4), np.float32)})


@case('missing', 'nvidia', 'rosinality')
def only_its_resolution(path, name):
    one = np.ones((1, 1, 3, 3), np.float32)
    state = {'synthesis.b4.const': one, 'synthesis.b1024.conv1.weight': one}
    if name == 'rosinality':
        state = {'input.input': one, **{f'to_rgbs.{k}.bias': one for k in range(8)}}
    writer.save(path, state)


GENERATORS.update(set(CASES) - _BEFORE)
