"""PyTorch's older format, a sequence of pickles and blocks of numbers: whole files, and parts of others.

A file of it holds a number, a version, what wrote it, the value, the keys of its storages, the storages
(as `torch.serialization` lays them out). NVIDIA's pickles of modules hold such a file for each tensor.
"""

import dataclasses
import struct
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from fr_inference import errors
from fr_inference.formats import unpickler
from fr_inference.formats.opcodes import Allowance, Stream
from fr_inference.formats.pickled import Module, Packed, Storage, TensorRef

MAGIC = 0x1950A86A20F9469CFC6C


def read(stream: Stream, mapped: memoryview, source: str) -> tuple[Any, dict[str, memoryview]]:
    """Reads a file from behind its first number.

    Args:
      stream: over `mapped`.
      mapped: the whole file.
      source: how errors call it.

    Returns:
      (the value, the bytes of its storages by key).
    """
    unpickler.loads(stream, source)  # protocol version
    info = unpickler.loads(stream, source)
    little = not isinstance(info, dict) or info.get('little_endian', True)
    errors.require(little, f'{source}: big-endian, not supported')
    value = unpickler.loads(stream, source)
    keys = unpickler.loads(stream, source)
    errors.require(
        isinstance(keys, list) and all(isinstance(key, str) for key in keys),
        f'{source}: damaged list of storages',
    )
    storages = {item.key: item for item in items(value) if isinstance(item, Storage)}
    blocks: dict[str, memoryview] = {}
    position = stream.tell()
    for key in keys:
        errors.require(key in storages, f'{source}: a storage of unknown type')
        width = dtype_of(storages[key]).itemsize
        errors.require(position + 8 <= len(mapped), f'{source}: truncated file')
        (count,) = struct.unpack_from('<q', mapped, position)
        stop = position + 8 + count * width
        errors.require(
            count == storages[key].count and stop <= len(mapped),
            f'{source}: truncated or damaged file (a storage of {count} numbers)',
        )
        blocks[key] = mapped[position + 8 : stop]
        position = stop
    return value, blocks


def items(value: Any) -> Iterator[Any]:
    """Yields the parts of a nested value, storages of tensors among them; shared ones once."""
    seen: set[int] = set()
    pending = [value]
    while pending:
        item = pending.pop()
        if id(item) in seen:
            continue
        yield item
        if isinstance(item, dict | list | tuple | Module | TensorRef):
            seen.add(id(item))
            pending.extend(_parts(item))


def _parts(item):
    if isinstance(item, TensorRef):
        return (item.storage,)
    if isinstance(item, Module):
        return (item.state,)
    return item.values() if isinstance(item, dict) else item


def unpacked(
    tensors: dict[str, TensorRef], allowance: Allowance, source: str
) -> tuple[dict[str, Any], dict[str, memoryview]]:
    """Returns the tensors with storages in place of `Packed` ones, and the bytes of these by key."""
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
            raise errors.InputError(f'{source}: {errors.shown(name[:80])}: {error}') from error
    return tensors, blocks


def _unpack(packed, allowance, source):
    try:
        content = packed.unpack(allowance)
    except ValueError as error:
        raise errors.InputError(
            f'{source}: damaged block of numbers: {str(error)[:200]}'
        ) from error
    stream = Stream(content, allowance)
    errors.require(
        unpickler.loads(stream, source) == MAGIC,
        f'{source}: a block of numbers in a form that torch does not write into pickles',
    )
    storage, blocks = read(stream, content, source)
    errors.require(
        isinstance(storage, Storage) and storage.key in blocks,
        f'{source}: damaged block of numbers: found {type(storage).__name__}, expected a storage',
    )
    return storage, blocks[storage.key]


def dtype_of(storage: Storage) -> np.dtype:
    """Returns the NumPy type of a storage's numbers."""
    return np.dtype(jnp.bfloat16 if storage.dtype == 'bfloat16' else storage.dtype)
