"""Latents: random ones, drawn by number, and the whitened coordinates in which they are improved.

The search uses coordinates in which random latents have mean 0 and unit covariance. One step length
then suits every direction, and the log-density of a latent is minus half its squared length.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors, rng
from fr_inference.inversion.scene import Scene

_LATENTS = 2048  # number of random latents from which mean and covariance are estimated
_SHRINKAGE = 1e-3


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Prior:
    """Mean and covariance of random latents, as linear maps to and from whitened coordinates.

    Attributes:
      mean: [w_dim] float32.
      white: [w_dim, w_dim] float32; (latent - mean) @ white has unit covariance.
      colour: [w_dim, w_dim] float32, the inverse of `white`.
    """

    mean: Any
    white: Any
    colour: Any


def fit(latents: np.ndarray) -> Prior:
    """Measures mean and covariance.

    Args:
      latents: [N, w_dim] float, random w (or z); N is 2 or more.

    Raises:
      InputError: for fewer than 2 latents.
    """
    latents = np.asarray(latents, np.float64)
    if len(latents) < 2:
        raise errors.InputError('latents', f'{len(latents)} rows', '2 or more')
    values, vectors = np.linalg.eigh(shrunk(covariance(latents), _SHRINKAGE))
    return Prior(
        mean=latents.mean(0).astype(np.float32),
        white=(vectors / np.sqrt(values)).astype(np.float32),
        colour=(np.sqrt(values)[:, None] * vectors.T).astype(np.float32),
    )


def of_generator(scene: Scene, variables: Any, seed: int) -> Prior:
    """Measures the prior of a generator on 2048 of its own random latents.

    Args:
      scene: its space is that of the search.
      variables: of the generator.
      seed: of the draws.
    """
    draw = rng.numpy_generator(seed, 'latents')
    z = draw.standard_normal((_LATENTS, scene.z_dim), np.float32)
    latents = np.asarray(_many(scene.to_latent)(variables, z))
    # In w+, random latents are equal for all layers
    return fit(latents.reshape(_LATENTS, -1, latents.shape[-1])[:, 0])


@functools.lru_cache(maxsize=32)
def _many(to_latent):
    return jax.jit(jax.vmap(to_latent, in_axes=(None, 0)))


def covariance(rows: np.ndarray) -> np.ndarray:
    """Returns the covariance [F, F] of rows [N, F]."""
    away = rows - rows.mean(0)
    return away.T @ away / (len(rows) - 1)


def shrunk(covariance: np.ndarray, share: float) -> np.ndarray:
    """Returns a covariance shrunk towards its diagonal (Ledoit and Wolf's form, share given)."""
    diagonal = np.diag(np.maximum(np.diag(covariance), 1e-9))
    return (1 - share) * covariance + share * diagonal


def to_latent(prior: Prior, white: jax.Array) -> jax.Array:
    """Returns the latent [..., w_dim] of whitened coordinates [..., w_dim]."""
    return prior.mean + white @ prior.colour


def to_white(prior: Prior, latent: jax.Array) -> jax.Array:
    """Returns the whitened coordinates [..., w_dim] of a latent [..., w_dim]."""
    return (latent - prior.mean) @ prior.white


def log_density(prior: Prior, latent: jax.Array) -> jax.Array:
    """Returns minus half the mean square of the whitened coordinates, [] float32, at most 0.

    That is the log-density of a normal distribution, up to a constant and divided by the dimension.
    """
    return -0.5 * jnp.mean(jnp.square(to_white(prior, latent)))


def draw(
    scene: Scene, variables: Any, prior: Prior, key: jax.Array, number: jax.Array
) -> jax.Array:
    """Returns random latent number `number` in whitened coordinates.

    A pure function of key and number: a latent does not depend on batches or devices.

    Args:
      scene: whose space it is in.
      variables: of the generator.
      prior: of the generator.
      key: of the search, a typed key.
      number: [] int32.

    Returns:
      [w_dim], [styles, w_dim] or [z_dim] float32, by the scene's space.
    """
    z = jax.random.normal(jax.random.fold_in(rng.stream(key, 'draw'), number), (scene.z_dim,))
    return to_white(prior, scene.to_latent(variables, z))
