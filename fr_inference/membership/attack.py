"""The attack model: one fully connected layer and a sigmoid on standardised features.

Source: Huang et al., arXiv 2401.13719. Features are logarithms of the distances: they span orders of
magnitude, and their logarithms are close to normal.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fr_inference import errors, rng

_STEPS = 2000
_TOLERANCE = 1e-7


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How the attack model is fitted.

    Attributes:
      hidden: units of a hidden layer; 0 is the paper's model without one.
      l2: weight of half the squared length of the weights (not the bias) beside the mean loss.
      seed: of the hidden layer's first weights.
    """

    hidden: int = 0
    l2: float = 0.01
    seed: int = 0

    def __post_init__(self):
        errors.require(
            0 <= self.hidden <= 4096, f'hidden: found {self.hidden}, expected 0 to 4096 units'
        )
        errors.positive('l2', self.l2)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Attack:
    """A fitted attack, a pytree.

    Attributes:
      mean: [F] what the features are centred by.
      std: [F] what they are divided by, above 0.
      layers: one (kernel, bias) for each fully connected layer.
    """

    mean: Any
    std: Any
    layers: Any


@jax.jit
def log_distances(distances: Any) -> Any:
    """Returns log(d + 1e-12), [..., L] float: the features of the attack model."""
    return jnp.log(jnp.asarray(distances) + 1e-12)


@jax.jit
def logit(attack: Attack, features: Any) -> jax.Array:
    """Returns the membership logit: [..., F] features -> [...], above 0 means 'member'."""
    return _forward(attack.layers, (jnp.asarray(features) - attack.mean) / attack.std)


def standardised_by(attack: Attack, reference: Any) -> Attack:
    """Returns the attack for another backbone, whose features are moved and scaled.

    Args:
      attack: fitted on one backbone.
      reference: [N, F] features of known non-members in the other.
    """
    mean, std = _moments(np.asarray(reference))
    return dataclasses.replace(attack, mean=mean, std=std)


def carried(features: Any, reference: Any, attack: Attack) -> np.ndarray:
    """Returns features of one backbone moved and scaled to another.

    Args:
      features: [N, F].
      reference: [M, F] features of known non-members in the same backbone.
      attack: standardised by non-members in the other (`standardised_by`).
    """
    mean, std = _moments(np.asarray(reference))
    return (np.asarray(features) - mean) / std * attack.std + attack.mean


def fit(features: Any, member: Any, options: Options) -> Attack:
    """Fits the attack model to convergence; the two classes weigh the same however many each has.

    Args:
      features: [N, F], finite.
      member: [N] bool, both kinds.
      options: see `Options`.

    Returns:
      The attack; its features are standardised by the non-members.

    Raises:
      InputError: for features that are not finite, or one class only.
    """
    features, member = np.asarray(features, np.float64), np.asarray(member, bool)
    errors.require(np.isfinite(features).all(), 'features: found numbers that are not finite')
    errors.require(
        member.any() and not member.all(),
        f'found {int(member.sum())} members among {len(member)} images to fit on, expected both',
    )
    mean, std = _moments(features[~member])
    weights = np.where(member, 0.5 / member.sum(), 0.5 / (~member).sum())
    # Rows of weight 0 up to a power of two: sets of nearly the same size share one compilation.
    missing = max(64, 1 << (len(member) - 1).bit_length()) - len(member)
    # optax's L-BFGS counts in int32 and int64: an error under strict dtype promotion.
    with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
        layers = _minimise(
            _initial(features.shape[1], options),
            jnp.asarray(np.pad((features - mean) / std, ((0, missing), (0, 0)))),
            jnp.asarray(np.pad(member.astype(np.float64), (0, missing))),
            jnp.asarray(np.pad(weights, (0, missing))),
            jnp.asarray(options.l2, jnp.float64),
        )
        layers = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), layers)
    return Attack(mean=mean, std=std, layers=layers)


def _moments(features):
    std = features.std(axis=0)
    # A feature without spread among non-members (a pruned layer) says nothing: it is not blown up.
    std = np.where(std > 1e-6, std, 1.0)
    return features.mean(axis=0).astype(np.float32), std.astype(np.float32)


def _initial(count, options):
    if not options.hidden:
        return [(jnp.zeros((count, 1)), jnp.zeros(1))]
    generator = rng.numpy_generator(options.seed, 'attack')
    kernel = generator.standard_normal((count, options.hidden)) / np.sqrt(count)
    out = generator.standard_normal((options.hidden, 1)) / np.sqrt(options.hidden)
    return [
        (jnp.asarray(kernel), jnp.zeros(options.hidden)),
        (jnp.asarray(out), jnp.zeros(1)),
    ]


def _forward(layers, x):
    *hidden, (kernel, bias) = layers
    for inner, offset in hidden:
        x = jnp.tanh(x @ inner + offset)
    return (x @ kernel + bias)[..., 0]


@jax.jit
def _minimise(layers, features, member, weights, l2):
    """L-BFGS until the gradient vanishes; the loss without hidden layer is convex."""

    def loss(layers):
        losses = optax.sigmoid_binary_cross_entropy(_forward(layers, features), member)
        penalty = sum((jnp.sum(kernel**2) for kernel, _ in layers), jnp.zeros(()))
        return jnp.sum(weights * losses) + 0.5 * l2 * penalty

    solver = optax.lbfgs()
    value_and_gradient = optax.value_and_grad_from_state(loss)

    def going(carry):
        _, _, norm, step = carry
        return (norm > _TOLERANCE) & (step < _STEPS)

    def advance(carry):
        layers, state, _, step = carry
        value, gradient = value_and_gradient(layers, state=state)
        updates, state = solver.update(
            gradient, state, layers, value=value, grad=gradient, value_fn=loss
        )
        layers = optax.apply_updates(layers, updates)
        norm = optax.tree.norm(optax.tree.get(state, 'grad'))
        return layers, state, norm, step + 1

    start = (layers, solver.init(layers), jnp.asarray(jnp.inf), jnp.asarray(0))
    return jax.lax.while_loop(going, advance, start)[0]
