"""Bilinear operations with separate formulas for the value and for each derivative.

y = f(x, kernel) is linear in either argument, so its tangent is dy = f(dx, kernel) + f(x, dkernel).
Reverse mode transposes whatever computes the tangent. A formula of `dy` whose transpose is fast
therefore gives a fast gradient, and forward mode keeps working, which `jax.custom_vjp` would forbid.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

Bilinear = Callable[[jax.Array, jax.Array], jax.Array]


def bilinear(value: Bilinear, *, of_input: Bilinear, of_kernel: Bilinear) -> Bilinear:
    """Returns a function of (x, kernel) with separate formulas for its value and its tangents.

    Args:
      value: computes f(x, kernel).
      of_input: computes f(dx, kernel); its transpose gives the input's gradient.
      of_kernel: computes f(x, dkernel); its transpose gives the kernel's gradient.

    >>> f = bilinear(jnp.multiply, of_input=jnp.multiply, of_kernel=jnp.multiply)
    >>> float(jax.grad(f)(2.0, 3.0)), float(jax.jvp(f, (2.0, 3.0), (0.0, 1.0))[1])
    (3.0, 2.0)
    """

    @jax.custom_jvp
    def computed(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return value(x, kernel)

    def tangent(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
        x, kernel = primals
        y = computed(x, kernel)
        # A constant argument costs nothing: its tangent is a symbolic zero.
        parts = [
            part(*arguments)
            for part, arguments, moved in (
                (of_input, (tangents[0], kernel), tangents[0]),
                (of_kernel, (x, tangents[1]), tangents[1]),
            )
            if not isinstance(moved, SymbolicZero)
        ]
        return y, sum(parts[1:], parts[0]) if parts else jnp.zeros_like(y)

    computed.defjvp(tangent, symbolic_zeros=True)
    return computed
