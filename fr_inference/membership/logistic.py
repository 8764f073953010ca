"""The attack model: logistic regression on standardised features.

Source: Huang et al., arXiv 2401.13719: one fully connected layer and a sigmoid. Distances span orders of
magnitude, and their logarithms are close to normal: these are the features.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fr_inference import errors

# Weight of the penalty (half the squared length of the weights) relative to the mean loss.
L2 = 0.01

_FALSE_POSITIVES = 0.1  # of `one_sided`
_STEPS = 200
_TOLERANCE = 1e-9
_LEAST_CURVATURE = 1e-12  # largest bias, for when every example is certain


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Logistic:
    """A fitted model, a pytree.

    Attributes:
      mean: [F] subtracted from the features.
      std: [F] divisors of the features, above 0.
      weights: [F], of the standardised features.
      bias: [].
    """

    mean: Any
    std: Any
    weights: Any
    bias: Any


@jax.jit
def log_distances(distances: Any) -> Any:
    """Returns log(d + 1e-12), [..., L] float, of distances of the same shape."""
    return jnp.log(jnp.asarray(distances) + 1e-12)


@jax.jit
def logit(model: Logistic, features: Any) -> jax.Array:
    """Returns the membership logit: [..., F] features -> [...], above 0 means 'member'."""
    return _linear((model.weights, model.bias), (jnp.asarray(features) - model.mean) / model.std)


def scores(model: Logistic, features: Any) -> np.ndarray:
    """Returns `logit` of many examples outside a compiled program: [N, F] -> [N] float32."""
    standard = (np.asarray(features, np.float32) - model.mean) / model.std
    return np.asarray(_linear((model.weights, model.bias), standard), np.float32)


def standardised_by(model: Logistic, reference: Any) -> Logistic:
    """Returns the model for another backbone, whose features have another mean and spread.

    Args:
      model: fitted on one backbone.
      reference: [N, F] features of known non-members in the other backbone.
    """
    mean, std = _moments(np.asarray(reference))
    return dataclasses.replace(model, mean=mean, std=std)


def carried(features: Any, reference: Any, model: Logistic) -> np.ndarray:
    """Returns features of one backbone, shifted and scaled to match those of another.

    Args:
      features: [N, F].
      reference: [M, F] features of known non-members in the same backbone.
      model: standardised by non-members in the other backbone (`standardised_by`).
    """
    mean, std = _moments(np.asarray(reference))
    return (np.asarray(features) - mean) / std * model.std + model.mean


def fit(features: Any, member: Any, l2: float = L2) -> Logistic:
    """Fits the model to convergence; the two classes have equal weight, whatever their sizes.

    >>> model = fit([[0.0], [1.0], [2.0], [3.0]], [False, False, True, True])
    >>> [bool(score > 0) for score in logit(model, np.float32([[0.5], [2.5]]))]
    [False, True]

    Args:
      features: [N, F], finite.
      member: [N] bool, both kinds.
      l2: weight decay of the weights, not of the bias.

    Returns:
      The model; its features are standardised by the non-members.

    Raises:
      InputError: for features that are not finite, or one class only.
    """
    features, member = np.asarray(features, np.float64), np.asarray(member, bool)
    errors.positive('l2', l2)
    if not np.isfinite(features).all():
        raise errors.InputError('features', 'numbers that are not finite', 'finite numbers')
    if not member.any() or member.all():
        raise errors.InputError(
            'member', f'{int(member.sum())} members among {len(member)} examples', 'both kinds'
        )
    mean, std = _moments(features[~member])
    shares = np.where(member, 0.5 / member.sum(), 0.5 / (~member).sum())
    found = _minimise((features - mean) / std, member, shares, l2)
    weights, bias = found[:-1].astype(np.float32), found[-1].astype(np.float32)
    return Logistic(mean=mean, std=std, weights=weights, bias=bias)


def one_sided(features: Any, member: Any, signs: Sequence[float]) -> Logistic:
    """Returns a model for an attacker who knows no member: how far an example lies from strangers.

    Its logit is the mean of the signed standard scores of the features among the strangers, minus
    the value that one stranger in ten exceeds.

    >>> model = one_sided([[0.0], [1.0], [2.0]], [False] * 3, [-1])
    >>> [bool(score > 0) for score in logit(model, np.float32([[-5], [5]]))]
    [True, False]

    Args:
      features: [N, F], finite.
      member: [N] bool; members are ignored.
      signs: [F] or one for all: +1 where members are higher, -1 where they are lower, 0 where a feature
        is left out.

    Raises:
      InputError: without strangers.
    """
    strangers = np.asarray(features, np.float64)[~np.asarray(member, bool)]
    if not len(strangers):
        raise errors.InputError('member', 'members only', 'strangers')
    mean, std = _moments(strangers)
    weights = np.broadcast_to(np.asarray(signs, np.float64), mean.shape)
    weights = (weights / np.abs(weights).sum()).astype(np.float32)
    bias = -np.quantile(((strangers - mean) / std) @ weights, 1 - _FALSE_POSITIVES)
    return Logistic(mean=mean, std=std, weights=weights, bias=np.float32(bias))


def _moments(features):
    std = features.std(axis=0)
    # A feature without spread among non-members (a pruned layer) is uninformative; it is not scaled up.
    std = np.where(std > 1e-6, std, 1.0)
    return features.mean(axis=0).astype(np.float32), std.astype(np.float32)


def _linear(parameters, features):
    weights, bias = parameters
    return features @ weights + bias


def _minimise(features, member, shares, l2):
    """Newton's method from 0, with each step halved until the loss decreases; the loss is convex.

    In NumPy, because an audit fits about a hundred of these in many shapes, and compiling takes
    longer than fitting.
    """
    features = np.column_stack([features, np.ones(len(member))])
    decay = np.append(np.full(features.shape[1] - 1, float(l2)), 0.0)
    signs = np.where(member, -1.0, 1.0)

    def loss(parameters):
        losses = np.logaddexp(0, signs * (features @ parameters))
        return shares @ losses + 0.5 * decay @ parameters**2

    found = np.zeros(features.shape[1])
    value = loss(found)
    for _ in range(_STEPS):
        wrong = 0.5 * (1 + np.tanh(0.5 * signs * (features @ found)))  # sigmoid, without overflow
        gradient = features.T @ (shares * signs * wrong) + decay * found
        if np.linalg.norm(gradient) < _TOLERANCE:
            break
        curvature = (features.T * (shares * wrong * (1 - wrong))) @ features + np.diag(decay)
        curvature[-1, -1] += _LEAST_CURVATURE
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while (moved := loss(found - size * step)) >= value and size > _TOLERANCE:
            size /= 2
        if moved >= value:  # as low as rounding allows
            break
        found, value = found - size * step, moved
    return found
