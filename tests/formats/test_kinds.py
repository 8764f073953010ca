"""A file or folder that holds no checkpoint is called what it is, with what to do about it."""

import gzip
import io
import tarfile
import zipfile

import pytest
from PIL import Image

from fr_inference.errors import InputError
from fr_inference.formats import kinds
from fr_inference.formats.state_dicts import read_tensors
from fr_inference.weights.targets import open_target
from tests.formats import writer


def picture(kind):
    file = io.BytesIO()
    Image.new('RGB', (8, 8)).save(file, kind)
    return file.getvalue()


def tarred():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode='w') as archive:
        archive.addfile(tarfile.TarInfo('backbone.pth'))
    return file.getvalue()


def zipped(name):
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as archive:
        archive.writestr(name, b'content')
    return file.getvalue()


# What is in the file, a word of what it is called, a word of what to do.
FILES = {
    'lfs': (b'version https://git-lfs.github.com/spec/v1\noid sha256:0\n', 'LFS', 'git lfs pull'),
    'html': (b'<!doctype HTML>\n<html lang="en">', 'web page', 'download'),
    'page': (b'\xef\xbb\xbf\n <html><head>', 'web page', 'download'),
    'tflite': (b' \0\0\0TFL3\0\0', 'TensorFlow Lite', '-m tf2onnx.convert --tflite'),
    'keras': (b'\x89HDF\r\n\x1a\n\0', 'HDF5', '-m tf2onnx.convert --keras'),
    'keras 3': (zipped('model.weights.h5'), 'Keras', '-m tf2onnx.convert --keras'),
    'exported': (zipped('export/models/model.json'), 'torch.export', 'state_dict()'),
    'npy': (b'\x93NUMPY\1\0v\0', 'NumPy', 'savez'),
    'openvino': (b'<?xml version="1.0"?>\n<net name="r50" version="11">', 'XML', 'ONNX'),
    'xhtml': (b'<?xml version="1.0"?>\n<html xmlns="http://www.w3.org">', 'web page', 'download'),
    'gzip': (gzip.compress(b'a'), 'gzip', 'unpack'),
    'tar': (tarred(), 'tar', 'unpack'),
    'zip': (zipped('models/backbone.pth'), 'backbone.pth', 'unpack'),
    'png': (picture('PNG'), 'PNG', 'backbone'),
    'jpeg': (picture('JPEG'), 'JPEG', 'backbone'),
    'cut': (writer.encode({'a': 1})[:-30], 'cut short', 'download'),
}


@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_files(tmp_path, name, suffix):
    content, kind, hint = FILES[name]
    path = tmp_path / f'file{suffix}'
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_tensors(path)
    assert caught.value.field == str(path)
    assert kind in caught.value.found
    assert hint in caught.value.hint


def test_tensorflow_pickles(tmp_path):
    network = writer.built('dnnlib.tflib.network', 'Network', {'version': 4, 'static_kwargs': {}})
    path = tmp_path / 'file.pkl'
    path.write_bytes(writer.PROTO + b'(' + network + b'q\0h\0t.')
    with pytest.raises(InputError) as caught:
        read_tensors(path)
    assert 'TensorFlow' in caught.value.found
    assert 'legacy.py' in caught.value.hint


def test_any_start_is_told_or_not(tmp_path):
    assert kinds.of_bytes(b'') is None
    assert kinds.of_bytes(b'TFL3') is None
    assert kinds.of_bytes(writer.encode({})[:512]) is None


@pytest.mark.parametrize(
    ('name', 'kind', 'hint'),
    [
        ('saved_model.pb', 'SavedModel', '-m tf2onnx.convert --saved-model'),
        ('train.rec', 'train.rec', 'backbone'),
        ('a.jpg', 'images', 'backbone'),
        ('person/a.png', 'images', 'backbone'),
        ('backbone.pth', 'target.json', 'backbone.pth'),
        ('pretrained_model/model.pt', 'target.json', 'pretrained_model/model.pt'),
    ],
)
def test_folders(tmp_path, name, kind, hint):
    path = tmp_path / 'folder' / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b'content')
    with pytest.raises(InputError) as caught:
        open_target(tmp_path / 'folder')
    assert caught.value.field == 'target'
    assert kind in caught.value.found
    assert hint in caught.value.hint


def test_a_distributed_checkpoint(tmp_path):
    for name in ('.metadata', '__0_0.distcp'):
        (tmp_path / name).write_bytes(b'content')
    with pytest.raises(InputError) as caught:
        open_target(tmp_path)
    assert 'distributed' in caught.value.found
    assert 'dcp_to_torch' in caught.value.hint


def test_a_graph_of_tensorflow(tmp_path):
    """Nothing in its bytes says so."""
    for name, told in (('a.pb', True), ('a.bin', False)):
        (tmp_path / name).write_bytes(b'\n>\n\5input\x12\x0bPlaceholder')
        with pytest.raises(InputError) as caught:
            read_tensors(tmp_path / name)
        assert (caught.value.hint is not None) == told
