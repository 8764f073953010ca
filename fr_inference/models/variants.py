"""Declares backbones: the table of variants, and the ranges of hyper-parameters."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from fr_inference import errors
from fr_inference.models.target import InputSpec

DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}

_LARGEST = 8192  # of any integer: an untrusted description must not exhaust memory


@dataclasses.dataclass(frozen=True)
class Variant:
    """One row of a family's table.

    Attributes:
      build: makes the module from keyword overrides of its hyper-parameters.
      input: the images that its published checkpoints expect.
      parameters: number of parameters, running statistics not counted.
    """

    build: Callable[..., nn.Module]
    input: InputSpec
    parameters: int


def hyperparameter(
    default: Any,
    *,
    choices: tuple[str, ...] | None = None,
    total: int | None = None,
    longest: int | None = None,
) -> Any:
    """Declares a field of a module, with the values that it may take.

    Other fields take values of their default's type: an integer from 1 to 8192, a tuple of as many such
    integers as the default has, a number between 0 and 1, True or False, or any text.

    Args:
      default: of the field.
      choices: the allowed texts.
      total: the largest sum of a tuple.
      longest: the largest length of a tuple.
    """
    limits = {'choices': choices, 'total': total, 'longest': longest}
    return dataclasses.field(default=default, metadata=limits)


def hyperparameters(module: nn.Module) -> dict[str, dataclasses.Field]:
    """Returns the fields of a module that a description may override, by name."""
    aside = ('parent', 'name', 'axis_name')  # Linen's own fields, and one that a training step sets
    return {field.name: field for field in dataclasses.fields(module) if field.name not in aside}


def resolve(name: str, module: nn.Module, config: Mapping[str, Any]) -> dict[str, Any]:
    """Checks JSON-able overrides and returns them as arguments of a module.

    Args:
      name: of the variant.
      module: with the variant's defaults.
      config: hyper-parameter -> value; a dtype by its name, a tuple as a list or tuple.

    Raises:
      InputError: for an unknown hyper-parameter or value.
    """
    known = hyperparameters(module)
    resolved = {}
    for option, value in config.items():
        if option not in known:
            raise errors.InputError(
                'config',
                f'{option!r:.80}',
                f'a hyper-parameter of {name}: {", ".join(map(repr, known))}',
            )
        if option == 'dtype':
            errors.one_of('dtype', value, DTYPES)
            resolved[option] = DTYPES[value]
            continue
        default = getattr(module, option)
        limits = known[option].metadata
        if isinstance(default, tuple):
            _check_tuple(option, value, len(default), limits.get('total'), limits.get('longest'))
            resolved[option] = tuple(value)
            continue
        _check_value(option, value, default, limits.get('choices'))
        resolved[option] = value
    return resolved


def _check_tuple(option, value, length, total, longest):
    fits = (
        isinstance(value, list | tuple)
        and (len(value) == length if longest is None else 1 <= len(value) <= longest)
        and all(map(_is_size, value))
        and (total is None or sum(value) <= total)
    )
    if not fits:
        count = f'{length}' if longest is None else f'1 to {longest}'
        most = '' if total is None else f', at most {total} in all'
        raise errors.InputError(
            option, f'{value!r:.80}', f'{count} whole numbers from 1 to {_LARGEST}{most}'
        )


def _check_value(option, value, default, choices):
    if choices is not None:
        errors.one_of(option, value, choices)
    elif type(default) is int and not _is_size(value):
        raise errors.InputError(option, f'{value!r:.80}', f'a whole number from 1 to {_LARGEST}')
    elif type(default) is float and not (type(value) is float and 0 < value < 1):
        raise errors.InputError(option, f'{value!r:.80}', 'a number between 0 and 1')
    elif type(value) is not type(default):
        raise errors.InputError(option, f'{value!r:.80}', f'a value like {default!r}')


def _is_size(value):
    return type(value) is int and 1 <= value <= _LARGEST
