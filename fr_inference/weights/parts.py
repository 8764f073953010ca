"""Finds backbones in a file: removes wrappers from names, and looks for tensors below a prefix."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from fr_inference import errors

# A wrapper that training code puts around a module appears in every name inside it.
_WRAPPERS = re.compile(
    r'(?:^|(?<=[./]))(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|'
    r'_forward_module)\.'
)
_MAX_PREFIXES = 256  # each is tried on all names
_MAX_COMPARED = 16 << 20  # bytes at a time
_MOST_NAMED = 8
TOP = '.'
"""The name of the part that is the whole file."""

Value = TypeVar('Value')


def unwrapped(tensors: Mapping[str, Value]) -> dict[str, Value]:
    """Returns the mapping with wrappers removed from its names, wherever they occur.

    A name stays unchanged if two names would become the same.

    >>> list(unwrapped({'module.layer1.0._orig_mod.bn1.weight': 0}))
    ['layer1.0.bn1.weight']
    """
    found = {_WRAPPERS.sub('', name): value for name, value in tensors.items()}
    return found if len(found) == len(tensors) else dict(tensors)


def prefixes(names: Iterable[str], signatures: Sequence[str], source: str) -> list[str]:
    """Returns every prefix under which one of the signatures is found, shortest first.

    Args:
      names: of tensors.
      signatures: names of which a network has one.
      source: the file, as errors call it.

    Raises:
      InputError: for more than 256 prefixes.
    """
    ends = tuple(signatures)
    found = {
        name.removesuffix(signature)
        for name in names
        if name.endswith(ends)
        for signature in ends
        if name == signature or name.endswith((f'.{signature}', f'/{signature}'))
    }
    if len(found) > _MAX_PREFIXES:
        raise errors.InputError(
            source, f'{len(found)} places that look like a network', f'at most {_MAX_PREFIXES}'
        )
    return sorted(found, key=lambda prefix: (len(prefix), prefix))


def below(tensors: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """Returns the tensors below a prefix, without it, but not those of dicts further inside."""
    inside = {
        name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)
    }
    return {name: value for name, value in inside.items() if '/' not in name}


def called(prefix: str) -> str:
    """Returns the name of a prefix as an option.

    >>> called('state_dict/teacher.'), called('')
    ('state_dict/teacher', '.')
    """
    return prefix.rstrip('./') or TOP


def chosen(part: str, among: Sequence[str], source: str) -> str:
    """Returns the prefix that `part` names, in full or by an ending that no other prefix has.

    Raises:
      InputError: of the field 'part', if it names none or several.
    """
    wanted = part.rstrip('./') or TOP
    exact = [prefix for prefix in among if called(prefix) == wanted]
    ends = (f'.{wanted}', f'/{wanted}')
    found = exact or [prefix for prefix in among if called(prefix).endswith(ends)]
    if len(found) != 1:
        raise errors.InputError('part', repr(part)[:200], f'one of {listed(among)}', inside=source)
    return found[0]


def listed(among: Sequence[str]) -> str:
    """Returns prefixes as a list for an error."""
    more = f' and {len(among) - _MOST_NAMED} more' if len(among) > _MOST_NAMED else ''
    return ', '.join(repr(called(prefix)[-80:]) for prefix in among[:_MOST_NAMED]) + more


def same(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> bool:
    """Whether two parts hold the same numbers under the same names; needs little memory."""
    if first.keys() != second.keys():
        return False
    return all(_equal(one, second[name]) for name, one in first.items())


def _equal(one, two):
    if (one.shape, one.dtype) != (two.shape, two.dtype):
        return False
    if one.nbytes <= _MAX_COMPARED:
        return one.tobytes() == two.tobytes()
    axis = int(np.argmax(one.shape))
    halves = zip(np.array_split(one, 2, axis), np.array_split(two, 2, axis), strict=True)
    return all(_equal(*pair) for pair in halves)
