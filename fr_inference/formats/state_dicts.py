"""Reads tensors from the checkpoint files of strangers: no byte is executed, sizes are bounded.

Formats: PyTorch's zip archive and its older sequence of pickles (`.pt`, `.pth`, `.ckpt`, without
torch installed), `.safetensors`, and the pickled modules of NVIDIA's generators (`.pkl`). The layout of
the first two is that of `torch.serialization`, of the last stylegan2-ada-pytorch's `persistence`.
"""

import collections
import dataclasses
import itertools
import json
import math
import mmap
import os
import pathlib
import struct
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import jax.numpy as jnp
import numpy as np
import safetensors

from fr_inference import errors
from fr_inference.formats import legacy_torch, unpickler
from fr_inference.formats.opcodes import Stream
from fr_inference.formats.pickled import Module, Storage, TensorRef

_MAX_PICKLE_BYTES = 16 << 20
_MAX_FILE_BYTES = 8 << 30
_MAX_ENTRIES = 20_000
# Tables of contents: 100 to 200 bytes a tensor.
_MAX_TABLE_BYTES = 4 << 20
# Tied weights share a storage; thousands of views of one are a bomb, each becoming a copy.
_MAX_SHARING = 4
_MAX_DEPTH = 4
_MAX_NESTING = 8
_MAX_NAME = 512
_MAX_NUMBER = 1 << 48
_CHUNK = 1 << 20
_SAFETENSORS_DTYPES = {
    **{'F64': 'float64', 'F32': 'float32', 'F16': 'float16', 'BF16': jnp.bfloat16},
    **{'I64': 'int64', 'I32': 'int32', 'I16': 'int16', 'I8': 'int8', 'BOOL': 'bool'},
    **{'U64': 'uint64', 'U32': 'uint32', 'U16': 'uint16', 'U8': 'uint8'},
}


@dataclasses.dataclass(frozen=True)
class StateDict:
    """Tensors by name, and what the reader left out.

    Attributes:
      tensors: read-only arrays in the file's own dtype. They are views of the mapped file: a head of
        gigabytes that is set aside takes no memory.
      notes: one line for each thing that was set aside.
      options: numbers that modules of NVIDIA's hold as attributes, by name.
    """

    tensors: dict[str, np.ndarray]
    notes: tuple[str, ...] = ()
    options: Mapping[str, float] = dataclasses.field(default_factory=dict)


def read_tensors(path: str | os.PathLike, *, nested: bool = False) -> StateDict:
    """Reads the state dict of a checkpoint file.

    Args:
      path: `.pt`, `.pth`, `.ckpt` in either PyTorch format, or `.safetensors`; recognised by content.
      nested: all tensors under string keys, named from the top ('g_ema.style.1.weight'), in place of
        the largest state dict; NVIDIA's `.pkl` is read too ('G_ema.mapping.fc0.weight').

    Raises:
      InputError: one line, for whatever is not a readable state dict.
    """
    path = pathlib.Path(path)
    try:
        errors.require(not path.is_dir(), f'{path}: found a directory, expected a checkpoint file')
        errors.require(path.exists(), f'{path}: not found, expected a checkpoint file')
        errors.require(path.is_file(), f'{path}: not a regular file, expected a checkpoint file')
        size = path.stat().st_size
        errors.require(size > 0, f'{path}: found an empty file, expected a checkpoint')
        errors.require(
            size <= _MAX_FILE_BYTES, f'{path}: found {size} bytes, expected at most 8 GiB'
        )
        with open(path, 'rb') as file:
            start = file.read(16)
            if start[:4] == b'PK\x03\x04':
                return _read_zip(file, size, str(path), nested)
            if start[:2] in (b'\x80\x02', b'\x80\x03', b'\x80\x04', b'\x80\x05'):
                return _read_pickle(file, str(path), nested)
        if start[8:9] == b'{' or path.suffix == '.safetensors':
            return _read_safetensors(path, start)
    except OSError as error:
        raise errors.InputError(f'{path}: can not be read: {error.strerror or error}') from error
    files = "NVIDIA's .pkl, a PyTorch .pt" if nested else 'a PyTorch .pt/.pth/.ckpt'
    raise errors.InputError(
        f'{path}: not a checkpoint this tool reads; expected {files}, a .safetensors file or a '
        'native checkpoint directory'
    )


