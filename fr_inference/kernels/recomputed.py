"""The operation after a modulated convolution, with a derivative that keeps only its input.

XLA for a GPU keeps the signs of a leaky ReLU from the forward pass for the backward pass, half the size
of the features. The input of this operation is kept anyway, because the norm's derivative needs it.
"""

import functools
import math

import jax
import jax.numpy as jnp


def finish(
    x: jax.Array, norm: jax.Array, noise: jax.Array, bias: jax.Array, *, clamp: float | None = None
) -> jax.Array:
    """Computes `models.stylegan2_ops.finish`; the arguments are the same."""
    found: jax.Array = _recomputing(x, norm, noise, bias, clamp)
    return found


def _finished(x, norm, noise, bias, clamp):
    x = x * norm + noise + bias
    x = jnp.where(x >= 0, x, 0.2 * x) * jnp.asarray(math.sqrt(2), x.dtype)
    return x if clamp is None else jnp.clip(x, -clamp, clamp)


_recomputing = jax.custom_jvp(_finished, nondiff_argnums=(4,))


@_recomputing.defjvp
def _slope(clamp, primals, tangents):
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def slope(x, others, tangents):
        # For all arguments but the large array: otherwise XLA would reuse the signs of the forward pass.
        others = jax.lax.optimization_barrier(others)
        finished = functools.partial(_finished, clamp=clamp)
        return jax.jvp(finished, (x, *others), tangents)[1]

    x, *others = primals
    return _recomputing(*primals, clamp), slope(x, others, tangents)
