"""The attack model: logistic regression on standardised features.

Source: Huang et al., arXiv 2401.13719: one fully connected layer and a sigmoid. Distances span orders of
magnitude, and their logarithms are close to normal: these are the features.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fr_inference import errors

# Weight of half the squared length of the weights beside the mean loss.
L2 = 0.01

_STEPS = 2000
_TOLERANCE = 1e-7


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Logistic:
    """A fitted model, a pytree.

    Attributes:
      mean: [F] what the features are centred by.
      std: [F] what they are divided by, above 0.
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


def standardised_by(model: Logistic, reference: Any) -> Logistic:
    """Returns the model for another backbone, whose features have another mean and spread.

    Args:
      model: fitted on one backbone.
      reference: [N, F] features of known non-members in the other backbone.
    """
    mean, std = _moments(np.asarray(reference))
    return dataclasses.replace(model, mean=mean, std=std)


def carried(features: Any, reference: Any, model: Logistic) -> np.ndarray:
    """Returns features of one backbone, moved and scaled to those of another.

    Args:
      features: [N, F].
      reference: [M, F] features of known non-members in the same backbone.
      model: standardised by non-members in the other backbone (`standardised_by`).
    """
    mean, std = _moments(np.asarray(reference))
    return (np.asarray(features) - mean) / std * model.std + model.mean


def fit(features: Any, member: Any, l2: float = L2) -> Logistic:
    """Fits the model to convergence; the two classes weigh the same, however many each has.

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
    # Rows of weight 0 up to a power of two: sets of nearly the same size share one compilation.
    missing = max(64, 1 << (len(member) - 1).bit_length()) - len(member)
    # optax's L-BFGS counts in int32 and int64: an error under strict dtype promotion.
    with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
        weights, bias = _minimise(
            (jnp.zeros(features.shape[1]), jnp.zeros(())),
            jnp.asarray(np.pad((features - mean) / std, ((0, missing), (0, 0)))),
            jnp.asarray(np.pad(member.astype(np.float64), (0, missing))),
            jnp.asarray(np.pad(shares, (0, missing))),
            jnp.asarray(l2, jnp.float64),
        )
        weights, bias = np.asarray(weights, np.float32), np.asarray(bias, np.float32)
    return Logistic(mean=mean, std=std, weights=weights, bias=bias)


def _moments(features):
    std = features.std(axis=0)
    # A feature without spread among non-members (a pruned layer) says nothing: it is not blown up.
    std = np.where(std > 1e-6, std, 1.0)
    return features.mean(axis=0).astype(np.float32), std.astype(np.float32)


def _linear(parameters, features):
    weights, bias = parameters
    return features @ weights + bias


@jax.jit
def _minimise(parameters, features, member, shares, l2):
    """L-BFGS until the gradient vanishes; the loss is convex."""

    def loss(parameters):
        losses = optax.sigmoid_binary_cross_entropy(_linear(parameters, features), member)
        return jnp.sum(shares * losses) + 0.5 * l2 * jnp.sum(parameters[0] ** 2)

    solver = optax.lbfgs()
    value_and_gradient = optax.value_and_grad_from_state(loss)

    def going(carry):
        _, _, norm, step = carry
        return (norm > _TOLERANCE) & (step < _STEPS)

    def advance(carry):
        parameters, state, _, step = carry
        value, gradient = value_and_gradient(parameters, state=state)
        updates, state = solver.update(
            gradient, state, parameters, value=value, grad=gradient, value_fn=loss
        )
        parameters = optax.apply_updates(parameters, updates)
        norm = optax.tree.norm(optax.tree.get(state, 'grad'))
        return parameters, state, norm, step + 1

    start = (parameters, solver.init(parameters), jnp.asarray(jnp.inf), jnp.asarray(0))
    return jax.lax.while_loop(going, advance, start)[0]
