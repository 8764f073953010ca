"""PyTorch's older format, a sequence of pickles and blocks of numbers.

A file holds a magic number, a version, the system that wrote it, the value, the keys of its
storages, and the storages (as `torch.serialization` lays them out). NVIDIA's pickles of modules
hold such a file for each tensor.
"""

import dataclasses
import struct
from typing import Any

import jax.numpy as jnp
import numpy as np

from fr_inference import errors
from fr_inference.formats import bounds, unpickler
from fr_inference.formats.opcodes import Allowance, Stream
from fr_inference.formats.pickled import Packed, Storage, TensorRef

MAGIC = 0x1950A86A20F9469CFC6C


def read(stream: Stream, mapped: memoryview, source: str) -> tuple[Any, dict[str, memoryview]]:
    """Reads a file from after its first number.

    Args:
      stream: over `mapped`.
      mapped: the whole file.
      source: the file, as errors call it.

    Returns:
      (the value, the bytes of its storages by key).

    Raises:
      InputError: for a file that is truncated, damaged or big-endian.
    """
    unpickler.loads(stream, source)  # protocol version
    info = unpickler.loads(stream, source)
    little = not isinstance(info, dict) or info.get('little_endian', True)
    if not little:
        raise errors.InputError(source, 'big-endian numbers', 'little-endian ones')
    value = unpickler.loads(stream, source)
    keys = unpickler.loads(stream, source)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise errors.InputError(source, 'a damaged list of storages')
    storages = stream.storages
    blocks: dict[str, memoryview] = {}
    position = stream.tell()
    for key in keys:
        if key not in storages:
            raise errors.InputError(source, 'a storage of unknown type')
        width = dtype_of(storages[key]).itemsize
        if position + 8 > len(mapped):
            raise errors.InputError(source, 'a truncated file', hint='copy or download it again')
        (count,) = struct.unpack_from('<q', mapped, position)
        stop = position + 8 + count * width
        if count != storages[key].count or stop > len(mapped):
            raise errors.InputError(
                source,
                f'a truncated or damaged file (a storage of {count} numbers)',
                hint='copy or download it again',
            )
        blocks[key] = mapped[position + 8 : stop]
        position = stop
    return value, blocks


def unpacked(
    tensors: dict[str, TensorRef], allowance: Allowance, source: str
) -> tuple[dict[str, Any], dict[str, memoryview]]:
    """Replaces `Packed` blocks by storages; returns the tensors, and the storages' bytes by key.

    Raises:
      InputError: for a block of numbers that is damaged or too small for its tensor.
    """
    known: dict[int, Storage] = {}
    blocks: dict[str, memoryview] = {}
    for name, ref in tensors.items():
        if not isinstance(ref.storage, Packed):
            continue
        content = id(ref.storage.content)
        if content not in known:
            storage, block = _unpack(ref.storage, allowance, source)
            known[content] = dataclasses.replace(storage, key=f'in the pickle: {len(blocks)}')
            blocks[known[content].key] = block
        try:
            view = ref.offset, ref.shape, ref.strides
            tensors[name] = unpickler.rebuild_tensor(known[content], *view)
        except ValueError as error:
            raise errors.InputError(
                source, bounds.brief(error), inside=errors.shown(name[:80])
            ) from error
    return tensors, blocks


def _unpack(packed, allowance, source):
    try:
        content = packed.unpack(allowance)
    except ValueError as error:
        raise errors.InputError(
            source, f'a damaged block of numbers ({bounds.brief(error)})'
        ) from error
    stream = Stream(content, allowance)
    if unpickler.loads(stream, source) != MAGIC:
        raise errors.InputError(
            source, 'a block of numbers in another form', 'the form that torch writes into pickles'
        )
    storage, blocks = read(stream, content, source)
    if not isinstance(storage, Storage) or storage.key not in blocks:
        raise errors.InputError(
            source, f'a damaged block of numbers ({type(storage).__name__})', 'a storage'
        )
    return storage, blocks[storage.key]


def dtype_of(storage: Storage) -> np.dtype:
    """Returns the NumPy type of a storage's numbers."""
    return np.dtype(jnp.bfloat16 if storage.dtype == 'bfloat16' else storage.dtype)