def _read_safetensors(path, start):
    length = int.from_bytes(start[:8], 'little')
    errors.require(
        length <= _MAX_TABLE_BYTES,
        f'{path}: damaged safetensors file: a header of {length} bytes, expected 4 MiB at most',
    )
    try:
        with safetensors.safe_open(path, framework='numpy') as file:  # checks the header as a whole
            names = list(file.keys())
        _check_entries(len(names), path)
        _check_names(names, path)
        with open(path, 'rb') as file:
            view = _mapped(file)[8:]
        header = json.loads(bytes(view[:length]))
        data = view[length:]
        return StateDict({name: _of_safetensors(header[name], data, path) for name in names})
    except errors.InputError:
        raise
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise errors.InputError(f'{path}: damaged safetensors file: {error}') from error


def _of_safetensors(entry, data, path):
    errors.one_of(f'{path}: type of a safetensors tensor', entry['dtype'], _SAFETENSORS_DTYPES)
    dtype = np.dtype(_SAFETENSORS_DTYPES[entry['dtype']])
    begin, end = entry['data_offsets']
    if begin == end:
        return np.zeros(0, dtype)
    return np.frombuffer(data[begin:end], dtype).reshape(entry['shape'])


def _mapped(file):
    """Returns the bytes of a file, which take memory only where they are looked at."""
    return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _read_zip(file, size, source, nested):
    bounded = _BoundedFile(file)
    try:
        with zipfile.ZipFile(bounded) as archive:
            bounded.most = size
            return _read_archive(archive, _mapped(file), source, nested)
    except errors.InputError:
        raise
    except (
        *(zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError),
        *(struct.error, EOFError, ValueError, OverflowError, OSError),
    ) as error:
        raise errors.InputError(f'{source}: damaged archive: {error}') from error


