"""ONNX files that lie, climb out, or would take more than they hold."""

import os

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.formats.hostile.cases import case

FLOAT = TensorProto.FLOAT


def graph(path, nodes, weights=(), *, inputs=('image',), outputs=('y',), shape=(1, 3, 16, 16)):
    """Writes a model, valid or not, and returns it."""
    given = [helper.make_tensor_value_info(name, FLOAT, shape) for name in inputs]
    results = [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs]
    made = helper.make_model(
        helper.make_graph(nodes, 'graph', given, results, list(weights)),
        opset_imports=[helper.make_opsetid('', 17)],
        ir_version=8,
    )
    path.write_bytes(made.SerializeToString())
    return made


def tensor(name, dims, raw=b'', kind=FLOAT):
    made = TensorProto(name=name, data_type=kind, raw_data=raw)
    made.dims.extend(dims)
    return made


def outside(location, **entries):
    made = TensorProto(name='w', data_type=FLOAT, data_location=TensorProto.EXTERNAL)
    made.dims.extend([4])
    for key, value in {'location': location, **entries}.items():
        made.external_data.add(key=key, value=value)
    return made


def add(weight='w'):
    return [helper.make_node('Add', ['image', weight], ['y'])]


@case('no earlier operator computes', 'cycle.onnx', 'itself.onnx', 'absent.onnx')
def graph_of(path, name):
    other = {'cycle.onnx': 'b', 'itself.onnx': 'a', 'absent.onnx': 'nowhere'}[name]
    nodes = [helper.make_node('Relu', [other], ['a']), helper.make_node('Relu', ['a'], ['b'])]
    graph(path, [*nodes, helper.make_node('Add', ['image', 'b'], ['y'])])


@case('two results with the same name', 'result.onnx')
def twice(path, name):
    graph(path, [helper.make_node('Relu', ['image'], ['y'])] * 2)


@case('no operator computes', 'output.onnx')
def no(path, name):
    graph(path, [helper.make_node('Relu', ['image'], ['z'])])


@case('2 inputs', 'inputs.onnx')
def two(path, name):
    graph(path, [helper.make_node('Relu', ['image'], ['y'])], inputs=('image', 'mask'))


@case(r'with 16 bytes, expected', 'huge.onnx', 'overflow.onnx', 'larger.onnx')
def shape_that_is(path, name):
    shapes = {'huge.onnx': [1 << 40], 'overflow.onnx': [1 << 32] * 4, 'larger.onnx': [5]}
    graph(path, add(), [tensor('w', shapes[name], bytes(16))])


@case('of shape', 'negative.onnx', 'axes.onnx')
def dims(path, name):
    graph(path, add(), [tensor('w', [-4] if name == 'negative.onnx' else [1] * 40, bytes(4))])


@case('STRING|number 99', 'texts.onnx', 'unknown.onnx')
def weights_of(path, name):
    kind = TensorProto.STRING if name == 'texts.onnx' else 99
    graph(path, add(), [tensor('w', [4], bytes(16), kind)])


@case(
    'most 4194304 elements|expected 1 to 16384|file contains|result of shape|do not fit',
    'fill.onnx',
    'expand.onnx',
    'tile.onnx',
    'outer.onnx',
    'many.onnx',
    'pad.onnx',
    'resize.onnx',
    'range.onnx',
    'doubling.onnx',
)
def grown(path, name):
    """A few bytes that ask for gigabytes, folded or computed."""
    big = numpy_helper.from_array(np.array([1 << 20, 1 << 20]), 'shape')
    one = numpy_helper.from_array(np.ones((1, 1), np.float32), 'one')
    column = numpy_helper.from_array(np.ones((1 << 16, 1), np.float32), 'column')
    row = numpy_helper.from_array(np.ones((1, 1 << 16), np.float32), 'row')
    some = numpy_helper.from_array(np.array([1 << 11, 1 << 11]), 'some')
    pads = numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 0, 1 << 20, 1 << 20]), 'pads')
    scales = numpy_helper.from_array(np.array([1, 1, 1 << 20, 1 << 20], np.float32), 'scales')
    numbers = [numpy_helper.from_array(np.array(n), f'n{n}') for n in (0, 1, 1 << 50)]
    fill = {'value': helper.make_tensor('v', FLOAT, [1], [1.0])}
    nodes = {
        'fill.onnx': [helper.make_node('ConstantOfShape', ['shape'], ['w'], **fill)],
        'expand.onnx': [helper.make_node('Expand', ['one', 'shape'], ['w'])],
        'tile.onnx': [helper.make_node('Tile', ['one', 'shape'], ['w'])],
        'outer.onnx': [helper.make_node('Mul', ['column', 'row'], ['w'])],
        'many.onnx': [
            *(helper.make_node('ConstantOfShape', ['some'], [f'w{n}'], **fill) for n in range(99)),
            helper.make_node('Sum', [f'w{n}' for n in range(99)], ['w']),
        ],
        'pad.onnx': [helper.make_node('Pad', ['image', 'pads'], ['w'])],
        'resize.onnx': [helper.make_node('Resize', ['image', '', 'scales'], ['w'])],
        'range.onnx': [
            helper.make_node(
                'Range', [n.name for n in (numbers[0], numbers[2], numbers[1])], ['r']
            ),
            helper.make_node('Cast', ['r'], ['w'], to=FLOAT),
        ],
        'doubling.onnx': [
            helper.make_node('Concat', ['image' if not n else f'w{n}'] * 2, [f'w{n + 1}'], axis=1)
            for n in range(40)
        ]
        + [helper.make_node('ReduceMean', ['w40'], ['w'])],
    }
    weights = [big, one, column, row, some, pads, scales, *numbers]
    graph(path, [*nodes[name], *add()], weights)


