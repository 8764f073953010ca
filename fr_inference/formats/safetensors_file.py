"""Reads and writes `.safetensors`: named arrays in one file, a JSON header and blocks of numbers.

A file is its header's length (8 bytes, little-endian), the header, and the numbers of all tensors
one after the other. Source: the format's description at https://github.com/huggingface/safetensors.
"""

import json
import os
import pathlib
import struct
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import safetensors

from fr_inference import errors
from fr_inference.formats import bounds, regular_files

_DTYPES: Mapping[str, np.dtype] = {
    name: np.dtype(dtype)
    for name, dtype in {
        **{'F64': 'float64', 'F32': 'float32', 'F16': 'float16', 'BF16': jnp.bfloat16},
        **{'I64': 'int64', 'I32': 'int32', 'I16': 'int16', 'I8': 'int8', 'BOOL': 'bool'},
        **{'U64': 'uint64', 'U32': 'uint32', 'U16': 'uint16', 'U8': 'uint8'},
    }.items()
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_ALIGNMENT = 8


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Returns the arrays of a file by name.

    They are read-only views of the mapped file: nothing is allocated for them, and a shape that does
    not match the bytes of the file is an error.

    Args:
      path: the file.

    Raises:
      InputError: if the file is not a regular one, is damaged or too large, or has a dtype that
        NumPy lacks.
    """
    path = pathlib.Path(path)
    source = str(path)
    regular_files.size_of(path, 'a .safetensors file')
    with open(path, 'rb') as file:
        length = int.from_bytes(file.read(8), 'little')
    if length > bounds.MAX_TABLE_BYTES:
        raise _damaged(source, f'a header of {length} bytes, 4 MiB at most are allowed')
    try:
        with safetensors.safe_open(path, framework='numpy') as opened:  # checks the whole header
            names = list(opened.keys())
        bounds.check_count(len(names), source)
        bounds.check_names(names, source)
        with open(path, 'rb') as file:
            view = regular_files.mapped(file)[8:]
        header = json.loads(bytes(view[:length]))
        data = view[length:]
        return {name: _array(header[name], data, source) for name in names}
    except errors.InputError:
        raise
    except OSError as error:
        raise errors.InputError(
            source, f'a file that cannot be read: {bounds.brief(error)}'
        ) from error
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise _damaged(source, bounds.brief(error)) from error


def write(
    path: str | os.PathLike, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Writes arrays by name; the same arrays give the same bytes.

    Args:
      path: the file; an existing one is replaced.
      tensors: arrays of a type in the table of the format, bfloat16 included.
      metadata: free text for the header.

    Raises:
      ValueError: for an array of another type.
      OSError: with the file's name, when it cannot be written.
    """
    # Wide types first, so that every block starts where its numbers are aligned.
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header: dict[str, object] = {'__metadata__': dict(metadata)}
    position = 0
    for name in order:
        array = tensors[name]
        if array.dtype not in _NAMES:
            raise ValueError(f'{name}: no safetensors type for {array.dtype}')
        stop = position + array.nbytes
        header[name] = {
            'dtype': _NAMES[array.dtype],
            'shape': list(array.shape),
            'data_offsets': [position, stop],
        }
        position = stop
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % _ALIGNMENT)
    try:
        with open(path, 'wb') as file:
            file.write(struct.pack('<Q', len(text)) + text)
            for name in order:
                file.write(np.ascontiguousarray(tensors[name]).reshape(-1).view(np.uint8).data)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say which file
        raise


def metadata(path: str | os.PathLike) -> dict[str, str]:
    """Returns the free text of a file's header, {} for a file that cannot be read."""
    try:
        if not pathlib.Path(path).is_file():
            return {}
        with safetensors.safe_open(path, framework='numpy') as opened:
            return opened.metadata() or {}
    except (safetensors.SafetensorError, OSError, ValueError):
        return {}


def _array(entry, data, source):
    if entry['dtype'] not in _DTYPES:
        raise errors.InputError(
            source, f'a tensor of type {entry["dtype"]!r:.80}', f'one of {", ".join(_DTYPES)}'
        )
    dtype = _DTYPES[entry['dtype']]
    begin, end = entry['data_offsets']
    if begin == end:
        return np.zeros(0, dtype)
    return np.frombuffer(data[begin:end], dtype).reshape(entry['shape'])


def _damaged(source, why):
    return errors.InputError(
        source, f'a damaged safetensors file ({why})', hint='copy or download it again'
    )
