"""The attacks, one file each: a module of this package that holds `ATTACK` is one.

>>> names()
('bn-distance', 'people')
>>> get('people').unit
'person'
"""

import functools
import importlib
import pkgutil

from fr_inference import errors
from fr_inference.membership.attack import Attack

# Reported first, in this order, whatever else there is; the first was chosen to head every report.
_FIRST = ('bn-distance', 'people')


@functools.cache
def _found() -> dict[str, Attack]:
    found: dict[str, Attack] = {}
    for module in pkgutil.iter_modules(__path__):
        attack = importlib.import_module(f'{__name__}.{module.name}').ATTACK
        if attack.name in found:
            raise errors.InputError(
                'attack', f'{attack.name!r} a second time in {module.name}.py', 'a name of its own'
            )
        found[attack.name] = attack
    rest = sorted(set(found) - set(_FIRST))
    return {name: found[name] for name in (*_FIRST, *rest)}


def names() -> tuple[str, ...]:
    """Returns the attacks' names in the order in which they are reported."""
    return tuple(_found())


def get(name: str) -> Attack:
    """Returns an attack.

    Raises:
      InputError: when there is none of that name.
    """
    errors.one_of('attacks', name, names())
    return _found()[name]


def __getattr__(name: str) -> object:
    """`NAMES`, for the choices of an option, read when it is asked for."""
    if name == 'NAMES':
        return names()
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
