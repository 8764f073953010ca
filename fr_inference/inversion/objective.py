"""What the search maximises: small pure functions of the pictures of one latent, weighted and summed.

The paper's objective (arXiv 2401.13719) is the membership logit. Unbounded, it overshoots: latents are
found whose logit is several times a member's, and which only the target believes. Hence the capped logit
and the log-density, which are highest where members are.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors
from fr_inference.inversion.scene import Seen
from fr_inference.membership import logistic
from fr_inference.membership.logistic import Logistic

MEMBERSHIP = ('raw', 'capped', 'density', 'none')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
    """The weights.

    Attributes:
      membership: 'raw' (the paper's logit), 'capped' (at the members' median), 'density' (log-density of
        the members' distances), 'none'.
      strength: weight of the membership term.
      prior: weight of minus half the mean square of the whitened w.
      identity: weight of the mean cosine among several pictures' embeddings of one latent.
      match: weight of the cosine with a given embedding (the targeted mode).
      agreement: power to which each coordinate's gradient is weighed by how far the pictures agree on it
        (0: not at all).
    """

    membership: str = 'capped'
    strength: float = 1.0
    prior: float = 0.3
    identity: float = 0.0
    match: float = 0.0
    agreement: float = 0.0

    def __post_init__(self):
        errors.one_of('membership', self.membership, MEMBERSHIP)
        for name in ('strength', 'prior', 'identity', 'match', 'agreement'):
            value = getattr(self, name)
            errors.require(
                np.isfinite(value) and value >= 0, f'{name}: found {value}, expected 0 or more'
            )

    @property
    def weights(self) -> dict[str, np.float32]:
        """All but the kind of the membership term, for programs that serve any weights."""
        names = ('strength', 'prior', 'identity', 'match', 'agreement')
        weights = {name: np.float32(getattr(self, name)) for name in names}
        return weights | {'strength': weights['strength'] * (self.membership != 'none')}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Guide:
    """What an auditor has measured before the search.

    Attributes:
      attack: stage 1's fitted attack.
      level: [] the median logit of the members it was fitted on.
      mean: [L] mean of those members' log-distances.
      precision: [L, L] inverse of their covariance, shrunk towards its diagonal.
      w_mean: [w_dim] mean of w.
      w_white: [w_dim, w_dim] that whitens w: (w - w_mean) @ w_white has unit covariance.
      w_colour: [w_dim, w_dim] its inverse.
    """

    attack: Logistic
    level: Any
    mean: Any
    precision: Any
    w_mean: Any
    w_white: Any
    w_colour: Any


def make_guide(attack: Logistic, member_features: np.ndarray, latents: np.ndarray) -> Guide:
    """Measures what the objective needs.

    Args:
      attack: fitted.
      member_features: [N, L] log-distances of the members it was fitted on (the shadow's members, moved
        and scaled to the target, in the auxiliary setting).
      latents: [M, w_dim] random w (or z).
    """
    features = np.asarray(member_features, np.float64)
    errors.require(
        len(features) >= 2 and len(latents) >= 2,
        f'found {len(features)} members and {len(latents)} latents to measure, expected 2 or more',
    )
    covariance = _shrunk(_covariance(features), 0.1)
    latents = np.asarray(latents, np.float64)
    values, vectors = np.linalg.eigh(_shrunk(_covariance(latents), 1e-3))
    return Guide(
        attack=attack,
        level=np.float32(np.median(logistic.logit(attack, features.astype(np.float32)))),
        mean=features.mean(0).astype(np.float32),
        precision=np.linalg.inv(covariance).astype(np.float32),
        w_mean=latents.mean(0).astype(np.float32),
        w_white=(vectors / np.sqrt(values)).astype(np.float32),
        w_colour=(np.sqrt(values)[:, None] * vectors.T).astype(np.float32),
    )


def _covariance(rows):
    away = rows - rows.mean(0)
    return away.T @ away / (len(rows) - 1)


def _shrunk(covariance, share):
    """Ledoit and Wolf's kind of shrinkage, towards the diagonal, with a share that is given."""
    diagonal = np.diag(np.maximum(np.diag(covariance), 1e-9))
    return (1 - share) * covariance + share * diagonal


def membership(kind: str, guide: Guide, features: jax.Array) -> jax.Array:
    """Returns the membership term of one picture: features [L] -> []."""
    if kind == 'density':
        away = features - guide.mean
        return -0.5 * away @ guide.precision @ away / features.shape[-1]
    logit = logistic.logit(guide.attack, features)
    # Beyond the members' level more of it says nothing more.
    return jnp.minimum(logit, guide.level) if kind == 'capped' else logit


def prior(guide: Guide, latent: jax.Array) -> jax.Array:
    """Returns minus half the mean square of a latent in whitened coordinates, [] float32."""
    white = (latent - guide.w_mean) @ guide.w_white
    return -0.5 * jnp.mean(jnp.square(white))


def identity(embeddings: jax.Array) -> jax.Array:
    """Returns the mean cosine among the embeddings [T, D] of several pictures of one latent, T >= 2."""
    count = len(embeddings)
    together = jnp.sum(jnp.square(embeddings.sum(0)))
    return (together - jnp.sum(jnp.square(embeddings))) / (count * (count - 1))


def terms(guide: Guide, latent: jax.Array, seen: Seen) -> dict[str, jax.Array]:
    """Returns every term that is not a match, [] float32 each, for any objective to weigh.

    Args:
      guide: what was measured.
      latent: of the search.
      seen: T pictures of it, every field with a leading axis.
    """
    of_membership = {
        kind: jax.vmap(functools.partial(membership, kind, guide))(seen.features).mean()
        for kind in MEMBERSHIP
        if kind != 'none'
    }
    return of_membership | {
        'prior': prior(guide, latent),
        'identity': identity(seen.embedding),
    }


def total(
    membership: str, weights: Mapping[str, Any], found: Mapping[str, Any], cosine: Any
) -> Any:
    """Weighs the terms: what is maximised, of their shape.

    Args:
      membership: in `MEMBERSHIP`; the gradient of 'none' needs no distances.
      weights: of an `Objective`.
      found: by `terms`, of one latent or of many.
      cosine: with the wanted embedding.
    """
    weighed = weights['match'] * cosine
    for name in ('prior', 'identity'):
        weighed += weights[name] * found[name]
    return weighed if membership == 'none' else weighed + weights['strength'] * found[membership]
