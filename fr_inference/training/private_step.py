"""One step of a private training: clips the gradient of each unit, sums, adds noise, and applies SGD.

See `private` for the guarantee. The gradient is of a unit's mean loss: of one image, or of all images of
a person in the step. It includes the class centres, which hold information about people.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from fr_inference import devices
from fr_inference.config import Recipe
from fr_inference.models.target import Target
from fr_inference.training import margin as margins
from fr_inference.training import recognizer_step
from fr_inference.training.recognizer_step import State

# Units whose gradients a device holds at a time, and their bytes. On a CPU, 16 take twice as long as 4.
_MOST_UNITS = {'cpu': 4, 'other': 64}
_GRADIENT_BYTES = 1 << 30


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PrivateState(State):
    """A state with the secret of the draws, [4] uint32: noise uses two words, samples use all."""

    secret: Any


@dataclasses.dataclass(frozen=True)
class Mechanism:
    """How a sum of gradients is made private.

    Attributes:
      clip_norm: largest norm of a unit's gradient.
      noise_multiplier: standard deviation of the noise over `clip_norm`.
      expected: average number of units in a step; the noised sum is divided by it.
    """

    clip_norm: float
    noise_multiplier: float
    expected: float


def padded(units: int, mesh: Any) -> int:
    """Returns the number of rows of a batch for some units: a multiple of the devices and of chunks.

    Args:
      units: 1 or more.
      mesh: the devices.
    """
    each = -(-units // mesh.size)
    chunks = -(-each // most_units(mesh))
    return int(mesh.size * chunks * -(-each // chunks))


def most_units(mesh: Any) -> int:
    """Returns how many gradients a device of the mesh holds at a time."""
    return _MOST_UNITS['cpu' if devices.is_cpu(mesh) else 'other']


def make_step(
    recipe: Recipe, target: Target, per_epoch: int, mesh: Any, mechanism: Mechanism
) -> Callable[[State, Any, Any], tuple[State, dict[str, jax.Array]]]:
    """Returns the step on the mesh.

    Args:
      recipe: how to train; its seed is an argument of the step.
      target: of a registered architecture without BatchNorm; only its module and input are used.
      per_epoch: steps in an epoch.
      mesh: the devices, from `devices.training_mesh`.
      mechanism: how the sum is made private.

    Returns:
      `jax.jit` of (PrivateState, (images [U, M, H, W, 3] uint8, labels [U] int32, example ids [U, M]
      int32, present [U, M] bool), seed) -> (state, metrics), which donates the state. U units of M
      images; U is a multiple of the mesh's devices. A unit without present images changes nothing.
      Metrics are means over the present units.
    """
    module = cast(nn.Module, target.module)
    recipe = dataclasses.replace(recipe, seed=0, noise_seed=None)
    return _compiled(module, target.input, recipe, per_epoch, mesh, mechanism)


@functools.lru_cache(maxsize=8)
def _compiled(module, input, recipe, per_epoch, mesh, mechanism):
    still = recognizer_step.first_layers(module, input, recipe.frozen)
    sgd = recognizer_step.optimiser(recipe, recognizer_step.schedule(recipe, per_epoch), still)
    margin = margins.chosen(recipe)

    def loss_function(weights, unit):
        images, label, present = unit
        params = {name: value for name, value in weights.items() if name != 'centres'}
        embeddings = module.apply({'params': params}, images, train=True)
        cosine = margins.cosines(embeddings, weights['centres'])
        labels = jnp.full(len(images), label)
        logits = margins.logits(cosine, labels, margin)
        share = present.astype(jnp.float32)
        share /= jnp.maximum(share.sum(), 1)
        losses = margins.cross_entropy(logits, labels, recipe.label_smoothing)
        return share @ losses, share @ (cosine.argmax(-1) == labels).astype(jnp.float32)

    summed = devices.summed_by_device(
        functools.partial(clipped_sum, loss_function, mechanism.clip_norm, still, most_units(mesh)),
        mesh,
    )

    def step(state: PrivateState, batch, seed):
        """One step: (state, (images, labels, example ids, present), seed) -> (state, metrics)."""
        images, labels, ids, present = batch
        flat = images.reshape(-1, *images.shape[2:])
        flat = recognizer_step.augmented(recipe, input, flat, ids.reshape(-1), seed, state.step)
        images = flat.reshape(*ids.shape, *flat.shape[1:])
        weights = {**state.params, 'centres': state.centres}
        gradient, figures = summed(weights, (images, labels, present))
        deviation = mechanism.noise_multiplier * mechanism.clip_norm
        gradient = jax.tree.map(
            lambda leaf, noise: (leaf + deviation * noise) / mechanism.expected,
            gradient,
            noise_like(gradient, state.secret, state.step),
        )
        updates, momentum = sgd.update(gradient, state.momentum, weights)
        weights = dict(optax.apply_updates(weights, updates))
        centres = weights.pop('centres')
        loss, accuracy = figures[:2] / jnp.maximum(figures[2], 1)
        earlier = jnp.where(state.step % per_epoch == 0, 0.0, state.totals)
        state = PrivateState(
            params=weights,
            batch_stats=state.batch_stats,
            centres=centres,
            momentum=momentum,
            step=state.step + 1,
            totals=earlier + jnp.stack([loss, accuracy]),
            secret=state.secret,
        )
        return state, {'loss': loss, 'accuracy': accuracy}

    return devices.data_parallel(step, mesh)


def clipped_sum(
    loss_function: Callable[[Any, Any], tuple[jax.Array, jax.Array]],
    clip_norm: float,
    still: frozenset[tuple[str, ...]],
    most: int,
    weights: Any,
    units: tuple[jax.Array, jax.Array, jax.Array],
) -> tuple[Any, jax.Array]:
    """Returns the sum over units of g * min(1, clip_norm / |g|), computed in chunks of units.

    Adding or removing one unit changes it by at most `clip_norm`.

    Args:
      loss_function: (weights, unit) -> (loss, accuracy).
      clip_norm: largest norm of a gradient over all leaves.
      still: paths of frozen layers; their gradients count as 0.
      most: number of gradients at a time.
      weights: pytree of parameters.
      units: images [U, M, ...], labels [U], present [U, M] bool.

    Returns:
      (the sum, a pytree like the weights; [3]: sums of loss and accuracy, number of present units).
    """

    def of_one(unit):
        (loss, accuracy), gradient = jax.value_and_grad(loss_function, has_aux=True)(weights, unit)
        gradient = jax.tree.map(
            lambda stays, leaf: jnp.zeros_like(leaf) if stays else leaf,
            recognizer_step.stay(gradient, still),
            gradient,
        )
        norm = jnp.sqrt(sum(jnp.sum(leaf * leaf) for leaf in jax.tree.leaves(gradient)))
        factor = jnp.minimum(1.0, clip_norm / jnp.maximum(norm, 1e-12))
        there = unit[2].any().astype(jnp.float32)
        figures = jnp.stack([loss * there, accuracy * there, there])
        return jax.tree.map(lambda leaf: factor * leaf, gradient), figures

    def add(total, chunk):
        found = jax.vmap(of_one)(chunk)
        return jax.tree.map(lambda leaf, more: leaf + more.sum(0), total, found), None

    size = _chunk(len(units[1]), most, weights)
    chunks = jax.tree.map(lambda leaf: leaf.reshape(-1, size, *leaf.shape[1:]), units)
    nothing = jax.tree.map(jnp.zeros_like, weights), jnp.zeros(3)
    total, _ = jax.lax.scan(add, nothing, chunks)
    return total


def noise_like(tree: Any, secret: jax.Array, step: jax.Array) -> Any:
    """Returns a pytree of standard normal numbers like `tree`, from a secret [4] uint32 and a step."""
    key = jax.random.wrap_key_data(secret[:2], impl='threefry2x32')
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.fold_in(key, step), len(leaves))
    drawn = [
        jax.random.normal(one, leaf.shape, leaf.dtype)
        for one, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)


def _chunk(units, most, weights):
    """Returns the number of units at a time: the largest divisor of `units` within the bounds."""
    each = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(weights))
    most = max(1, min(most, _GRADIENT_BYTES // each))
    return max(size for size in range(1, most + 1) if units % size == 0)
