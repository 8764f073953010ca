"""Recognises files and folders that are not checkpoints, by bytes or names, and says what to do."""

import itertools
import os
import pathlib

from fr_inference import errors

_CONVERT = 'convert it to ONNX with tf2onnx: python -m tf2onnx.convert'
KERAS = f'{_CONVERT} --keras FILE --output model.onnx'
_SAVED_MODEL = f'{_CONVERT} --saved-model FOLDER --output model.onnx'
_GRAPH = f'{_CONVERT} --graphdef FILE --inputs NAME:0 --outputs NAME:0 --output model.onnx'
_AGAIN = 'download it again'
EXPORTED = 'save the state_dict() of the network that it was made of, or export that to ONNX'
_DISTRIBUTED = (
    'make one file of it: '
    'python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE'
)

START = 512
"""Number of bytes at the start of a file that `of_bytes` looks at."""

# Offset, bytes there, what the file is, what to do.
_MAGIC = (
    (
        0,
        b'version https://git-lfs.github.com/spec/',
        'a Git LFS pointer instead of the file',
        'fetch the file itself: git lfs pull',
    ),
    (4, b'TFL3', 'a TensorFlow Lite network', f'{_CONVERT} --tflite FILE --output model.onnx'),
    (0, b'\x89HDF\r\n\x1a\n', 'an HDF5 file, as Keras writes networks', KERAS),
    (
        0,
        b'\x12\x01\0\0\0\0\0\0\0\0\0\0',
        'a parameter file of MXNet',
        'export it to ONNX with MXNet: mxnet.onnx.export_model',
    ),
    (0, b'\x0a\x23\xd7\xce', 'a RecordIO file of images', 'name a backbone; this holds faces'),
    (0, b'\x1f\x8b', 'a gzip archive', 'unpack it and name the file inside'),
    (0, b'BZh', 'a bzip2 archive', 'unpack it and name the file inside'),
    (0, b'\xfd7zXZ\0', 'an xz archive', 'unpack it and name the file inside'),
    (0, b'7z\xbc\xaf\x27\x1c', 'a 7z archive', 'unpack it and name the file inside'),
    (0, b'Rar!', 'a RAR archive', 'unpack it and name the file inside'),
    (257, b'ustar', 'a tar archive', 'unpack it and name the file inside'),
    (0, b'\x93NUMPY', 'a NumPy array', 'save the tensors by their names: numpy.savez'),
    (0, b'\x89PNG', 'a PNG image', 'name a backbone; this holds a picture'),
    (0, b'\xff\xd8\xff', 'a JPEG image', 'name a backbone; this holds a picture'),
)
_IMAGES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp')
_NETWORKS = ('.pt', '.pth', '.ckpt', '.bin', '.safetensors', '.onnx', '.npz', '.pkl')
_MOST_LOOKED_AT = 1000
_MOST_FOLDERS = 20


def of_bytes(start: bytes) -> tuple[str, str] | None:
    """Returns (what a file is, what to do about it), None for a file that is not known.

    Args:
      start: its first `START` bytes, fewer of a shorter file.

    >>> of_bytes(b'<!DOCTYPE html><html>')
    ('a web page saved in place of the file', 'download it again')
    """
    for offset, magic, kind, hint in _MAGIC:
        if start[offset : offset + len(magic)] == magic:
            return kind, hint
    text = start.lstrip(b'\xef\xbb\xbf \t\r\n').lower()
    if text.startswith((b'<!doctype html', b'<html', b'<head')) or (
        text.startswith(b'<?xml') and b'<html' in text
    ):
        return 'a web page saved in place of the file', _AGAIN
    if text.startswith((b'<?xml', b'<net ')):  # the latter is a network of OpenVINO
        return 'an XML file', 'name the network that it was made of, or export that to ONNX'
    return None


def of_suffix(suffix: str) -> str | None:
    """Returns what to do about a file whose bytes do not show its type, None if nothing is known."""
    return _GRAPH if suffix.lower() == '.pb' else None


def of_folder(folder: pathlib.Path, expected: str) -> errors.InputError:
    """Returns an error that describes a folder without a checkpoint.

    Args:
      folder: it exists.
      expected: what it should have been.

    Raises:
      OSError: if it cannot be read.
    """
    with os.scandir(folder) as opened:
        names = sorted(entry.name for entry in itertools.islice(opened, _MOST_LOOKED_AT))
    named = [name for name in names if name.lower().endswith(_NETWORKS)]
    found, hint = f'a directory without {_RECORD}', None
    if 'saved_model.pb' in names or 'saved_model.pbtxt' in names:
        found, hint = "a TensorFlow SavedModel's folder", _SAVED_MODEL
    elif 'train.rec' in names:
        found, hint = 'a folder of face images (train.rec)', 'name a backbone; this holds faces'
    elif '.metadata' in names and any(name.endswith('.distcp') for name in names):
        found, hint = 'a distributed checkpoint of PyTorch', _DISTRIBUTED
    elif named or (named := list(_further_inside(folder, names))):
        hint = f'name the file in it: {errors.shown(named[0][:80])}'
    elif _has_images(folder, names):
        found, hint = 'a folder of images', 'name a backbone; this holds faces'
    return errors.InputError(str(folder), found, expected, hint)


_RECORD = 'target.json'


def _further_inside(folder, names):
    for name in names[:_MOST_FOLDERS]:
        if (folder / name).is_dir():
            with os.scandir(folder / name) as opened:
                inner = sorted(one.name for one in itertools.islice(opened, _MOST_LOOKED_AT))
            yield from (f'{name}/{one}' for one in inner if one.lower().endswith(_NETWORKS))


def _has_images(folder, names):
    if any(name.lower().endswith(_IMAGES) for name in names):
        return True
    inner = next((folder / name for name in names if (folder / name).is_dir()), None)
    if inner is None:
        return False
    with os.scandir(inner) as opened:
        looked_at = itertools.islice(opened, _MOST_LOOKED_AT)
        return any(entry.name.lower().endswith(_IMAGES) for entry in looked_at)
