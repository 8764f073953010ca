"""How an option is declared: a dataclass field with its range and one line of help.

`config` declares every option with it; `cli.options` turns the declarations into flags.
"""

import dataclasses
import importlib
import inspect
import math
import os
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from fr_inference import errors

Kind = TypeVar('Kind', bound='Config')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """The properties of an option besides its name, type and default.

    Attributes:
      help: one line.
      group: a key of `config.GROUPS`.
      low: smallest value.
      above: exclusive lower limit.
      high: largest value.
      choices: the allowed values: a tuple of texts, or 'module:name' of a table in a higher module,
        which is imported when needed.
      own: whether 'module:name' of the user's own is allowed beside the choices.
      names: what the text names, a key of `config.NAMES` such as FACES; '' for other texts.
      flag: whether the programs have it as a flag; otherwise only the Python API has it.
      absent: a hint for users who leave out a required option.
    """

    help: str
    group: str
    low: float | None = None
    above: float | None = None
    high: float | None = None
    choices: tuple[str, ...] | str | None = None
    own: bool = False
    names: str = ''
    flag: bool = True
    absent: str = ''

    def allowed(self) -> tuple[str, ...] | None:
        """Returns the choices, None if any value in the range is allowed."""
        if not isinstance(self.choices, str):
            return self.choices
        module, _, name = self.choices.partition(':')
        return tuple(getattr(importlib.import_module(module), name))

    def contains(self, value: float) -> bool:
        """Returns whether a number is finite and in the range."""
        return not (
            not math.isfinite(value)
            or (self.low is not None and value < self.low)
            or (self.above is not None and value <= self.above)
            or (self.high is not None and value > self.high)
        )

    def range(self) -> str:
        """Returns the range in words, '' without one."""
        if self.above is not None:
            low = f'above {self.above:g}'
            return low if self.high is None else f'{low}, at most {_short(self.high)}'
        if self.low is None:
            return '' if self.high is None else f'at most {_short(self.high)}'
        low = _short(self.low)
        return f'{low} or more' if self.high is None else f'{low} to {_short(self.high)}'


def _short(value):
    return str(value) if isinstance(value, int) else f'{value:.4g}'


def option(default: Any, help: str, group: str, **known: Any) -> Any:
    """Returns a dataclass field with an `Option`; `...` as the default makes it required."""
    described: dict[str, Any] = {'metadata': {'option': Option(help=help, group=group, **known)}}
    if default is not ...:
        described['default'] = default
    return dataclasses.field(**described)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Base of all options: checks every field's type, range and choices, then calls `check`."""

    def __post_init__(self) -> None:
        for name, (field, known) in options_of(type(self)).items():
            value = getattr(self, name)
            if value is None and field.default is None:
                continue
            if isinstance(value, list):
                value = tuple(value)
                object.__setattr__(self, name, value)
            if isinstance(value, os.PathLike):
                value = os.fspath(value)
                object.__setattr__(self, name, value)
            _check_type(name, value, kind_of(type(self), name))
            for one in value if isinstance(value, tuple) else (value,):
                _check_value(name, one, known)
            if known.choices is not None and isinstance(value, tuple):
                _check_once(name, value)
        self.check()

    def check(self) -> None:
        """Raises `InputError` for values that do not fit each other."""

    def check_given(self, given: Mapping[str, Any]) -> None:
        """Raises `InputError` for an option that was given explicitly and would be ignored."""


def explicit(kind: type[Kind], given: Mapping[str, Any]) -> Kind:
    """Returns an instance of an options class from the explicitly given values.

    Raises:
      InputError: also for given values that would be ignored.
    """
    made = kind(**given)
    made.check_given(given)
    return made


def options_of(kind: type[Config]) -> dict[str, tuple[dataclasses.Field, Option]]:
    """Returns name -> (field, option) of a class, in the order of the class."""
    return {
        field.name: (field, field.metadata['option'])
        for field in dataclasses.fields(kind)
        if 'option' in field.metadata
    }


def flags_of(kind: type[Config]) -> list[str]:
    """Returns the names of the options with flags: the class's own, then those of its bases."""
    known = options_of(kind)
    names = [name for part in kind.__mro__ for name in inspect.get_annotations(part)]
    return [name for name in dict.fromkeys(names) if name in known and known[name][1].flag]


def is_required(field: dataclasses.Field) -> bool:
    """Whether an option has no default."""
    return field.default is dataclasses.MISSING


def kind_of(kind: type[Config], name: str) -> type:
    """Returns the type of an option's values: bool, int, float, str or tuple[one of these, ...]."""
    hint = typing.get_type_hints(kind)[name]
    if isinstance(hint, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not types.NoneType)
    return hint


def _inner(kind):
    """Returns the type of one value, and whether an option holds several."""
    several = typing.get_origin(kind) is tuple
    return (typing.get_args(kind)[0] if several else kind), several


_CALLED = {int: 'a whole number', float: 'a number', str: 'text', bool: 'true or false'}


def _check_type(name, value, kind):
    inner, several = _inner(kind)
    values = value if several else (value,)
    fits = isinstance(values, tuple) and all(
        type(one) is inner or (inner is float and type(one) is int) for one in values
    )
    if not fits:
        many = 'a tuple, each ' if several else ''
        raise errors.InputError(name, repr(value)[:200], f'{many}{_CALLED[inner]}')


def _check_value(name, value, known):
    if (allowed := known.allowed()) is not None and not (known.own and ':' in value):
        errors.one_of(name, value, allowed)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if not known.contains(value):
        raise errors.InputError(name, repr(value), known.range() or 'a finite number')


def _check_once(name, values):
    if twice := [one for one in values if values.count(one) > 1]:
        raise errors.InputError(name, f'{twice[0]!r} twice', 'each once')


_TRUTH = {'true': True, 't': True, '1': True, 'false': False, 'f': False, '0': False}


def parse(kind: type[Config], name: str, text: str) -> Any:
    """Returns the value of an option that a text gives; several values are separated by commas.

    Raises:
      InputError: for a text that is not a value of the option's type.
    """
    inner, several = _inner(kind_of(kind, name))
    read = (lambda one: _TRUTH[one.lower()]) if inner is bool else inner
    parts = text.split(',') if several and text else [] if several else [text]
    try:
        values = tuple(read(part.strip() if several else part) for part in parts)
    except (ValueError, KeyError):
        called = f'{_CALLED[inner]}s, separated by commas'.removeprefix('a ') if several else None
        raise errors.InputError(name, f'{text!r:.80}', called or _CALLED[inner]) from None
    return values if several else values[0]


def replace(config: Any, **changes: Any) -> Any:
    """Returns the same options with some of them changed, checked again."""
    return dataclasses.replace(config, **changes)


def text_of(value: Any) -> str:
    """Returns the text that `parse` reads back as the same value."""
    if isinstance(value, tuple):
        return ','.join(text_of(one) for one in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
