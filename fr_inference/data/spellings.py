"""Decides which names mean the same person.

Source: canonical caseless matching, The Unicode Standard 16.0, section 3.13, definition D145.
"""

import dataclasses
import re
import unicodedata
from collections.abc import Mapping, Sequence

from fr_inference import errors
from fr_inference.data.faces import Faces

_EXAMPLES = 3


def key(name: str) -> str:
    """Returns a key that all spellings of a name have in common.

    Case, the encoding of accents (one character or two), and blanks or underscores are ignored,
    since sources differ in them. Two people whose names differ only in these count as one, which
    can hide a leak but not create one.

    >>> key('John_Doe') == key(' john doe')
    True
    >>> key('Zoe\\u0308') == key('zo\\u00eb')
    True
    """
    folded = unicodedata.normalize('NFD', name).casefold()
    return re.sub(r'[\s_]+', ' ', unicodedata.normalize('NFC', folded)).strip() or name


def merged(identities: Sequence[str]) -> tuple[Sequence[str], list[str]]:
    """Returns the identities of one source, each in its first spelling, and remarks."""
    first: dict[str, str] = {}
    spelled = {name: first.setdefault(key(name), name) for name in dict.fromkeys(identities)}
    others = [f'{name} = {kept}' for name, kept in spelled.items() if name != kept]
    if not others:
        return identities, []
    said = f'counted as one person, names that differ in spelling: {len(others)} ({listed(others)})'
    return [spelled[name] for name in identities], [said]


def unified(faces: Mapping[str, Faces]) -> dict[str, Faces]:
    """Returns the sources with the same spelling of each person in all of them, the first one."""
    first: dict[str, str] = {}
    found = {}
    for side, source in faces.items():
        names = dict.fromkeys(source.identities)  # in their order, which a set would lose
        spelled = {name: first.setdefault(key(name), name) for name in names}
        if any(name != kept for name, kept in spelled.items()):
            identities = tuple(spelled[name] for name in source.identities)
            source = dataclasses.replace(source, identities=identities)
        found[side] = source
    return found


def listed(examples: Sequence[str]) -> str:
    """Returns up to three examples in one line, without control characters."""
    some = ', '.join(errors.shown(example)[:300] for example in examples[:_EXAMPLES])
    return some + (', ...' if len(examples) > _EXAMPLES else '')
