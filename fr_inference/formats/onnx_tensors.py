"""The tensors of an `.onnx` file as arrays; external data is read only from the model's own folder."""

import math
import os
import pathlib
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import onnx

from fr_inference import errors
from fr_inference.formats import bounds, kinds, regular_files

_KINDS = onnx.TensorProto
# Type -> dtype of its raw bytes, and the field of typed numbers that older writers use.
_TYPES: Mapping[int, tuple[np.dtype, str]] = {
    _KINDS.FLOAT: (np.dtype('<f4'), 'float_data'),
    _KINDS.DOUBLE: (np.dtype('<f8'), 'double_data'),
    _KINDS.FLOAT16: (np.dtype('<f2'), 'int32_data'),
    _KINDS.BFLOAT16: (np.dtype(jnp.bfloat16), 'int32_data'),
    _KINDS.INT8: (np.dtype('i1'), 'int32_data'),
    _KINDS.INT16: (np.dtype('<i2'), 'int32_data'),
    _KINDS.INT32: (np.dtype('<i4'), 'int32_data'),
    _KINDS.INT64: (np.dtype('<i8'), 'int64_data'),
    _KINDS.UINT8: (np.dtype('u1'), 'int32_data'),
    _KINDS.UINT16: (np.dtype('<u2'), 'int32_data'),
    _KINDS.UINT32: (np.dtype('<u4'), 'uint64_data'),
    _KINDS.UINT64: (np.dtype('<u8'), 'uint64_data'),
    _KINDS.BOOL: (np.dtype('?'), 'int32_data'),
}
_MAX_RANK = 32


def type_name(kind: int) -> str:
    """Returns ONNX's name of a tensor type."""
    return _KINDS.DataType.Name(kind) if kind in _KINDS.DataType.values() else f'number {kind}'


def dtype_of(kind: int) -> np.dtype | None:
    """Returns the NumPy type of a tensor type, None for one that is not read (texts, 4 bits)."""
    return _TYPES[kind][0] if kind in _TYPES else None


def check_kind(content: memoryview, source: str) -> None:
    """Raises an `InputError` for a file that is something else: a Git LFS pointer, a web page."""
    kind = kinds.of_bytes(bytes(content[: kinds.START]))
    if kind is not None:
        raise errors.InputError(source, kind[0], 'an .onnx file', kind[1])


def array(tensor: onnx.TensorProto, model: pathlib.Path, source: str) -> np.ndarray:
    """Returns a tensor as a read-only array of the file's own dtype.

    Args:
      tensor: of the parsed model.
      model: path of the `.onnx` file; external data is in its folder.
      source: that path, as errors call it.

    Raises:
      InputError: when the numbers do not fill the shape, the type is not supported, or external data
        is outside that folder.
      OSError: when the file of external data cannot be read.
    """
    name = errors.shown(tensor.name[: bounds.MAX_NAME]) or 'a constant'
    if tensor.data_type not in _TYPES:
        raise errors.InputError(
            source,
            f'{name} of type {type_name(tensor.data_type)}',
            f'one of {", ".join(map(type_name, _TYPES))}',
        )
    shape = tuple(tensor.dims)
    dtype, field = _TYPES[tensor.data_type]
    if len(shape) > _MAX_RANK or any(not 0 <= size <= bounds.MAX_NUMBER for size in shape):
        raise errors.InputError(
            source, f'{name} of shape {list(shape[:8])}', 'at most 32 sizes of 0 to 2**48'
        )
    count = math.prod(shape)
    if tensor.data_location == _KINDS.EXTERNAL:
        content = _external(tensor, model, name, count * dtype.itemsize, source)
    elif tensor.HasField('raw_data'):
        content = tensor.raw_data
    else:
        return _typed(getattr(tensor, field), tensor.data_type, shape, name, source)
    if len(content) != count * dtype.itemsize:
        raise _unfilled(source, name, f'{len(content)} bytes', shape, dtype)
    return np.frombuffer(content, dtype).reshape(shape)


def beside(graph: onnx.GraphProto, model: pathlib.Path) -> list[pathlib.Path]:
    """Returns the files of external data of a graph whose tensors could be read, each once."""
    own = [attribute.t for node in graph.node for attribute in node.attribute]
    locations = {
        entry.value
        for tensor in (*graph.initializer, *own)
        if tensor.data_location == _KINDS.EXTERNAL
        for entry in tensor.external_data
        if entry.key == 'location'
    }
    return [model.parent / location for location in sorted(locations)]


def _typed(numbers, kind, shape, name, source):
    """Reads numbers from a field of their type, which holds half floats as 16-bit integers."""
    dtype = _TYPES[kind][0]
    if len(numbers) != math.prod(shape):
        raise _unfilled(source, name, f'{len(numbers)} numbers', shape, dtype)
    halves = kind in (_KINDS.FLOAT16, _KINDS.BFLOAT16)
    wide = np.array(numbers)
    values = wide.astype(np.uint16 if halves else dtype)
    if wide.dtype.kind in 'iu' and not np.array_equal(values, wide):
        raise errors.InputError(source, f'{name} with numbers beyond the range of {dtype}')
    return (values.view(dtype) if halves else values).reshape(shape)


def _external(tensor, model, name, size, source):
    """Returns the bytes of a tensor in a file beside the model."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get('location', '')
    numbers = [entries.get(key, '') or '0' for key in ('offset', 'length')]
    if not all(text.isascii() and text.isdigit() and len(text) < 18 for text in numbers):
        raise errors.InputError(
            source,
            f'{name} at {errors.shown(str(numbers))[:80]}',
            'an offset and a length in bytes',
        )
    offset, length = map(int, numbers)
    path = _beside(model, location, name, source)
    try:
        held = regular_files.size_of(path, 'external data of an .onnx file')
        with open(path, 'rb') as file:
            content = regular_files.mapped(file)
        check_kind(content, str(path))
    except errors.InputError as error:
        raise error.within(source) from error
    if (length and length != size) or offset + size > held:
        raise errors.InputError(
            source,
            f'{name} in bytes {offset} to {offset + (length or size)} of {location}, which has {held}',
            f'{size} bytes there',
        )
    return content[offset : offset + size]


def _beside(model, location, name, source):
    """Returns the path of external data, which must be below the model's folder, or linked from it.

    A download cache keeps both files in one folder under other names, and links to them.
    """
    folder = os.path.realpath(model.parent)
    parts = location.replace('\\', '/').split('/')
    outside = not location or '\0' in location or location[0] in '/\\' or ':' in parts[0]
    if not outside and '..' not in parts and len(location) <= 4 * bounds.MAX_NAME:
        path = os.path.realpath(os.path.join(folder, *parts))
        own = os.path.dirname(os.path.realpath(model))
        if path.startswith(os.path.join(folder, '')) or os.path.dirname(path) == own:
            return pathlib.Path(path)
    raise errors.InputError(
        source,
        f'{name} in {errors.shown(location[:200])!r}',
        'external data below the folder of the model itself',
        'copy both files into one folder',
    )


def _unfilled(source, name, found, shape, dtype):
    return errors.InputError(source, f'{name} with {found}', f'{list(shape)} of {dtype}')
