"""The pickle interpreter agrees with Python's own on honest values, and runs nothing at all."""

import argparse
import collections
import datetime
import decimal
import enum
import fractions
import functools
import os
import pathlib
import pickle
import random
import re
import types
import uuid

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_inference.errors import InputError
from fr_inference.formats import pickled, unpickler
from fr_inference.formats.opcodes import Allowance, Stream
from fr_inference.formats.pickled import Ignored, Module, Packed, Storage, TensorRef
from tests.formats import generators, writer

SCALARS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False)
VALUES = st.recursive(
    SCALARS | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


def loads(data):
    return unpickler.loads(Stream(data), 'file')


def run(operations):
    return loads(writer.PROTO + operations + b'.')


def refused(operations, reading=run):
    """The error of operations that must give one."""
    with pytest.raises(InputError) as caught:
        reading(operations)
    assert caught.value.field == 'file'
    assert '\n' not in str(caught.value)
    return caught.value


@settings(max_examples=200)
@given(VALUES, st.sampled_from([2, 3, 4, 5]))
def test_agrees_with_python(value, protocol):
    if protocol == 2:  # where bytes are written as a call of _codecs.encode
        value = without_bytes(value)
    assert loads(pickle.dumps(value, protocol)) == value


def without_bytes(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: without_bytes(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(without_bytes(inner) for inner in value)
    return value


def test_leaves_the_stream_behind_the_pickle():
    stream = Stream(pickle.dumps([1], 2) + pickle.dumps('two', 2) + b'rest')
    assert unpickler.loads(stream, 'file') == [1]
    assert unpickler.loads(stream, 'file') == 'two'
    assert stream.read(10) == b'rest'


def test_shared_values_stay_shared():
    inner = [1]
    found = loads(pickle.dumps([inner, inner], 2))
    assert found[0] is found[1]


class TestTensors:
    block = writer.storage('7', 'float16', 12)

    def test_reference(self):
        found = run(writer.tensor(self.block, 2, (2, 3), (4, 1)))
        assert found == TensorRef(Storage('7', 'float16', 12), 2, (2, 3), (4, 1))

    @pytest.mark.parametrize(
        ('offset', 'shape', 'strides'),
        [
            (0, (13,), (1,)),
            (1, (12,), (1,)),
            (0, (4, 3), (4, 1)),
            (12, (1,), (1,)),
            (0, (2,), (12,)),
            (0, (2**47,), (0,)),
            (0, (2**40, 2**40), (0, 0)),
            (-1, (2,), (1,)),
            (0, (-2,), (1,)),
            (0, (2,), (-1,)),
            (0, (2, 2), (1,)),
            (0, (1,) * 9, (1,) * 9),
            (0, (2.0,), (1,)),
            (0, (True,), (1,)),
            (0, ('2',), (1,)),
            (None, (2,), (1,)),
            (0, [2], (1,)),
            (0, (2**62,), (1,)),
        ],
    )
    def test_views_outside_their_storage(self, offset, shape, strides):
        found = refused(writer.tensor(self.block, offset, shape, strides)).found
        assert found.startswith('a damaged pickle, or not a pickle')

    @pytest.mark.parametrize('count', [-1, 2**48, 2**80, 'many', None, 1.5])
    def test_storage_sizes(self, count):
        assert 'found a number' in refused(writer.storage('0', 'float32', count)).found

    def test_view_of_a_storage(self):
        parts = ('storage', writer.name_of('torch', 'FloatStorage'), '0', 'cpu', 4, ('1', 0, 4))
        assert 'torch before 0.4' in refused(writer.body(parts, []) + b'Q').found

    def test_storage_of_another_type(self):
        parts = ('storage', writer.name_of('torch', 'Size'), '0', 'cpu', 4)
        assert refused(writer.body(parts, []) + b'Q').found == 'unknown storage type torch.Size'


def test_long_texts_and_bytes_stay_where_they_are():
    """Their bytes are looked at by nobody: they need not even be a text."""
    text, data = bytes(range(256)) * 20, bytes(3)
    content = b'X' + len(text).to_bytes(4, 'little') + text + b'C\x03' + data + b'\x86'
    found = run(content)
    assert [type(part) for part in found] == [memoryview] * 2
    assert (bytes(found[0]), bytes(found[1])) == (text, data)


@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
def test_a_storage_in_the_pickle(protocol):
    """Bytes as each protocol writes them."""
    content = bytes(range(256)) * 40
    for given_ in (content[:300], content):
        call = Bomb(generators._load_from_bytes, given_)
        found = loads(generators.nvidia_bytes([call], protocol))[0]
        assert isinstance(found, Packed)
        assert found.unpack(Allowance()) == given_


@pytest.mark.parametrize('piece', [1, 3, 64, 1 << 20])
def test_a_long_text_is_unpacked_piece_by_piece(monkeypatch, piece):
    """Characters of two bytes across the border of two pieces; what is left over at the end is told."""
    monkeypatch.setattr(pickled, '_PIECE', piece)
    data = bytes(range(256)) * 3
    text = data.decode('latin-1').encode()
    assert Packed(memoryview(text), text=True).unpack(Allowance()) == data
    for damaged in (text[:-1], b'a' + text[-1:], '\u20ac'.encode()):
        with pytest.raises(ValueError, match='codec'):
            Packed(memoryview(damaged), text=True).unpack(Allowance())


def test_memory_is_counted():
    packed = Packed(memoryview(b'a' * 100), text=True)
    with pytest.raises(ValueError, match='over 256 MiB'):
        packed.unpack(Allowance(copied=99))
    stream = Stream(b'\x80\x02' + b'N0' * 100, Allowance(copied=50))
    assert 'over 256 MiB' in refused(stream, lambda s: unpickler.loads(s, 'file')).found


@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
def test_modules(protocol):
    """Only the state is kept; sets, subclasses of dict and NumPy's numbers stand no test in the way."""
    made = generators.module({'weight': np.ones(3, np.float32)}, extra={1, 'two'})
    found = loads(generators.nvidia_bytes(made, protocol))
    assert isinstance(found, Module)
    assert isinstance(found.state['_parameters']['weight'], TensorRef)
    assert isinstance(found.state['_init_kwargs'], dict)


class Colour(enum.Enum):
    RED = 1


class Config(dict):
    """As EasyDict, AttributeDict and CfgNode are."""


def config(**entries):
    made = Config(entries)
    made.__dict__['frozen'] = True
    return made


VALUES_BESIDE = (
    *(collections.Counter('abb'), collections.deque([1, 2], 3), config(lr=0.1, steps=[1, 2])),
    *(datetime.datetime.now(datetime.UTC), datetime.date(2020, 1, 2), datetime.timedelta(1)),
    *(Colour.RED, slice(1, None), 1 + 2j, {1, 'two'}, frozenset([3]), range(3)),
    *(pathlib.PurePosixPath('a/b'), pathlib.PureWindowsPath('a\\b'), pathlib.Path('c')),
    *(argparse.Namespace(lr=1), types.SimpleNamespace(a=1), decimal.Decimal(1), uuid.UUID(int=1)),
    *(fractions.Fraction(1, 3), functools.partial(Config, a=1), random.Random(1), bytearray(b'ab')),
    *(np.float32(1.5), np.dtype('f4'), np.random.RandomState(1), np.random.default_rng(1)),
)


@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
@pytest.mark.parametrize('value', VALUES_BESIDE, ids=lambda value: type(value).__name__)
def test_what_stands_beside_weights_stands_in_no_way(value, protocol):
    found = loads(pickle.dumps({'before': 1, 'value': value, 'after': value}, protocol))
    assert list(found) == ['before', 'value', 'after']
    assert found['value'] is found['after'] or not isinstance(found['value'], Ignored)


def test_an_object_keeps_what_the_file_says_of_it():
    found = loads(pickle.dumps(config(lr=[1, 2]), 2))
    assert isinstance(found, Ignored)
    assert found.name == f'{__name__}.Config'
    assert (found.entries, found.state) == ({'lr': [1, 2]}, {'frozen': True})
    named = run(bytes(writer.name_of('a', 'B')) + b')}X\x01\0\0\0kK\x01s\x92')
    assert (named.name, named.arguments) == ('a.B', ((), {'k': 1}))


def test_keys_that_name_nothing_are_not_looked_at():
    """An optimizer's state has parameters for keys."""
    tensor = writer.tensor(writer.storage('0', 'float32', 4), 0, (4,), (1,))
    found = run(b'}(' + bytes(tensor) + b'K\x01' + writer.body((1, (2,)), []) + b'K\x02K\x05K\x03u')
    assert list(found.values()) == [1, 2, 3]
    assert not any(isinstance(key, str) for key in found)


@pytest.mark.parametrize('metadata', [{'neg': True}, {'conj': True}])
def test_views_of_other_numbers_are_no_tensors(metadata):
    """PyTorch keeps a lazily negated tensor as the numbers that are to be negated."""
    block = writer.storage('0', 'float32', 4)
    arguments = block, 0, (4,), (1,), False, None
    made = writer.call('torch._utils', '_rebuild_tensor_v2', *arguments, metadata)
    assert isinstance(run(made), Ignored)
    assert isinstance(
        run(writer.call('torch._utils', '_rebuild_tensor_v2', *arguments, {})), TensorRef
    )


@pytest.mark.parametrize('kind', ['Tensor', 'Other'])
def test_tensors_with_attributes(kind):
    block = writer.storage('0', 'float32', 4)
    function = writer.name_of('torch._utils', '_rebuild_tensor_v2')
    arguments = writer.Raw(writer.body((block, 0, (4,), (1,), False, None), []))
    state = {'added': 1}
    of_type = writer.name_of('torch', kind)
    made = writer.call(
        'torch._tensor', '_rebuild_from_type_v2', function, of_type, arguments, state
    )
    assert isinstance(run(made), TensorRef if kind == 'Tensor' else Ignored)


HARMLESS = ('torch', 'Size'), ('numpy', 'dtype'), ('argparse', 'Namespace'), ('my.own', 'Class')
HARMLESS += ('pathlib._local', 'PosixPath'), ('torch', 'float8_e4m3fn'), ('torch.optim.sgd', 'SGD')


@pytest.mark.parametrize(('module', 'name'), HARMLESS)
def test_bookkeeping_is_ignored(module, name):
    assert isinstance(run(writer.call(module, name, 'anything', 1)), Ignored)
    with_state = writer.call(module, name) + writer.body({'a': 1}, []) + b'b'
    assert isinstance(run(with_state), Ignored)


FORBIDDEN = (
    ('os', 'system'),
    ('posix', 'system'),
    ('nt', 'system'),
    ('subprocess', 'Popen'),
    ('builtins', 'eval'),
    ('builtins', 'exec'),
    ('builtins', '__import__'),
    ('__builtin__', 'eval'),
    ('importlib', 'import_module'),
    ('operator', 'attrgetter'),
    ('functools', 'reduce'),
    ('collections', 'OrderedDict.__init__'),
    ('torch', 'load'),
    ('torch.hub', 'load'),
    ('torch._utils', '_rebuild_tensor_v2.__globals__'),
    ('numpy', 'load'),
    ('numpy.testing._private.utils', 'runstring'),
    ('', ''),
)


@pytest.mark.parametrize(('module', 'name'), FORBIDDEN)
def test_names_outside_the_list(module, name):
    """Mentioning is enough, by either operation; calling is never reached."""
    stacked = writer.body(module, []) + writer.body(name, []) + b'\x93'
    for operations in (writer.name_of(module, name), stacked):
        for content in (operations, operations + b'(tR', b'(' + operations + b'o'):
            error = refused(content)
            assert 'nothing was run' in (error.hint or '') or 'damaged' in error.found


class Bomb:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('protocol', [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize('wrap', [lambda bomb: bomb, lambda bomb: {'a': [(bomb,)]}])
def test_real_exploits(tmp_path, protocol, wrap):
    """What Python's own unpickler would run, on the words of the file."""
    marker = tmp_path / 'ran'
    command = f'touch {marker}'
    nested = Bomb(getattr, Bomb(__import__, 'os'), 'system')
    for bomb in (Bomb(os.system, command), Bomb(eval, f'open({str(marker)!r}, "w")'), nested):
        with pytest.raises(InputError):
            loads(pickle.dumps(wrap(bomb), protocol))
    assert not marker.exists()


@pytest.mark.parametrize(
    ('operations', 'message'),
    [
        (b'', 'damaged'),
        (b'K', 'damaged'),
        (b'0', 'damaged'),
        (b't', 'no mark'),
        (b'K\x01a', 'damaged'),
        (b'K\x01K\x02a', 'found int, expected list'),
        (b'}K\x01s', 'damaged'),
        (b'](K\x01u', 'damaged'),
        (b'}(K\x01u', 'damaged'),
        (b'h\x05', 'damaged'),
        (b'K\x01K\x02R', 'found int, expected Global'),
        (b'\x82\x01', 'operation EXT1'),
        (b'(U\x02osU\x06systemi', 'damaged|operation'),
        (b'\x91', 'no mark'),
        (b'](K\x01\x90', 'found list, expected Ignored'),
        (b'\x97', 'operation NEXT_BUFFER'),
        (b'P1\n', 'operation PERSID'),
        (b'\x8b\xff\xff\xff\x7f', 'damaged'),
        (b'\x8d' + b'\xff' * 7 + b'\x7f', 'damaged'),
        (b'r\xff\xff\xff\xff', 'damaged'),
    ],
)
def test_malformed(operations, message):
    assert re.search(message, refused(operations).found)


def test_without_a_stop():
    assert 'damaged' in refused(pickle.dumps([1, 2], 2)[:-1], loads).found


def one_line(function, data):
    try:
        function(data)
    except InputError as error:
        return '\n' not in str(error)
    return True


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_arbitrary_bytes(data):
    """A value or one line of error, never anything else."""
    assert one_line(loads, data)


OPERATIONS = st.sampled_from(
    [
        *(b'}', b']', b')', b'(', b't', b'u', b's', b'e', b'a', b'R', b'Q', b'b', b'0', b'N', b'.'),
        *(b'\x85', b'\x86', b'\x87', b'\x81', b'\x88', b'\x94', b'h\x00', b'q\x00', b'K\x03'),
        bytes(writer.name_of('collections', 'OrderedDict')),
        bytes(writer.name_of('torch._utils', '_rebuild_tensor_v2')),
        bytes(writer.name_of('torch', 'FloatStorage')),
        bytes(writer.storage('0', 'float32', 4)),
        bytes(writer.tensor(writer.storage('0', 'float32', 4), 0, (4,), (1,))),
        writer.body('name', []),
    ]
)


@settings(max_examples=500)
@given(st.lists(OPERATIONS, max_size=25))
def test_arbitrary_operations(operations):
    assert one_line(run, b''.join(operations))
