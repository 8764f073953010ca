"""ONNX files: every type of weight, external data, and bytes of any kind."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from fr_inference.errors import InputError
from fr_inference.formats import onnx_file, protobuf_bounds

FLOAT = TensorProto.FLOAT


def model_of(*weights, nodes=(), shape=(1, 3, 4, 4)):
    image = helper.make_tensor_value_info('image', FLOAT, shape)
    result = helper.make_tensor_value_info('y', FLOAT, None)
    relu = helper.make_node('Relu', ['image'], ['y'], name='last')
    graph = helper.make_graph([*nodes, relu], 'graph', [image], [result], list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)


def read(model, folder):
    path = folder / 'model.onnx'
    path.write_bytes(model.SerializeToString())
    return onnx_file.read(path)


@pytest.mark.parametrize('raw', [True, False])
@pytest.mark.parametrize(
    'kind',
    [
        *('FLOAT', 'DOUBLE', 'FLOAT16', 'BFLOAT16', 'BOOL', 'INT8', 'INT16', 'INT32', 'INT64'),
        *('UINT8', 'UINT16', 'UINT32', 'UINT64'),
    ],
)
def test_weights_of_every_type(kind, raw, tmp_path):
    """As ONNX's own reader reads them, in raw bytes and as typed numbers."""
    number = getattr(TensorProto, kind)
    dtype = helper.tensor_dtype_to_np_dtype(number)
    values = np.arange(6).reshape(2, 3).astype(dtype)
    if raw:
        tensor = helper.make_tensor('w', number, [2, 3], values.tobytes(), raw=True)
    else:
        tensor = helper.make_tensor('w', number, [2, 3], values.flatten())
    found = read(model_of(tensor), tmp_path).constants['w']
    assert found.shape == (2, 3)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, numpy_helper.to_array(tensor))


def test_negative_numbers_in_fields(tmp_path):
    for kind, dtype in ((TensorProto.INT8, np.int8), (TensorProto.INT64, np.int64)):
        tensor = helper.make_tensor('w', kind, [2], [-7, 3])
        found = read(model_of(tensor), tmp_path).constants['w']
        np.testing.assert_array_equal(found, np.array([-7, 3], dtype))
    wrong = TensorProto(name='w', data_type=TensorProto.INT8, int32_data=[1000])
    wrong.dims.append(1)
    with pytest.raises(InputError):
        read(model_of(wrong), tmp_path)


def test_what_is_read(tmp_path):
    attributes = {'alpha': 0.5, 'axis': -1, 'mode': 'edge', 'pads': [1, 2], 'scales': [0.5, 2.0]}
    array = numpy_helper.from_array(np.ones(2, np.float32))
    node = helper.make_node(
        'Any', ['image', '', 'w'], ['a', 'b'], 'node', value=array, **attributes
    )
    constants = [
        helper.make_node('Constant', [], ['one'], value=array),
        helper.make_node('Constant', [], ['two'], value_int=3),
        helper.make_node('Constant', [], ['three'], value_floats=[1.0, 2.0]),
    ]
    weight = numpy_helper.from_array(np.zeros(3, np.float32), 'w')
    found = read(model_of(weight, nodes=[*constants, node], shape=('N', 3, None, 4)), tmp_path)
    assert (found.input, found.shape, found.outputs) == ('image', (None, 3, None, 4), ('y',))
    assert sorted(found.constants) == ['one', 'three', 'two', 'w']
    assert (found.constants['two'].dtype, found.constants['two'].shape) == (np.int64, ())
    first, last = found.nodes
    assert (first.op, first.inputs, first.outputs) == ('Any', ('image', '', 'w'), ('a', 'b'))
    np.testing.assert_array_equal(first.attributes['value'], np.ones(2, np.float32))
    for name, value in attributes.items():
        assert first.attributes[name] == (tuple(value) if isinstance(value, list) else value)
    assert (last.name, last.opset) == ('last', 17)


def test_old_files_list_weights_as_inputs(tmp_path):
    model = model_of(numpy_helper.from_array(np.zeros(3, np.float32), 'w'))
    model.graph.input.append(helper.make_tensor_value_info('w', FLOAT, [3]))
    assert read(model, tmp_path).input == 'image'


def test_external_data(tmp_path):
    """Weights in a file of their own, in a folder below, at any offset."""
    (tmp_path / 'below').mkdir()
    values = np.arange(8, dtype=np.float32)
    (tmp_path / 'below' / 'w.bin').write_bytes(bytes(16) + values.tobytes())
    tensor = TensorProto(name='w', data_type=FLOAT, data_location=TensorProto.EXTERNAL)
    tensor.dims.extend([2, 4])
    for key, value in {'location': 'below/w.bin', 'offset': '16', 'length': '32'}.items():
        tensor.external_data.add(key=key, value=value)
    found = read(model_of(tensor), tmp_path)
    np.testing.assert_array_equal(found.constants['w'], values.reshape(2, 4))
    assert [file.name for file in found.files[1:]] == ['w.bin']
    assert onnx_file.files_of(found.files[0]) == found.files
    (tmp_path / 'below' / 'w.bin').write_text('version https://git-lfs.github.com/spec/v1\n' * 9)
    with pytest.raises(InputError) as caught:
        read(model_of(tensor), tmp_path)
    assert 'Git LFS' in caught.value.found


