"""What membership inference gives to a search: the attack as a guide, and the measured images.

The only file in this package that uses the membership attack.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors
from fr_inference.data.faces import Faces, from_arrays
from fr_inference.inversion import prior
from fr_inference.membership import logistic
from fr_inference.membership.logistic import Logistic
from fr_inference.membership.views import MADE, Views
from fr_inference.models.target import Target

KINDS = ('raw', 'capped', 'density')
"""Membership terms: the paper's logit; that logit capped at the members' median; a log-density."""
DEFAULT = 'capped'

_SHRINKAGE = 0.1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Guide:
    """A fitted membership attack, and the distribution of the members it was fitted on.

    Attributes:
      attack: fitted on log-distances.
      level: [] float32, the median logit of those members.
      mean: [L] float32, the mean of their log-distances.
      precision: [L, L] float32, the inverse of their covariance, shrunk towards its diagonal.
    """

    attack: Logistic
    level: Any
    mean: Any
    precision: Any


def guide(attack: Logistic, member_features: np.ndarray) -> Guide:
    """Measures what the membership terms need.

    Args:
      attack: fitted on log-distances.
      member_features: [N, L] log-distances of the members it was fitted on (in the auxiliary setting
        the shadow's members, moved and scaled to the target); N is 2 or more.

    Raises:
      InputError: for fewer than 2 members.
    """
    features = np.asarray(member_features, np.float64)
    if len(features) < 2:
        raise errors.InputError('members', f'{len(features)} images to guide by', '2 or more')
    covariance = prior.shrunk(prior.covariance(features), _SHRINKAGE)
    return Guide(
        attack=attack,
        level=np.float32(np.median(logistic.logit(attack, features.astype(np.float32)))),
        mean=features.mean(0).astype(np.float32),
        precision=np.linalg.inv(covariance).astype(np.float32),
    )


def terms(guide: Guide, distances: jax.Array) -> dict[str, jax.Array]:
    """Returns the membership terms of one picture, by `KINDS`, [] float32 each.

    With log-distances f: raw = the attack's logit; capped = min(logit, level);
    density = -(f - mean)' precision (f - mean) / 2L.

    The paper (arXiv 2401.13719) maximises the logit. Without a bound it overshoots: it finds
    latents with several times the logit of a member, which convince only the target. The other two
    terms are therefore highest where members are.

    Args:
      guide: the result of `fit`.
      distances: [L] float32, of the picture in the target.
    """
    features = logistic.log_distances(distances)
    logit = logistic.logit(guide.attack, features)
    away = features - guide.mean
    return {
        'raw': logit,
        'capped': jnp.minimum(logit, guide.level),
        'density': -0.5 * away @ guide.precision @ away / features.shape[-1],
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Side:
    """One backbone with the audit's measurements.

    Attributes:
      target: the backbone.
      embeddings: [N, D] float32, of the audit's N images.
      guide: the attack on it; None for a backbone without BatchNorm layers.
      setting: 'auxiliary' or 'partial', of that attack; None without one.
      fitted_on: [N] bool, the images that it was fitted on.
      label: names it in messages about progress.
    """

    target: Target
    embeddings: np.ndarray
    guide: Guide | None
    setting: str | None
    fitted_on: np.ndarray
    label: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audited:
    """The audit's images, and how to measure others.

    Attributes:
      target: the measured target.
      untrained: the measured backbone that never saw the members.
      identities: [N] str.
      member: [N] bool.
      index: [N] positions in `faces`.
      faces: members, then non-members.
      embed: (backbone, faces, label) -> [M, D] embeddings.
    """

    target: Side
    untrained: Side
    identities: np.ndarray
    member: np.ndarray
    index: np.ndarray
    faces: Faces
    embed: Callable[[Target, Faces, str], np.ndarray]

    def embed_images(self, backbone: Target, images: np.ndarray, label: str) -> np.ndarray:
        """Returns a backbone's embeddings [M, D] of images [M, R, R, 3] uint8 that were just made."""
        return self.embed(backbone, from_arrays(images, range(len(images)), MADE), label)


def audited(views: Views) -> Audited:
    """Selects the measurements of membership inference that a search needs.

    With a shadow, the attack of the auxiliary setting guides, because it was fitted on nobody in
    the audit; otherwise that of the partial setting.

    Args:
      views: by `membership.views.measure_views`.
    """
    images = views.in_target
    return Audited(
        target=_side(views, blind=False),
        untrained=_side(views, blind=True),
        identities=np.array(images.identities),
        member=images.member,
        index=images.index,
        faces=views.faces,
        embed=lambda backbone, faces, label: views.measure(backbone, faces, label).embeddings,
    )


def _side(views, *, blind):
    images = views.in_blind if blind else views.in_target
    setting, fitted_on, found = None, np.zeros(len(views.fit), bool), None
    if images.layers:
        setting, fitted, features = _fitted(views, images, blind)
        found = guide(fitted, features)
        fitted_on = views.fit if setting == 'partial' else fitted_on
    name = 'untrained target' if blind and views.untrained else 'blind' if blind else 'target'
    return Side(
        target=views.blind if blind else views.target,
        embeddings=images.embeddings,
        guide=found,
        setting=setting,
        fitted_on=fitted_on,
        label=name,
    )


def _fitted(views, images, blind):
    """Returns (setting, the fitted attack, log-distances of the members it was fitted on)."""
    shadow = views.shadow
    reference = shadow and (shadow.in_blind if blind else shadow.in_target)
    if reference is not None:
        seen, member = shadow.in_shadow.log_distances, shadow.in_shadow.member
        fitted = logistic.standardised_by(logistic.fit(seen, member), reference.log_distances)
        return 'auxiliary', fitted, logistic.carried(seen[member], seen[~member], fitted)
    fit, features = views.fit, images.log_distances
    fitted = logistic.fit(features[fit], images.member[fit])
    return 'partial', fitted, features[fit & images.member]