class _BoundedFile:
    """A file that gives out no more than `most` bytes at a time.

    Python reads an archive's table of contents in one piece, as long as either of two headers says.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self.most = _MAX_TABLE_BYTES
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int = -1) -> bytes:
        """Reads as a file does."""
        if count > self.most:
            raise ValueError(f'a table of contents of {count} bytes')
        return self._file.read(self.most if count < 0 else count)

    def seekable(self) -> bool:
        """As a file."""
        return True


def _check_entries(count, source):
    errors.require(
        count <= _MAX_ENTRIES,
        f'{source}: found {count} entries, expected a checkpoint of at most {_MAX_ENTRIES}',
    )


def _read_archive(archive, mapped, source, nested):
    size = len(mapped)
    entries = {entry.filename: entry for entry in archive.infolist()}
    _check_entries(len(archive.infolist()), source)
    errors.require(
        len(entries) == len(archive.infolist()),
        f'{source}: entries of one name, expected each once',
    )
    for name, entry in entries.items():
        parts = name.replace('\\', '/').split('/')
        errors.require(
            not name.startswith('/') and '..' not in parts,
            f'{source}: the archive holds the path {name[:80]!r}, which climbs out of it',
        )
        errors.require(
            entry.compress_type == zipfile.ZIP_STORED
            and entry.compress_size == entry.file_size <= size,
            f'{source}: entry {name[:80]!r} is compressed ({entry.file_size} bytes unpacked); '
            'PyTorch stores its archives uncompressed',
        )
    errors.require(
        sum(entry.file_size for entry in entries.values()) <= size, f'{source}: its entries overlap'
    )
    pickles = [name for name in entries if name.rsplit('/', 1)[-1] == 'data.pkl']
    errors.require(
        len(pickles) == 1,
        f'{source}: found {len(pickles)} entries called data.pkl, expected a PyTorch checkpoint '
        '(TorchScript archives are not supported: save the state_dict() instead)'
        if not any('constants.pkl' in name for name in entries)
        else f'{source}: a TorchScript archive holds code; save the state_dict() instead',
    )
    errors.require(
        not any(name.endswith('constants.pkl') for name in entries),
        f'{source}: a TorchScript archive holds code; save the state_dict() instead',
    )
    root = pickles[0].removesuffix('data.pkl')
    order = entries.get(f'{root}byteorder')
    errors.require(
        order is None or archive.read(order) == b'little', f'{source}: big-endian, not supported'
    )
    errors.require(
        entries[pickles[0]].file_size <= _MAX_PICKLE_BYTES, f'{source}: pickle of over 16 MiB'
    )
    stream = Stream(archive.read(pickles[0]))
    value = unpickler.loads(stream, source)
    read: dict[str, memoryview] = {}

    def data(storage: Storage) -> memoryview:
        if storage.key not in read:
            name = f'{root}data/{storage.key}'
            errors.require(name in entries, f'{source}: entry {name[:80]!r} is missing')
            read[storage.key] = _content(archive, entries[name], mapped)
        return read[storage.key]

    return _state_dict(value, data, stream.allowance, source, nested)


def _content(archive, entry, mapped):
    """Returns an entry's bytes once they agree with their checksum."""
    with archive.open(entry) as stream:  # compares the local header with the table
        while stream.read(_CHUNK):
            pass
    lengths = struct.unpack_from('<2H', mapped, entry.header_offset + 26)
    start = entry.header_offset + 30 + sum(lengths)
    return mapped[start : start + entry.file_size]


def _read_pickle(file, source, nested):
    mapped = _mapped(file)
    stream = Stream(mapped)
    first = unpickler.loads(stream, source)
    if (
        nested
        and first != legacy_torch.MAGIC
        and any(isinstance(item, Module) for item in legacy_torch.items(first))
    ):
        return _state_dict(first, lambda _storage: mapped[:0], stream.allowance, source, nested)
    errors.require(
        first == legacy_torch.MAGIC,
        f'{source}: a plain pickle, {"without a network" if nested else "not a PyTorch checkpoint"}; '
        'nothing was run',
    )
    value, blocks = legacy_torch.read(stream, mapped, source)
    return _state_dict(
        value,
        lambda storage: blocks.get(storage.key, mapped[:0]),
        stream.allowance,
        source,
        nested,
    )


def _state_dict(value, data, allowance, source, nested):
    """Finds the tensors in a (nested) checkpoint and resolves them."""
    notes: list[str] = []
    options: dict[str, float] = {}
    if nested:
        chosen, options = _all_named(value, source)
    else:
        chosen, notes = _largest(value, source)
    chosen, blocks = legacy_torch.unpacked(chosen, allowance, source)
    wanted = sum(math.prod(ref.shape) for ref in chosen.values())
    stored = sum({ref.storage.key: ref.storage.count for ref in chosen.values()}.values())
    errors.require(
        wanted <= _MAX_SHARING * stored,
        f'{source}: {len(chosen)} tensors of {wanted} numbers in all share {stored} stored ones',
    )
    _check_names(chosen, source)
    _check_names(options, source)

    def find(storage):
        return blocks[storage.key] if storage.key in blocks else data(storage)

    arrays = {key: _resolve(ref, find, source) for key, ref in chosen.items()}
    return StateDict(arrays, tuple(notes), options)


