"""Finds the tensors in what a pickle holds, and their names.

Dicts, lists and objects are levels of a name, joined by '/'. Inside a module that was pickled whole,
names are joined by '.', as in its state dict: 'checkpoint/model/layer1.0.bn1.weight'.
"""

import collections
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from fr_inference import errors
from fr_inference.formats import bounds, numpy_arrays
from fr_inference.formats.pickled import Ignored, Module, Packed, Storage, TensorRef

_MAX_NESTING = 16
# Modules may share parts. A network of a thousand layers has 30,000 parts.
_MAX_PARTS = 400_000
# Plain values, which no note names.
_VALUES = ('', '_codecs.encode', 'numpy.dtype', 'torch.Size', 'torch.device')
_VALUE_NAMES = ('bytearray', 'bytes', 'frozenset', 'scalar', 'set')
_OPAQUE = ('complex64', 'complex128')


@dataclasses.dataclass(frozen=True)
class Found:
    """What a pickle holds.

    Attributes:
      tensors: by name, views of storages or arrays of NumPy.
      unread: name -> form, of tensors that are sparse, quantised, complex and the like.
      options: numbers that modules hold as attributes, by name.
      modules: classes of the modules that were pickled whole.
      inert: classes and functions of all other objects, in the order of the file.
    """

    tensors: dict[str, TensorRef | Ignored] = dataclasses.field(default_factory=dict)
    unread: dict[str, str] = dataclasses.field(default_factory=dict)
    options: dict[str, float] = dataclasses.field(default_factory=dict)
    modules: dict[str, None] = dataclasses.field(default_factory=dict)
    inert: dict[str, None] = dataclasses.field(default_factory=dict)


def find(value: Any, source: str) -> Found:
    """Finds all tensors under names.

    A value that is mentioned twice has the name of its first mention, except for a module that is part
    of two modules: a state dict holds it twice as well.

    Args:
      value: what `unpickler.loads` built.
      source: the file, as errors call it.

    Raises:
      InputError: for too many parts, names that are too long, or two tensors with the same name.
    """
    found = Found()
    seen: set[int] = set()
    left = _MAX_PARTS
    pending: collections.deque[tuple[str, int, Any]] = collections.deque([('', 0, value)])
    while pending:
        prefix, depth, item = pending.popleft()
        module = _is_module(item)
        if not module:
            if id(item) in seen:
                continue
            seen.add(id(item))
        for key, leaf in _children(item):
            left -= 1
            if left < 0:
                raise errors.InputError(
                    source, f'more than {_MAX_PARTS} parts', 'the parts of a network, each once'
                )
            name = prefix + key
            if _is_tensor(leaf):
                _enter(found.tensors, name, leaf, source)
            elif form := _unread(leaf):
                _enter(found.unread, name, form, source)
            elif isinstance(leaf, dict | list | tuple | Module | Ignored):
                inner = _is_module(leaf)
                if isinstance(leaf, Ignored):
                    _note(found, leaf, inner, module)
                if depth < _MAX_NESTING and len(name) <= bounds.MAX_NAME and (inner or not module):
                    pending.append((f'{name}{"." if module else "/"}', depth + 1, leaf))
            elif module and type(leaf) in (int, float) and abs(leaf) < bounds.MAX_NUMBER:
                _enter(found.options, name, leaf, source)
    if isinstance(value, Ignored):
        _note(found, value, _is_module(value), False)
    return found


def _is_tensor(leaf):
    if isinstance(leaf, TensorRef):
        return isinstance(leaf.storage, Packed) or leaf.storage.dtype not in _OPAQUE
    return isinstance(leaf, Ignored) and numpy_arrays.is_pickled(leaf)


def _unread(leaf):
    """Returns the form of a tensor that cannot be read, '' for anything else."""
    if isinstance(leaf, TensorRef):
        return leaf.storage.dtype if isinstance(leaf.storage, Storage) else 'packed'
    if not isinstance(leaf, Ignored) or _is_module(leaf):
        return ''
    given = leaf.arguments if isinstance(leaf.arguments, tuple) else ()
    made_of = any(isinstance(part, TensorRef | Storage | Packed) for part in given)
    value = leaf.name in _VALUES or leaf.name.rpartition('.')[2] in _VALUE_NAMES
    rebuilt = leaf.name.startswith('torch.') and '._rebuild' in leaf.name
    return errors.shown(leaf.name[:80]) if rebuilt or (made_of and not value) else ''


def _is_module(item: Any) -> bool:
    if isinstance(item, Module):
        return True
    if not isinstance(item, Ignored) or not isinstance(item.state, dict):
        return False
    scripted = item.name.startswith('__torch__.')
    return scripted or all(isinstance(item.state.get(key), dict) for key in _TABLES)


_TABLES = ('_parameters', '_buffers', '_modules')


def _children(item: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(item, list | tuple):
        for index, leaf in enumerate(item):
            pair = isinstance(leaf, tuple) and len(leaf) == 2 and isinstance(leaf[0], str)
            yield (leaf[0], leaf[1]) if pair else (str(index), leaf)
    elif isinstance(item, dict):
        yield from _named(item)
    elif _is_module(item):
        yield from _parts(item.state)
    elif isinstance(item, Ignored):
        # An object with slots has a pair of dicts for a state.
        states = item.state if isinstance(item.state, tuple) else (item.state,)
        for table in (item.entries, *states[:2]):
            yield from _named(table)


def _named(table: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(table, dict):
        yield from ((key, leaf) for key, leaf in table.items() if isinstance(key, str))


def _parts(state: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Yields what a module's state dict would hold, and its attributes that are numbers."""
    passing = state.get('_non_persistent_buffers_set')
    left_out = _members(passing) if isinstance(passing, Ignored) else ()
    for key, leaf in _named(state):
        if key == '_buffers':
            yield from ((name, part) for name, part in _named(leaf) if name not in left_out)
        elif key in ('_parameters', '_modules'):
            yield from _named(leaf)
        elif not isinstance(leaf, TensorRef | Ignored | Module) or _TABLES[0] not in state:
            yield key, leaf


def _members(made: Ignored) -> list[str]:
    listed = made.arguments[0] if isinstance(made.arguments, tuple) and made.arguments else ()
    parts = [*made.items, *(listed if isinstance(listed, list) else ())]
    return [part for part in parts if isinstance(part, str)]


def _note(found, item, module, inside):
    value = item.name in _VALUES or item.name.rpartition('.')[2] in _VALUE_NAMES
    if not value and not inside:
        (found.modules if module else found.inert)[errors.shown(item.name[:80])] = None


def _enter(table, name, leaf, source):
    if len(name) > bounds.MAX_NAME:
        raise errors.InputError(
            source, f'a name of {len(name)} characters', f'at most {bounds.MAX_NAME}'
        )
    if name in table:
        raise errors.InputError(
            source, f'two tensors called {errors.shown(name[:80])}', 'each once'
        )
    table[name] = leaf
    bounds.check_count(len(table), source)
