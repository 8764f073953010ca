"""Named random streams: every random choice has a name, and its key depends on the example's id."""

import zlib

import jax
import numpy as np


def stream(key: jax.Array, name: str) -> jax.Array:
    """Returns the typed PRNG key of the stream `name` below `key`.

    Args:
      key: a typed key (`jax.random.key`), shape [].
      name: what the randomness is for. Different names give independent keys.
    """
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def per_example(key: jax.Array, ids: jax.Array) -> jax.Array:
    """Returns one key per example id, so that results do not depend on batching or devices.

    Args:
      key: a typed key, shape [].
      ids: [N] integer example ids.

    Returns:
      [N] typed keys.
    """
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, ids)


def numpy_generator(seed: int, name: str) -> np.random.Generator:
    """Returns the NumPy generator of the stream `name` under `seed`, for work on the host."""
    return np.random.default_rng([seed, zlib.crc32(name.encode(errors='surrogatepass'))])
