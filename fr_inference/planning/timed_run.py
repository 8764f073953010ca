"""Runs a planned program with zeros on the devices present, to compare its time with the bound."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference.benchmarking import timing
from fr_inference.planning.lowering import Program

_ROUNDS = 5


def seconds(program: Program) -> float:
    """Returns the median seconds of a call; the first one, which compiles, is left out.

    Copies of the arguments to the devices are not timed. A training step donates its state, so each
    call gets its own arguments.
    """
    compiled = program.lower().compile()
    placed = compiled.input_shardings[0]

    def arguments() -> Any:
        made = jax.tree.map(_zeros, program.arguments)
        return jax.block_until_ready(jax.device_put(made, placed))

    compiled(*arguments())
    found = []
    for _ in range(_ROUNDS):
        found.append(timing.timed(functools.partial(compiled, *arguments()))[0])
    return float(np.median(found))


def _zeros(shape):
    if jnp.issubdtype(shape.dtype, jax.dtypes.prng_key):
        return jax.random.key(0)
    return np.zeros(shape.shape, shape.dtype)
