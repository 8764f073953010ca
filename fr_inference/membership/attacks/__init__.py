"""The attacks: each module of this package has one as `ATTACK`, or several as `ATTACKS`.

>>> names()[-3:]
('reference-distances', 'reference-ratio', 'reference-ratio-distances')
>>> get('people').unit
'person'
>>> [part.name for part in chosen(('norm', 'bn-distance', 'combined-answers'))[0].parts]
['norm']
"""

import dataclasses
import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Sequence

from fr_inference import errors
from fr_inference.membership.attack import Attack, of_images

ALL = 'all'
"""Stands for every attack, in options."""

# Always reported first, in this order. The first that can be run heads the report, so that it # is
# chosen before the data are seen.
_FIRST = (
    'combined-file-references',
    'combined-file',
    'combined-answers-references',
    'combined-answers',
    'bn-distance',
    'people',
    'people-answers',
)


@functools.cache
def _found() -> dict[str, Attack]:
    found: dict[str, Attack] = {}
    for file in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f'{__name__}.{file.name}')
        for attack in getattr(module, 'ATTACKS', None) or (module.ATTACK,):
            if attack.name in found:
                raise errors.InputError(
                    'attack',
                    f'{attack.name!r} a second time in {file.name}.py',
                    'a name of its own',
                )
            found[attack.name] = attack
    rest = sorted(set(found) - set(_FIRST))
    return {name: found[name] for name in (*_FIRST, *rest)}


def names() -> tuple[str, ...]:
    """Returns the attacks' names in the order in which they are reported."""
    return tuple(_found())


def get(name: str) -> Attack:
    """Returns an attack; one that combines others has no parts yet (`chosen`).

    Args:
      name: the name of an attack of this package, or 'module:name' of an `Attack`, of a function
        (images `Labelled`, fit [N] bool, seed) -> features [N, F] that needs only distances and
        embeddings, or of a class without arguments whose instances are one of these. A function
        with the attribute `access` = 'answers' uses only embeddings.

    Raises:
      InputError: when there is no attack of that name.
    """
    if ':' in name:
        return _own(name)
    errors.one_of('attacks', name, names())
    return _found()[name]


def _own(path: str) -> Attack:
    """An attack of the user's own, from a module that Python finds."""
    module, _, name = path.partition(':')
    try:
        found = getattr(importlib.import_module(module), name)
        found = found() if isinstance(found, type) else found
    except (Exception, SystemExit) as error:  # the module is the user's and may raise anything
        raise errors.InputError(
            'attacks',
            f'{path!r}: {type(error).__name__}: {error}',
            "'module:name' of a module that Python finds",
        ) from error
    if not isinstance(found, Attack):
        found = _of_function(path, found)
    if found.name in names() or not re.fullmatch(r'[\w.-]+', found.name):
        raise errors.InputError(
            'attacks',
            f'{path!r} named {found.name!r}',
            "a new name, of letters, digits, '.' and '-'",
        )
    return dataclasses.replace(found, own=True)


def _of_function(path, function):
    if not callable(function):
        raise errors.InputError(
            'attacks', f'{path!r}, a {type(function).__name__}', 'an Attack, or a function'
        )

    def examples(images, fit, seed):
        features = function(images, fit, seed)
        return None if features is None else of_images(images, fit, features)

    return Attack(
        name=path.replace(':', '-'),
        title=(inspect.getdoc(function) or path).splitlines()[0].rstrip('.'),
        source=path,
        access=getattr(function, 'access', 'file'),
        unit='image',
        needs='what it takes',
        examples=examples,
    )


def chosen(wanted: Sequence[str] = ()) -> list[Attack]:
    """Returns the requested attacks, in the order of the report.

    Args:
      wanted: names; 'all' for every attack, () for those that need no further pass. The user's own
        attacks come last.
    """
    own = [get(name) for name in wanted if ':' in name]
    if len({attack.name for attack in own}) < len(own):
        raise errors.InputError(
            'attacks', f'the names {[attack.name for attack in own]}', 'different names'
        )
    every = [get(name) for name in names()]
    if not wanted:
        found = [attack for attack in every if not attack.passes]
    elif ALL in wanted:
        found = every
    else:
        found = [attack for attack in every if attack.name in wanted]
    found += own
    single = [attack for attack in found if not attack.combines and attack.unit == 'image']
    return [
        dataclasses.replace(
            attack, parts=tuple(part for part in single if part.takes_no_more_than(attack))
        )
        if attack.combines
        else attack
        for attack in found
    ]


def __getattr__(name: str) -> object:
    """Computes `NAMES`, the choices of an option, when it is first read."""
    if name == 'NAMES':
        return (*names(), ALL)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
