"""The definition of a graph operator: a function of arrays, and its properties.

A tensor that depends neither on pixels nor on weights (a shape, an index) is a NumPy array. It is
computed while JAX traces, so that JAX sees a shape that the file computes as plain numbers.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors

Tensor = np.ndarray | jax.Array

MAX_STATIC = 1 << 22  # largest number of elements of an array that is larger than its inputs
MAX_ELEMENTS = 1 << 28  # of any other, for one image


@dataclasses.dataclass(frozen=True)
class Operator:
    """One row of the table of operators.

    Attributes:
      compute: (node, *inputs) -> an array or a tuple of them; None stands for an absent input.
      attributes: the supported ones, separated by blanks; a node with another is an error.
      layout: of its maps: 'last' (its first input and its result have their channels last, [N, H, W,
        C]), 'first' ([N, C, H, W], as in the graph), 'either' (all inputs have the same layout).
      axis: whether its attribute `axis` refers to an axis of a map.
      static: positions of inputs that must not depend on pixels or weights, whatever their type.
      folds: whether it is computed when the file is opened if all its inputs are constants.
    """

    compute: Callable[..., Any]
    attributes: str = ''
    layout: str = 'first'
    axis: bool = False
    static: tuple[int, ...] = ()
    folds: bool = False


def library(*arrays: Tensor | None) -> Any:
    """Returns NumPy where all arrays are known, else jax.numpy, which has the same functions."""
    known = all(array is None or isinstance(array, np.ndarray) for array in arrays)
    return np if known else jnp


def integers(value: Tensor | None, what: str) -> list[int]:
    """Returns the integers of an input that must be known, [] if it is absent.

    Raises:
      InputError: if it depends on pixels or weights.
    """
    return [int(number) for number in known(value, what).reshape(-1)]


def known(value: Tensor | None, what: str) -> np.ndarray:
    """Returns an input that must not depend on pixels or weights; an empty array if it is absent."""
    if value is None:
        return np.zeros(0, np.int64)
    if not isinstance(value, np.ndarray):
        raise errors.InputError(what, 'values that depend on the image', 'constants')
    return value


def check_room(shape: Sequence[int], *inputs: Tensor) -> None:
    """Raises `InputError` before an array larger than its inputs and `MAX_STATIC` is created."""
    most = max([MAX_STATIC, *(value.size for value in inputs)])
    if any(size < 0 for size in shape) or math.prod(shape) > most:
        raise errors.InputError('shape', list(shape)[:8], f'at most {most} elements')


def axis_of(axis: int, rank: int) -> int:
    """Returns an axis counted from the front.

    Raises:
      InputError: for an axis that does not exist.
    """
    if not -rank <= axis < max(rank, 1):
        raise errors.InputError('axis', axis, f'{-rank} to {rank - 1}')
    return axis % max(rank, 1)
