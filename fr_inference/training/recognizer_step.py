"""One step of a backbone's training: margin softmax, SGD, BatchNorm statistics."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from fr_inference import devices, rng
from fr_inference.config import Recipe
from fr_inference.models.target import InputSpec, Target
from fr_inference.training import augment
from fr_inference.training import margin as margins


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """The state that a step takes and returns; `totals` sum the epoch's loss and accuracy so far."""

    params: Any
    batch_stats: Any
    centres: jax.Array
    momentum: Any
    step: jax.Array
    totals: jax.Array


def initial_state(recipe: Recipe, target: Target, classes: int) -> State:
    """Returns the state before the first step.

    Args:
      recipe: its seed draws the class centres.
      target: the backbone to start from.
      classes: number of people.
    """
    width = jax.eval_shape(
        target.apply,
        target.variables,
        jax.ShapeDtypeStruct((1, target.input.height, target.input.width, 3), jnp.float32),
    ).shape[-1]
    begin = _beginning(dataclasses.replace(recipe, seed=0), classes, width)
    # Copies: steps donate the state, and the target must keep its variables.
    params, batch_stats = (
        jax.tree.map(np.array, target.variables.get(kind, {})) for kind in ('params', 'batch_stats')
    )
    state: State = begin(params, batch_stats, jax.random.key(recipe.seed))
    return state


@functools.lru_cache(maxsize=8)
def _beginning(recipe, classes, width):
    """Returns one program for all parameters: one per shape takes longer than a small training."""
    made = optimiser(recipe, optax.constant_schedule(0.0))

    def begin(params, batch_stats, key):
        centres = 0.01 * jax.random.normal(rng.stream(key, 'class centres'), (classes, width))
        return State(
            params=params,
            batch_stats=batch_stats,
            centres=centres,
            momentum=made.init({**params, 'centres': centres}),
            step=jnp.zeros((), jnp.int32),
            totals=jnp.zeros(2),
        )

    return jax.jit(begin)


def make_step(
    recipe: Recipe, target: Target, per_epoch: int, mesh: Any
) -> Callable[[State, Any, Any], tuple[State, dict[str, jax.Array]]]:
    """Returns the step on the mesh.

    Args:
      recipe: how to train; its seed is an argument of the step.
      target: of a registered architecture; only its module and input are used.
      per_epoch: steps in an epoch.
      mesh: the devices, from `devices.training_mesh`.

    Returns:
      `jax.jit` of (state, (images [B, H, W, 3] uint8, labels [B] int32, example ids [B] int32), seed)
      -> (state, metrics), which donates the state.
    """
    module = cast(nn.Module, target.module)
    return _compiled(module, target.input, dataclasses.replace(recipe, seed=0), per_epoch, mesh)


@functools.lru_cache(maxsize=8)
def _compiled(module, input, recipe, per_epoch, mesh):
    """Returns the step, compiled once for all shadows of one architecture and recipe."""
    still = first_layers(module, input, recipe.frozen)
    sgd = optimiser(recipe, schedule(recipe, per_epoch), still)
    margin = margins.chosen(recipe)

    def forward(shared, batch):
        (weights, batch_stats), (images, labels) = shared, batch
        params = {name: value for name, value in weights.items() if name != 'centres'}
        variables = {'params': params, 'batch_stats': batch_stats}
        with nn.intercept_methods(functools.partial(_with_own_statistics, still)):
            embeddings, updated = module.apply(
                variables, images, train=True, mutable=['batch_stats']
            )
        cosine = margins.cosines(embeddings, weights['centres'])
        logits = margins.logits(cosine, labels, margin)
        loss = margins.cross_entropy(logits, labels, recipe.label_smoothing).mean()
        accuracy = (cosine.argmax(-1) == labels).mean(dtype=jnp.float32)
        return loss, (updated.get('batch_stats', {}), accuracy)

    whole = forward if recipe.cross_replica else devices.by_device(forward, mesh)

    def loss_function(weights, batch_stats, images, labels):
        return whole((weights, batch_stats), (images, labels))

    def step(state: State, batch, seed):
        """One step: (state, (images uint8, labels, example ids), seed) -> (state, metrics)."""
        images, labels, ids = batch
        images = augmented(recipe, input, images, ids, seed, state.step)
        weights = {**state.params, 'centres': state.centres}
        (loss, (batch_stats, accuracy)), gradient = jax.value_and_grad(loss_function, has_aux=True)(
            weights, state.batch_stats, images, labels
        )
        updates, momentum = sgd.update(gradient, state.momentum, weights)
        weights = dict(optax.apply_updates(weights, updates))
        centres = weights.pop('centres')
        earlier = jnp.where(state.step % per_epoch == 0, 0.0, state.totals)
        totals = earlier + jnp.stack([loss, accuracy])
        state = State(weights, batch_stats, centres, momentum, state.step + 1, totals)
        return state, {'loss': loss, 'accuracy': accuracy}

    return devices.data_parallel(step, mesh)