def test_beside_a_link_to_the_folder(tmp_path):
    """The folder itself may be a link, as long as the weights lie below what it leads to."""
    (tmp_path / 'real').mkdir()
    (tmp_path / 'link').symlink_to('real')
    (tmp_path / 'real' / 'w.bin').write_bytes(bytes(8))
    tensor = TensorProto(name='w', data_type=FLOAT, data_location=TensorProto.EXTERNAL)
    tensor.dims.append(2)
    tensor.external_data.add(key='location', value='w.bin')
    assert read(model_of(tensor), tmp_path / 'link').constants['w'].tolist() == [0, 0]


@pytest.mark.parametrize('opset', [onnx_file.OPSETS.start, onnx_file.OPSETS.stop - 1])
def test_versions(opset, tmp_path):
    model = model_of()
    model.opset_import[0].version = opset
    assert read(model, tmp_path).nodes[0].opset == opset
    model.opset_import[0].version = opset + (1 if opset > 9 else -1)
    with pytest.raises(InputError):
        read(model, tmp_path)


def test_functions_and_sparse_weights_are_refused(tmp_path):
    model = model_of()
    model.functions.add(name='mine', domain='own')
    with pytest.raises(InputError) as caught:
        read(model, tmp_path)
    assert 'mine' in caught.value.found
    model = model_of()
    model.graph.sparse_initializer.add()
    with pytest.raises(InputError) as caught:
        read(model, tmp_path)
    assert caught.value.found == 'sparse weights'


def test_counting_agrees_with_the_parser():
    """What the library accepts within the bounds passes; what it refuses is refused."""
    content = model_of(*(numpy_helper.from_array(np.ones(4), f'w{n}') for n in range(50)))
    content = content.SerializeToString()
    protobuf_bounds.check(memoryview(content), onnx.ModelProto.DESCRIPTOR, 'x')
    for cut in (1, 7, 40, len(content) // 2):
        with pytest.raises(InputError):
            protobuf_bounds.check(memoryview(content[:-cut]), onnx.ModelProto.DESCRIPTOR, 'x')


VALID = model_of(
    numpy_helper.from_array(np.ones((2, 2), np.float32), 'w'),
    helper.make_tensor('v', TensorProto.INT64, [2], [1, -1]),
    nodes=[helper.make_node('Slice', ['w', 'v', 'v'], ['z'], axes=[0], mode='x')],
).SerializeToString()


@pytest.fixture(scope='module')
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp('bytes') / 'model.onnx'


def one_line_or_read(path, content):
    path.write_bytes(content)
    try:
        return onnx_file.read(path)
    except InputError as error:
        said = str(error)
    assert said.isprintable()
    assert len(said) < 2000
    return None


@settings(max_examples=150)
@given(content=st.binary(max_size=300))
def test_arbitrary_bytes(scratch, content):
    assert one_line_or_read(scratch, content) is None


@settings(max_examples=300)
@given(
    where=st.integers(0, len(VALID) - 1),
    what=st.binary(max_size=6),
    gone=st.integers(0, 8),
)
def test_damaged_models(scratch, where, what, gone):
    """Some are models still: of whole arrays and known names."""
    found = one_line_or_read(scratch, VALID[:where] + what + VALID[where + gone :])
    if found is not None:
        known = {found.input, *found.constants}
        for node in found.nodes:
            assert known.issuperset(name for name in node.inputs if name)
            known.update(node.outputs)
        assert all(value.size < 100 for value in found.constants.values())


def test_known_by_content(tmp_path):
    """Whatever a file is called; a folder and a text are what their names say."""
    model = helper.make_model(helper.make_graph([], 'graph', [], []), producer_name='pytorch')
    for name, content, expected in (
        ('a.pth', model.SerializeToString(), True),
        ('a.onnx', b'PK\x03\x04', False),
        ('b.onnx', b'\x80\x02}', False),
        ('c.onnx', b'version https', True),
        ('d.safetensors', b'\x08\x01\x12\0\0\0\0\0{"', False),
        ('e.pt', b'', False),
    ):
        (tmp_path / name).write_bytes(content)
        assert onnx_file.is_onnx(tmp_path / name) == expected, name


def test_links_of_a_download_cache(tmp_path):
    """Both files lie in one folder under other names; a link to any other folder is refused."""
    (tmp_path / 'blobs').mkdir()
    (tmp_path / 'snapshot').mkdir()
    weights = np.arange(4, dtype=np.float32)
    tensor = numpy_helper.from_array(weights, 'w')
    tensor.ClearField('raw_data')
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key='location', value='w.data')
    (tmp_path / 'blobs' / 'one').write_bytes(model_of(tensor).SerializeToString())
    link, data = tmp_path / 'snapshot' / 'model.onnx', tmp_path / 'snapshot' / 'w.data'
    link.symlink_to(tmp_path / 'blobs' / 'one')
    with pytest.raises(InputError) as caught:
        onnx_file.read(link)
    assert 'w.data' in caught.value.inside
    for folder, fits in (('.', False), ('blobs', True)):
        (tmp_path / folder / 'two').write_bytes(weights.tobytes())
        data.unlink(missing_ok=True)
        data.symlink_to(tmp_path / folder / 'two')
        if fits:
            np.testing.assert_array_equal(onnx_file.read(link).constants['w'], weights)
        else:
            with pytest.raises(InputError) as caught:
                onnx_file.read(link)
            assert caught.value.field == str(link)
