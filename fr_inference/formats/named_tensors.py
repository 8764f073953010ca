"""Makes arrays of the tensors that a pickle names."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fr_inference import errors
from fr_inference.formats import bounds, legacy_torch, numpy_arrays, pickled_tree
from fr_inference.formats.opcodes import Allowance
from fr_inference.formats.pickled import Storage, TensorRef

# Tied weights share a storage. Thousands of views of one are an attack: each becomes a copy.
_MAX_SHARING = 4
_MOST_NAMED = 8


@dataclasses.dataclass(frozen=True)
class StateDict:
    """Tensors by name, and notes on parts that the reader left out.

    Attributes:
      tensors: read-only arrays in the file's own dtype, by names from the top ('model/fc.bias'). They
        are views of the mapped file: a head of gigabytes that is set aside takes no memory.
      notes: one line for each thing that was set aside.
      options: numbers that modules hold as attributes, by name.
      unread: name -> form, of tensors that are sparse, quantised, complex and the like.
    """

    tensors: dict[str, np.ndarray]
    notes: tuple[str, ...] = ()
    options: Mapping[str, float] = dataclasses.field(default_factory=dict)
    unread: Mapping[str, str] = dataclasses.field(default_factory=dict)


def state_dict(
    value: Any, data: Callable[[Storage], memoryview], allowance: Allowance, source: str
) -> StateDict:
    """Finds the tensors of a checkpoint and resolves them.

    Args:
      value: what `unpickler.loads` built.
      data: returns the bytes of a storage.
      allowance: what reading the file may still cost.
      source: the file, as errors call it.

    Returns:
      The arrays, views of what `data` returns.

    Raises:
      InputError: when there are none, or they do not fit what is stored.
    """
    found = pickled_tree.find(value, source)
    for names in (found.tensors, found.unread, found.options):
        bounds.check_names(names, source)
    if any(name.startswith('dnnlib.tflib.') for name in found.inert):
        raise errors.InputError(
            source,
            'a TensorFlow network of StyleGAN',
            "NVIDIA's .pkl for PyTorch",
            "convert it with stylegan2-ada-pytorch's legacy.py: python legacy.py --source=A --dest=B",
        )
    views = {name: leaf for name, leaf in found.tensors.items() if isinstance(leaf, TensorRef)}
    refs, blocks = legacy_torch.unpacked(views, allowance, source)
    wanted = sum(math.prod(ref.shape) for ref in refs.values())
    storages = [ref.storage for ref in refs.values() if isinstance(ref.storage, Storage)]
    stored = sum({storage.key: storage.count for storage in storages}.values())
    if wanted > _MAX_SHARING * stored:
        raise errors.InputError(
            source,
            f'{len(refs)} tensors of {wanted} numbers that share {stored} stored ones',
            f'at most {_MAX_SHARING} times the stored numbers',
        )

    def find(storage):
        return blocks[storage.key] if storage.key in blocks else data(storage)

    arrays, unread = {}, dict(found.unread)
    for name, leaf in found.tensors.items():
        if isinstance(leaf, TensorRef):
            arrays[name] = _array(refs[name], find, source)
            continue
        try:
            arrays[name] = numpy_arrays.unpickled(leaf, allowance)
        except ValueError as error:
            unread[name] = bounds.brief(error)
    if not arrays:
        raise _no_tensors(found.inert, unread, source)
    return StateDict(arrays, tuple(_notes(found, unread)), found.options, unread)


def _notes(found, unread):
    for kind, names in (
        ('modules pickled whole, whose tensors are read and whose code is not', found.modules),
        ('set aside, never imported or run', found.inert),
        ('set aside, tensors in another form', [f'{k} ({v})' for k, v in unread.items()]),
    ):
        if names and '' not in names:
            yield f'{kind}: {_listed(names)}'


def _listed(names):
    more = ', ...' if len(names) > _MOST_NAMED else ''
    return ', '.join(itertools.islice((name[:200] for name in names), _MOST_NAMED)) + more


def _no_tensors(inert, unread, source):
    forms = _listed([f'{name} ({form})' for name, form in unread.items()])
    return errors.InputError(
        source,
        'no named tensors' + (f' but {forms}' if forms else ''),
        'a state dict',
        f'nothing was run, including {_listed(inert)}' if inert else None,
    )


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