def _largest(value, source):
    """Returns the tensors of the dict that has the most, and notes about the others."""
    candidates = _tensor_dicts(value)
    errors.require(candidates, f'{source}: holds no named tensors, expected a state dict')
    # The most tensors win (optimizer states come in many small dicts); first named, first chosen.
    path = max(candidates, key=lambda key: len(candidates[key]))
    chosen = candidates.pop(path)
    notes = [
        f'set aside: {errors.shown(".".join(other)[:80]) or "(top level)"} ({len(tensors)} tensors, as '
        f'{errors.shown(next(iter(tensors))[:80])})'
        for other, tensors in itertools.islice(candidates.items(), 8)
    ]
    return chosen, notes


def _all_named(value, source):
    """Returns every tensor under string keys and every number of a module, by names from the top.

    What is mentioned twice has the name under which it comes first.
    """
    tensors: dict[str, TensorRef] = {}
    options: dict[str, float] = {}
    seen: set[int] = set()
    pending: collections.deque[tuple[tuple[str, ...], Any]] = collections.deque([((), value)])
    while pending:
        path, item = pending.popleft()
        inside = item.state if isinstance(item, Module) else item
        if not isinstance(inside, dict) or id(inside) in seen:
            continue
        seen.add(id(inside))
        module = isinstance(item, Module)
        for key, leaf in inside.items():
            if module and key in ('_parameters', '_buffers', '_modules'):
                pending.append((path, leaf))
            elif not isinstance(key, str):
                continue
            elif module and type(leaf) in (int, float) and abs(leaf) < _MAX_NUMBER:
                _enter(options, path, key, leaf, source)
            elif isinstance(leaf, TensorRef) and not module:
                _enter(tensors, path, key, leaf, source)
            elif isinstance(leaf, dict | Module) and not module and len(path) < _MAX_NESTING:
                pending.append(((*path, key), leaf))
    errors.require(tensors, f'{source}: holds no named tensors, expected a checkpoint')
    return tensors, options


def _enter(table, path, key, leaf, source):
    length = sum(map(len, path)) + len(key)
    errors.require(length <= _MAX_NAME, f'{source}: a name of {length} characters')
    name = '.'.join((*path, key))
    errors.require(name not in table, f'{source}: two tensors are called {errors.shown(name[:80])}')
    table[name] = leaf
    _check_entries(len(table), source)


def _check_names(names, source):
    errors.require(
        all(name.isprintable() for name in names),
        f'{source}: names of tensors hold control characters',
    )


def _tensor_dicts(value):
    """Returns each dict that holds named tensors, by its path of keys, outer ones first."""
    found: dict[tuple[str, ...], dict[str, TensorRef]] = {}
    seen: set[int] = set()
    pending: collections.deque[tuple[tuple[str, ...], Any]] = collections.deque([((), value)])
    while pending:
        path, item = pending.popleft()
        if not isinstance(item, dict) or id(item) in seen:
            continue
        seen.add(id(item))
        named = {key: leaf for key, leaf in item.items() if isinstance(key, str)}
        tensors = {key: leaf for key, leaf in named.items() if isinstance(leaf, TensorRef)}
        if tensors:
            found[path] = tensors
        if len(path) < _MAX_DEPTH:
            inner = ((key, leaf) for key, leaf in named.items() if isinstance(leaf, dict))
            pending.extend(((*path, key), leaf) for key, leaf in inner)
    return found


def _resolve(ref, data, source):
    dtype = legacy_torch.dtype_of(ref.storage)
    raw = data(ref.storage)
    errors.require(
        len(raw) >= ref.storage.count * dtype.itemsize,
        f'{source}: a storage of {ref.storage.count} numbers has only {len(raw)} bytes',
    )
    flat = np.frombuffer(raw, dtype, count=ref.storage.count)
    if math.prod(ref.shape) == 0:
        return np.zeros(0, dtype)
    strides = tuple(stride * dtype.itemsize for stride in ref.strides)
    # `unpickler` has checked that the view stays inside its storage; views cost no memory.
    return np.lib.stride_tricks.as_strided(flat[ref.offset :], ref.shape, strides, writeable=False)
