"""Writes the two file formats of `torch.save` without torch, byte by byte, so that files can lie.

A pickle is assembled from its operations: `body` gives those of honest values; a `Raw` among them
goes in as it is. The layouts are those of `torch.serialization`.
"""

import io
import pathlib
import pickle
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = {
    'float64': 'DoubleStorage',
    'float32': 'FloatStorage',
    'float16': 'HalfStorage',
    'bfloat16': 'BFloat16Storage',
    'int64': 'LongStorage',
    'uint8': 'ByteStorage',
    'complex64': 'ComplexFloatStorage',
}
PROTO = b'\x80\x02'


class Raw(bytes):
    """Pickle operations that leave one value on the stack."""


def name_of(module: str, name: str) -> Raw:
    """Mentions a global."""
    return Raw(b'c' + module.encode() + b'\n' + name.encode() + b'\n')


def call(module: str, name: str, *arguments: Any, keep: list | None = None) -> Raw:
    """Calls a global, as `__reduce__` does; tensors among the arguments go to `keep`."""
    inner = body(tuple(arguments), [] if keep is None else keep)
    return Raw(name_of(module, name) + inner + b'R')


def built(module: str, name: str, state: Any, keep: list | None = None) -> Raw:
    """Makes an object of a class without arguments and sets its state; tensors in it go to `keep`."""
    inner = body(state, [] if keep is None else keep)
    return Raw(name_of(module, name) + b')\x81' + inner + b'b')


def module(name: str, keep: list, inner: Mapping[str, Raw] | None = None, **tensors: Any) -> Raw:
    """A module of a stranger's class, pickled whole; its parameters, buffers and inner modules."""
    state = {
        'training': False,
        '_parameters': {k: v for k, v in tensors.items() if not k.startswith('running_')},
        '_buffers': {k: v for k, v in tensors.items() if k.startswith('running_')},
        '_non_persistent_buffers_set': call('__builtin__', 'set', []),
        '_forward_hooks': call('collections', 'OrderedDict'),
        '_modules': dict(inner or {}),
    }
    return built('net', name, state, keep)


def scripted(state: Mapping[str, Any], keep: list) -> Raw:
    """The data of a TorchScript archive: modules whose tensors are attributes, by dotted names."""
    attributes: dict[str, Any] = {'training': False}
    inner: dict[str, dict[str, Any]] = {}
    for name, value in state.items():
        head, _, rest = name.partition('.')
        if rest:
            inner.setdefault(head, {})[rest] = value
        else:
            attributes[head] = value
    attributes |= {name: scripted(part, keep) for name, part in inner.items()}
    return built('__torch__.net', 'Module', attributes, keep)


def pickled(value: Any, protocol: int = 2) -> Raw:
    """What the standard library writes for a value, without its head and its STOP."""
    return Raw(pickle.dumps(value, protocol)[2:-1])


def storage(key: str, dtype: str, count: Any, view: bool = False) -> Raw:
    """Refers to a block of numbers kept outside the pickle."""
    parts = ['storage', name_of('torch', STORAGES[dtype]), key, 'cpu', count]
    return Raw(body(tuple(parts + [None] * view), []) + b'Q')


def tensor(source: Raw, offset: Any, shape: Any, strides: Any) -> Raw:
    """Rebuilds a tensor from a storage; nothing is checked."""
    hooks = call('collections', 'OrderedDict')
    return call('torch._utils', '_rebuild_tensor_v2', source, offset, shape, strides, False, hooks)


def body(value: Any, keep: list, view: bool = False) -> bytes:
    """Returns the operations that build `value`; its arrays are appended to `keep`."""
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, np.ndarray):
        block = storage(str(len(keep)), value.dtype.name, value.size, view)
        keep.append(value)
        strides = tuple(int(np.prod(value.shape[i + 1 :])) for i in range(value.ndim))
        return bytes(tensor(block, 0, value.shape, strides))
    if isinstance(value, dict):
        items = b''.join(body(part, keep, view) for pair in value.items() for part in pair)
        return b'}(' + items + b'u'
    if isinstance(value, list | tuple):
        items = b''.join(body(part, keep, view) for part in value)
        return b'](' + items + b'e' if isinstance(value, list) else b'(' + items + b't'
    # Numbers, text, None: as the standard library writes them, without its head and its STOP.
    return pickle.dumps(value, 2)[2:-1]


def zip_bytes(
    pickled: bytes,
    blocks: Sequence[np.ndarray] = (),
    *,
    root: str = 'archive',
    extra: Mapping[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    """Returns a zip archive around a whole pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', compression) as archive:
        archive.writestr(f'{root}/data.pkl', pickled)
        archive.writestr(f'{root}/byteorder', b'little')
        for key, block in enumerate(blocks):
            archive.writestr(f'{root}/data/{key}', block.tobytes())
        archive.writestr(f'{root}/version', b'3\n')
        for name, content in (extra or {}).items():
            archive.writestr(name, content)
    return file.getvalue()


def legacy_bytes(pickled: bytes, blocks: Sequence[np.ndarray] = ()) -> bytes:
    """Returns the older format around a whole pickle."""
    system = {'protocol_version': 1001, 'little_endian': True, 'type_sizes': {'int': 4}}
    head = b''.join(PROTO + body(part, []) + b'.' for part in (MAGIC, 1001, system))
    keys = PROTO + body([str(key) for key in range(len(blocks))], []) + b'.'
    data = b''.join(struct.pack('<q', block.size) + block.tobytes() for block in blocks)
    return head + pickled + keys + data


FORMATS = {'zip': zip_bytes, 'legacy': legacy_bytes}


def encode(value: Any, form: str = 'zip') -> bytes:
    """Returns what `torch.save(value)` would write, arrays standing for tensors."""
    keep: list[np.ndarray] = []
    pickled = PROTO + body(value, keep, view=form == 'legacy') + b'.'
    return FORMATS[form](pickled, keep)


def save(path: pathlib.Path, value: Any, form: str = 'zip') -> pathlib.Path:
    """Writes `encode(value, form)` to `path`."""
    path.write_bytes(encode(value, form))
    return path