@case('at most 20000|more than 400000 fields', 'nodes.onnx', 'fields.onnx', 'numbers.onnx')
def too_many(path, name):
    """Empty messages take two bytes each in the file."""
    empty = {
        'nodes.onnx': b'\x0a\x00' * 30_000,
        'fields.onnx': b'\x0a\x00' * 3_000_000,
        'numbers.onnx': b'\x0a' + _sized(b'\x2a' + _sized(b'\x42\x01' * 2_000_000)),
    }[name]
    model = graph(path, add(), [tensor('w', [1], bytes(4))])
    path.write_bytes(model.SerializeToString() + b'\x3a' + _sized(empty))


def _sized(content):
    length, number = b'', len(content)
    while number > 127:
        length, number = length + bytes([number & 127 | 128]), number >> 7
    return length + bytes([number]) + content


@case('nested more than 32 deep', 'graphs.onnx')
def nested(path, name):
    """A graph inside an attribute of a node of a graph, and so on."""
    inner = b''
    for _ in range(5000):
        inner = b'\x0a' + _sized(b'\x2a' + _sized(b'\x32' + _sized(inner)))
    path.write_bytes(b'\x08\x08\x3a' + _sized(inner))


@case(
    'truncated file|damaged|another kind|web page',
    'half.onnx',
    'text.onnx',
    'zeros.onnx',
    'varint.onnx',
)
def not_quite(path, name):
    whole = graph(path, add(), [tensor('w', [1], bytes(4))]).SerializeToString()
    path.write_bytes(
        {
            'half.onnx': whole[: len(whole) // 2],
            'text.onnx': b'<!DOCTYPE html><html>Not found</html>',
            'zeros.onnx': bytes(1000),
            'varint.onnx': whole + b'\xff' * 20,
        }[name]
    )


@case('Git LFS pointer', 'pointer.onnx')
def lfs(path, name):
    path.write_text('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 174383860\n')


LOCATIONS = {
    'absolute.onnx': '/etc/passwd',
    'above.onnx': '../w',
    'through.onnx': 'a/../../w',
    'share.onnx': r'\\server\w',
    'drive.onnx': r'C:\w',
    'empty.onnx': '',
    'zero.onnx': 'a\0b',
    'link.onnx': 'link_to_etc',
}


@case('below the folder', *LOCATIONS)
def external(path, name):
    """The weights are said to lie where no model's weights lie, or behind a link."""
    if name == 'link.onnx':
        os.symlink('/etc/passwd', path.parent / 'link_to_etc')
    graph(path, add(), [outside(LOCATIONS[name])])


@case(
    'no such file|an offset and a length|which has|not a regular file',
    *('gone.onnx', 'offset.onnx', 'beyond.onnx', 'length.onnx', 'pipe.onnx'),
)
def external_data(path, name):
    """The place is right, the rest is not."""
    held = f'{path.stem}.bin'
    entries = {
        'offset.onnx': {'offset': '-8'},
        'beyond.onnx': {'offset': '1000000000000'},
        'length.onnx': {'length': '8'},
    }
    if name == 'pipe.onnx':
        os.mkfifo(path.parent / held)
    elif name != 'gone.onnx':
        (path.parent / held).write_bytes(bytes(16))
    graph(path, add(), [outside(held, **entries.get(name, {}))])


@case('operators of version', 'opset.onnx')
def future(path, name):
    made = graph(path, add(), [tensor('w', [1], bytes(4))])
    made.opset_import[0].version = 99
    path.write_bytes(made.SerializeToString())


@case(r'NoSuch \(1\)', 'operator.onnx')
def unknown(path, name):
    graph(path, [helper.make_node('NoSuch', ['image'], ['y'])])


@case(
    'one channel|one per channel|of one length|not finite|below 0',
    'lengths.onnx',
    'few.onnx',
    'nan.onnx',
    'negative.onnx',
)
def statistics(path, name):
    own = [np.ones(3, np.float32) for _ in range(4)]
    if name == 'lengths.onnx':
        own[2] = np.ones(4, np.float32)
    elif name == 'few.onnx':
        own = [one[:2] for one in own]
    else:
        own[3][0] = np.nan if name == 'nan.onnx' else -1
    weights = [numpy_helper.from_array(one, f'w{n}') for n, one in enumerate(own)]
    inputs = ['image', *(one.name for one in weights)]
    graph(path, [helper.make_node('BatchNormalization', inputs, ['y'])], weights)


@case('not a registered architecture', 'graph.onnx')
def convert(path, name):
    """A valid graph, which can be audited but not converted to a native folder."""
    kernel = numpy_helper.from_array(np.ones((4, 3, 16, 16), np.float32), 'w')
    graph(path, [helper.make_node('Conv', ['image', 'w'], ['y'])], [kernel])


@case('control characters', 'escape.onnx')
def name_with(path, name):
    graph(path, add('\x1b[2J'), [tensor('\x1b[2J', [1], bytes(4))])


@case('600 characters', 'long.onnx')
def names_are(path, name):
    graph(path, add('w' * 600), [tensor('w' * 600, [1], bytes(4))])
