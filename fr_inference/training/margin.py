"""Margin softmax: logits with which the correct class has to win by a margin.

With theta the angle between an embedding and its class's prototype, the class's own logit is
s * (cos(m1 * theta + m2) - m3), every other one s * cos(theta).

SphereFace (m1; Liu et al., arXiv 1704.08063), CosFace (m3; Wang et al., arXiv 1801.09414), ArcFace
(m2) and the combined form (Deng et al., arXiv 1801.07698, equation 4).
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from fr_inference import config, errors
from fr_inference.config import Recipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class Margin:
    """The three margins and the scale s.

    Attributes:
      m1: SphereFace's factor of the angle; 1 for no margin.
      m2: ArcFace's additive angle in radians; 0 for no margin.
      m3: CosFace's margin of the cosine; 0 for no margin.
      scale: s.

    Raises:
      InputError: for a value outside the range of the option of this name in `config.Recipe`.
    """

    m1: float = 1.0
    m2: float = 0.0
    m3: float = 0.0
    scale: float = Recipe.scale

    def __post_init__(self):
        known = config.options_of(Recipe)
        for field in dataclasses.fields(self):
            value, option = getattr(self, field.name), known[field.name][1]
            if not option.contains(value):
                unit = ', in radians' if field.name == 'm2' else ''
                raise errors.InputError(field.name, value, f'{option.range()}{unit}')


# The values of the papers, and of insightface's reference code.
MARGINS = {
    'arcface': Margin(m2=0.5),
    'cosface': Margin(m3=0.35),
    'sphereface': Margin(m1=1.35),
    'combined': Margin(m2=0.3, m3=0.2),
    'softmax': Margin(),
}


def chosen(recipe: Recipe) -> Margin:
    """Returns the margin that a recipe names, with the recipe's numbers instead of the defaults."""
    given = {name: getattr(recipe, name) for name in ('m1', 'm2', 'm3')}
    changes = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(MARGINS[recipe.margin], scale=recipe.scale, **changes)


def options_of(margin: Margin) -> dict[str, Any]:
    """Returns the recipe options from which `chosen` makes this margin."""
    for name, named in MARGINS.items():
        if dataclasses.replace(named, scale=margin.scale) == margin:
            return {'margin': name, 'scale': margin.scale}
    return {'margin': 'softmax', **dataclasses.asdict(margin)}


# d arccos(c) / dc is unbounded at |c| = 1, so the angle is kept 0.0014 rad away from 0 and pi.
_EDGE = 1e-6


def cosines(embeddings: jax.Array, prototypes: jax.Array) -> jax.Array:
    """Returns the cosine of every embedding with every prototype.

    Args:
      embeddings: [N, D] of any length.
      prototypes: [C, D] of any length.

    Returns:
      [N, C] float32 in [-1, 1] (to rounding).
    """
    return _unit(embeddings) @ _unit(prototypes).T


def penalised(cosine: jax.Array, *, m1: float, m2: float, m3: float) -> jax.Array:
    """Returns psi(m1 * theta + m2) - m3 with theta = arccos(cosine).

    psi(phi) = (-1)^k * cos(phi) - 2k with k = floor(phi / pi): SphereFace's continuation of the
    cosine. It equals cos(phi) up to phi = pi and keeps falling beyond, where the plain cosine would
    rise again and reward a larger angle. (insightface's reference code switches to
    cos(theta) - m2 * sin(m2) there, which is discontinuous.)

    Args:
      cosine: any shape, float32 in [-1, 1].
      m1: factor of the angle, at least 1.
      m2: added to the angle, radians.
      m3: subtracted from the cosine.

    Returns:
      The same shape; value and gradient are finite everywhere, also at cosine = -1 and 1.
    """
    if m1 == 1 and m2 == 0:
        return cosine - m3
    phi = m1 * jnp.arccos(jnp.clip(cosine, -1 + _EDGE, 1 - _EDGE)) + m2
    turns = jax.lax.stop_gradient(jnp.floor(phi / math.pi))
    return (1 - 2 * jnp.mod(turns, 2)) * jnp.cos(phi) - 2 * turns - m3


def logits(cosine: jax.Array, labels: jax.Array, margin: Margin) -> jax.Array:
    """Returns the margin softmax's logits.

    Args:
      cosine: [N, C] float32 in [-1, 1], of every embedding with every class centre.
      labels: [N] int32 below C.
      margin: applied to each embedding's own class.

    Returns:
      [N, C] float32.
    """
    own = penalised(cosine, m1=margin.m1, m2=margin.m2, m3=margin.m3)
    is_own = labels[:, None] == jnp.arange(cosine.shape[1], dtype=labels.dtype)[None, :]
    return margin.scale * jnp.where(is_own, own, cosine)


def cross_entropy(logits: jax.Array, labels: jax.Array, smoothing: float = 0.0) -> jax.Array:
    """Returns the cross entropy with label smoothing: `smoothing` is spread evenly over all classes.

    A negative smoothing makes models harder to invert, a positive one easier (Struppek et al., "Be
    Careful What You Smooth For", ICLR 2024, arXiv 2310.06549).

    Args:
      logits: [N, C] float32.
      labels: [N] int32 below C.
      smoothing: below 1.

    Returns:
      [N] float32.
    """
    own = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    if not smoothing:
        return own
    every = jax.nn.logsumexp(logits, axis=-1) - logits.mean(-1)
    return (1 - smoothing) * own + smoothing * every


def _unit(vectors):
    vectors = vectors.astype(jnp.float32)
    squared = jnp.sum(vectors * vectors, axis=-1, keepdims=True)
    return vectors * jax.lax.rsqrt(jnp.maximum(squared, 1e-12))