def augmented(
    recipe: Recipe, input: InputSpec, images: jax.Array, ids: jax.Array, seed: Any, step: jax.Array
) -> jax.Array:
    """Returns the inputs of a step: images that are mirrored and erased at random.

    Args:
      recipe: how to augment.
      input: of the backbone.
      images: [B, H, W, 3] uint8.
      ids: [B] int32; with the seed and the step they determine the augmentation of an image.
      seed: of the training.
      step: number of steps so far.

    Returns:
      [B, H, W, 3] float32, normalised.
    """
    key = jax.random.fold_in(rng.stream(jax.random.key(seed), 'training'), step)
    images = input.normalize(images)
    if recipe.mirror:
        flips = jax.vmap(jax.random.bernoulli)(rng.per_example(key, ids))
        images = jnp.where(flips[:, None, None, None], images[:, :, ::-1], images)
    if recipe.erasing:
        keys = rng.per_example(rng.stream(key, 'erasing'), ids)
        images = jax.vmap(augment.erased, (0, 0, None))(keys, images, recipe.erasing)
    return images


def schedule(recipe: Recipe, per_epoch: int) -> optax.Schedule:
    """Returns the learning rate by step: a linear warm-up, then a cosine decay to 0."""
    total = max(2, recipe.epochs * per_epoch)  # one step of warm-up, one of decay
    cosine = optax.warmup_cosine_decay_schedule(
        0.0, recipe.learning_rate, max(1, round(recipe.warmup * total)), total
    )
    # optax counts in integers and multiplies them by floats: an error under strict dtype promotion.
    return lambda count: cosine(jnp.asarray(count, jnp.float32))


def first_layers(module: nn.Module, input: InputSpec, share: float) -> frozenset[tuple[str, ...]]:
    """Returns the paths of the first `share` of the layers with weights, in the order of their calls."""
    found: dict[tuple[str, ...], None] = {}

    def intercept(call, arguments, keywords, context):
        output = call(*arguments, **keywords)
        inside = context.module.variables.get('params', {})
        if any(not isinstance(leaf, Mapping) for leaf in inside.values()):
            found[context.module.path] = None
        return output

    if not share:
        return frozenset()
    with jax.disable_jit(), nn.intercept_methods(intercept):
        image = jax.ShapeDtypeStruct((1, input.height, input.width, 3), jnp.float32)
        jax.eval_shape(lambda image: module.init(jax.random.key(0), image, train=False), image)
    return frozenset(list(found)[: round(share * len(found))])


def _with_own_statistics(still, call, arguments, keywords, context):
    """Makes a frozen layer normalise with its existing statistics."""
    layer = context.module
    normalises = isinstance(layer, nn.BatchNorm) and context.method_name == '__call__'
    if not normalises or layer.path not in still:
        return call(*arguments, **keywords)
    given = arguments[0] if arguments else keywords['x']
    mean, var = (layer.get_variable('batch_stats', name) for name in ('mean', 'var'))
    y = (given.astype(jnp.float32) - mean) * jax.lax.rsqrt(var + layer.epsilon)
    if layer.use_scale:
        y = y * layer.get_variable('params', 'scale')
    if layer.use_bias:
        y = y + layer.get_variable('params', 'bias')
    return y.astype(layer.dtype or given.dtype)


def stay(tree: Any, still: frozenset[tuple[str, ...]]) -> Any:
    """Returns which leaves of the weights training leaves unchanged, as a tree of booleans.

    Args:
      tree: the weights.
      still: paths of frozen layers, from `first_layers`.
    """

    # The reference keeps the last normalisation's scale at 1.
    def stays(path, _):
        names = tuple(part.key for part in path)
        return names[-2:] == ('features', 'scale') or names[:-1] in still

    return jax.tree_util.tree_map_with_path(stays, tree)


def optimiser(
    recipe: Recipe, schedule: optax.Schedule, still: frozenset[tuple[str, ...]] = frozenset()
) -> optax.GradientTransformation:
    """Returns SGD with momentum and weight decay.

    Args:
      recipe: momentum and weight decay.
      schedule: of the learning rate.
      still: paths of frozen layers.
    """

    def decays(tree):
        return jax.tree_util.tree_map_with_path(
            lambda path, _: path[-1].key in ('kernel', 'centres'), tree
        )

    return optax.chain(
        optax.add_decayed_weights(recipe.weight_decay, mask=decays),
        optax.trace(decay=recipe.momentum),
        optax.scale_by_learning_rate(schedule),
        optax.masked(optax.set_to_zero(), functools.partial(stay, still=still)),
    )
