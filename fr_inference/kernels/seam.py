"""Chooses another form of a model's operation on some platforms; no other module does.

`models/` defines every operation plainly. `FORMS` says which platform computes which operation in
another way. The choice is made for the platform that a program is compiled for
(`jax.lax.platform_dependent`): a program that a CPU compiles ahead of time for a TPU has TPU forms.

A form returns the numbers of the plain operation up to rounding, and can be differentiated in
forward and reverse mode any number of times (tests/kernels).
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

import jax

from fr_inference.kernels import (
    folded_filter,
    phases,
    recomputed,
    shifted_depthwise,
    winograd,
)

P = ParamSpec('P')


def _always(*arrays: jax.Array, **options: Any) -> bool:
    return True


@dataclasses.dataclass(frozen=True)
class Form:
    """Another way to compute an operation.

    Attributes:
      compute: has the arguments of the plain operation.
      pays: whether it is faster for these arguments; reads only shapes and dtypes.
    """

    compute: Callable[..., jax.Array]
    pays: Callable[..., bool] = _always


# Operation -> platform ('cpu', 'tpu', 'cuda', 'rocm') -> form. All others are computed plainly.
FORMS: Mapping[str, Mapping[str, Form]] = {
    'convolve': {'cpu': Form(winograd.convolve, winograd.pays)},
    'depthwise': {'cpu': Form(shifted_depthwise.depthwise, shifted_depthwise.pays)},
    'finish': {'cuda': Form(recomputed.finish), 'rocm': Form(recomputed.finish)},
    'upsample': {'cpu': Form(phases.upsample), 'cuda': Form(phases.upsample)},
    'downsample': {'cpu': Form(phases.downsample), 'cuda': Form(phases.downsample)},
    'upsample_conv': {
        'cpu': Form(phases.upsample_conv),
        'cuda': Form(folded_filter.upsample_conv),
    },
    'downsample_conv': {
        'cpu': Form(phases.downsample_conv),
        'cuda': Form(folded_filter.downsample_conv),
    },
}


def operation(plain: Callable[P, jax.Array]) -> Callable[P, jax.Array]:
    """Returns an operation that takes the form of the platform it is compiled for.

    Args:
      plain: a function of arrays (positional) and static options (keywords). Its name is its row in
        `FORMS`. The function itself remains available as `__wrapped__`.

    Raises:
      KeyError: for a name without a row.
    """
    forms = FORMS[plain.__name__]

    @functools.wraps(plain)
    def chosen(*arrays: P.args, **options: P.kwargs) -> jax.Array:
        given = tuple(options.items())
        branches = {
            platform: _bound(form.compute, given)
            for platform, form in forms.items()
            if form.pays(*arrays, **options)
        }
        if not branches:
            return plain(*arrays, **options)
        default = _bound(plain, given)
        found: jax.Array = jax.lax.platform_dependent(*arrays, **branches, default=default)
        return found

    return chosen


@functools.cache
def _bound(function, options):
    """Binds options to a function; returns the same object each time, so that JAX traces it once."""
    return functools.partial(function, **dict(options))
