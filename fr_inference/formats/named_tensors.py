"""Finds the named tensors in what a pickle holds, and makes arrays of them."""

import collections
import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fr_inference import errors
from fr_inference.formats import bounds, legacy_torch
from fr_inference.formats.opcodes import Allowance
from fr_inference.formats.pickled import Module, Storage, TensorRef

# Tied weights share a storage; thousands of views of one are a bomb, each becoming a copy.
_MAX_SHARING = 4
_MAX_DEPTH = 4
_MAX_NESTING = 8


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


def state_dict(
    value: Any,
    data: Callable[[Storage], memoryview],
    allowance: Allowance,
    source: str,
    nested: bool,
) -> StateDict:
    """Finds the tensors in a (nested) checkpoint and resolves them.

    Args:
      value: what `unpickler.loads` built.
      data: returns the bytes of a storage.
      allowance: what reading the file may still cost.
      source: the file, as errors call it.
      nested: all tensors, named from the top, in place of the largest dict of them.

    Returns:
      The arrays, views of what `data` returns.

    Raises:
      InputError: where there are none, or they do not fit what is stored.
    """
    notes: list[str] = []
    options: dict[str, float] = {}
    if nested:
        chosen, options = _all_named(value, source)
    else:
        chosen, notes = _largest(value, source)
    chosen, blocks = legacy_torch.unpacked(chosen, allowance, source)
    wanted = sum(math.prod(ref.shape) for ref in chosen.values())
    stored = sum({ref.storage.key: ref.storage.count for ref in chosen.values()}.values())
    if wanted > _MAX_SHARING * stored:
        raise errors.InputError(
            source,
            f'{len(chosen)} tensors of {wanted} numbers that share {stored} stored ones',
            f'{_MAX_SHARING} times what is stored at most',
        )
    bounds.check_names(chosen, source)
    bounds.check_names(options, source)

    def find(storage):
        return blocks[storage.key] if storage.key in blocks else data(storage)

    arrays = {key: _array(ref, find, source) for key, ref in chosen.items()}
    return StateDict(arrays, tuple(notes), options)


def _largest(value, source):
    """Returns the tensors of the dict that has the most, and notes about the others."""
    candidates = _tensor_dicts(value)
    if not candidates:
        raise _no_tensors(source)
    # The most tensors win (optimizer states come in many small dicts); first named, first chosen.
    path = max(candidates, key=lambda key: len(candidates[key]))
    chosen = candidates.pop(path)
    notes = [
        f'set aside: {errors.shown(".".join(other)[:80]) or "(top level)"} ({len(tensors)} tensors, as '
        f'{errors.shown(next(iter(tensors))[:80])})'
        for other, tensors in itertools.islice(candidates.items(), 8)
    ]
    return chosen, notes


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
            elif module and type(leaf) in (int, float) and abs(leaf) < bounds.MAX_NUMBER:
                _enter(options, path, key, leaf, source)
            elif isinstance(leaf, TensorRef) and not module:
                _enter(tensors, path, key, leaf, source)
            elif isinstance(leaf, dict | Module) and not module and len(path) < _MAX_NESTING:
                pending.append(((*path, key), leaf))
    if not tensors:
        raise _no_tensors(source)
    return tensors, options


def _enter(table, path, key, leaf, source):
    length = sum(map(len, path)) + len(key)
    if length > bounds.MAX_NAME:
        raise errors.InputError(
            source, f'a name of {length} characters', f'{bounds.MAX_NAME} at most'
        )
    name = '.'.join((*path, key))
    if name in table:
        raise errors.InputError(
            source, f'two tensors called {errors.shown(name[:80])}', 'each once'
        )
    table[name] = leaf
    bounds.check_count(len(table), source)


def _no_tensors(source):
    return errors.InputError(source, 'no named tensors', 'a state dict')


def _array(ref, data, source):
    dtype = legacy_torch.dtype_of(ref.storage)
    raw = data(ref.storage)
    if len(raw) < ref.storage.count * dtype.itemsize:
        raise errors.InputError(
            source, f'a storage of {ref.storage.count} numbers that has only {len(raw)} bytes'
        )
    flat = np.frombuffer(raw, dtype, count=ref.storage.count)
    if math.prod(ref.shape) == 0:
        return np.zeros(0, dtype)
    strides = tuple(stride * dtype.itemsize for stride in ref.strides)
    # `unpickler` has checked that the view stays inside its storage; views cost no memory.
    return np.lib.stride_tricks.as_strided(flat[ref.offset :], ref.shape, strides, writeable=False)
