"""Trains a face-recognition backbone with a margin softmax; the classification layer is thrown away.

Deterministic and resumable: the order of the data and every random choice follow from the seed and the
step, so that a run that was killed and started again ends in the same weights, bit for bit, on the
same device.
"""

import dataclasses
import functools
import math
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from fr_inference import checkpointing, devices, errors, processes, provenance, rng
from fr_inference.data import overlap
from fr_inference.data.faces import Faces
from fr_inference.models import registry
from fr_inference.models.target import InputSpec, Target
from fr_inference.training import margin as margins
from fr_inference.training import training_images as training_images
from fr_inference.training.margin import Margin
from fr_inference.weights import native_targets

Progress = Callable[..., None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a backbone is trained.

    Attributes:
      margin: of the softmax.
      epochs: passes over the images; 0 leaves the backbone as it is.
      batch_size: images per step (fewer where there are fewer images).
      learning_rate: of SGD at its peak; it falls along a cosine to 0.
      momentum: of SGD.
      weight_decay: on convolution and dense kernels and the class centres.
      warmup: share of the steps over which the learning rate rises.
      mirror: whether images are mirrored at random.
      cross_replica: whether BatchNorm's means and variances in training are those of the whole batch; of
        each device's part alone when False, as in insightface's training, and the result then depends
        on the number of devices, over which the statistics that are kept are averaged.
      seed: of the class centres, the order of the images, the mirroring (and the backbone's weights
        when training from scratch).
    """

    margin: Margin = margins.MARGINS['arcface']
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.05
    mirror: bool = True
    cross_replica: bool = True
    seed: int = 0

    def __post_init__(self):
        errors.require(
            0 <= self.epochs <= 1_000_000, f'epochs: found {self.epochs}, expected 0 to 1000000'
        )
        errors.require(
            self.batch_size >= 2, f'batch_size: found {self.batch_size}, expected 2 or more'
        )
        errors.positive('learning_rate', self.learning_rate)
        errors.require(
            0 <= self.momentum < 1, f'momentum: found {self.momentum}, expected 0 up to 1'
        )
        errors.require(
            0 <= self.weight_decay < math.inf,
            f'weight_decay: found {self.weight_decay}, expected 0 or more',
        )
        errors.require(0 <= self.warmup < 1, f'warmup: found {self.warmup}, expected 0 up to 1')


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """What a training step carries; `totals` are the epoch's loss and accuracy so far, summed."""

    params: Any
    batch_stats: Any
    centres: jax.Array
    momentum: Any
    step: jax.Array
    totals: jax.Array


def fresh_target(
    architecture: str, config: dict[str, Any], input: InputSpec | None, seed: int
) -> Target:
    """Returns a backbone with random weights, to be trained from scratch."""
    module = registry.build(architecture, **config)
    input = input or registry.VARIANTS[architecture].input
    variables = registry.init(module, input, rng.stream(jax.random.key(seed), 'weights'))
    return registry.make_target(architecture, variables, config=config, input=input)


def train(
    recipe: Recipe,
    target: Target,
    faces: Faces,
    *,
    workdir: str | os.PathLike | None = None,
    save_epochs: Sequence[int] = (),
    save_seconds: float = 60.0,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Target:
    """Trains `target` on `faces`.

    Args:
      recipe: how.
      target: where to start, of a registered architecture.
      faces: the training images; every identity is a class.
      workdir: keeps the state for resuming, below `state/`, and `epoch_NNN/` for `save_epochs`.
      save_epochs: after which epochs (0: before the first) to write a native checkpoint.
      save_seconds: how often at most to save the state within an epoch.
      skip_bad: leave unreadable images out.
      progress: called as progress(label, done, total, loss=, accuracy=).

    Returns:
      The trained target; its recipe holds the settings and the last epoch's loss and accuracy.

    A batch is shared out over the devices of all processes; the result does not depend on their number.

    Raises:
      Stopped: when that was asked for; the state is saved where there is a `workdir`.
      InputError: for a target that can't be trained, too few images or identities, or a `workdir`
        that holds another run.
    """
    errors.require(
        target.architecture in registry.VARIANTS and target.module is not None,
        f'{target.name}: only registered architectures can be trained',
    )
    images, kept = training_images.load(faces, target.input.height, target.input.width, skip_bad)
    faces = faces.select(kept)
    _, labels = np.unique(faces.identities, return_inverse=True)
    labels = labels.astype(np.int32)
    classes = int(labels.max()) + 1
    errors.require(
        classes >= 2 and len(labels) >= 2,
        f'{faces.name}: found {len(labels)} images of {classes} people, expected 2 people or more',
    )
    batch_size = min(recipe.batch_size, len(labels))
    # Of one image alone no device has a variance.
    mesh = devices.training_mesh(batch_size, fewest=1 if recipe.cross_replica else 2)
    per_epoch = len(labels) // batch_size
    module = cast(nn.Module, target.module)
    anywhen = dataclasses.replace(recipe, seed=0)  # the step is given the seed
    step_function = _make_step(module, target.input, anywhen, per_epoch, mesh)
    state = _initial_state(recipe, target, classes)
    workdir = pathlib.Path(workdir) if workdir is not None else None
    if workdir is not None:
        _check_same_run(workdir, recipe, target, faces)
        saved = checkpointing.latest_state(workdir / 'state', state)
        if saved is not None:
            state = saved[1]
    state = devices.on_mesh(state, mesh)
    total = recipe.epochs * per_epoch
    saved_at = time.monotonic()
    step = int(state.step)
    _check_saved_epochs(workdir, save_epochs, recipe.epochs, step / per_epoch)

    def save_state():
        if workdir is not None:
            checkpointing.save_state(workdir / 'state', step, state)

    def save_epoch(epoch):
        if workdir is not None and epoch in save_epochs:
            _save_epoch(workdir, epoch, recipe, target, state, faces, per_epoch)

    if step % per_epoch == 0:
        save_epoch(step // per_epoch)
    while step < total:
        epoch, within = divmod(step, per_epoch)
        order = rng.numpy_generator(recipe.seed, f'epoch {epoch}').permutation(len(labels))
        for number in range(within, per_epoch):
            chosen = order[number * batch_size : (number + 1) * batch_size]

            def part(rows, chosen=chosen):
                own = chosen[rows]
                return images(own), labels[own], own.astype(np.int32)

            batch = devices.batch_on_mesh(part, batch_size, mesh)
            state, metrics = step_function(state, batch, np.int32(recipe.seed))
            step += 1
            if progress is not None and (step % 8 == 0 or step == total):
                progress('training', step, total, **{k: float(v) for k, v in metrics.items()})
            # The state that ends an epoch comes after the epoch itself, which a kill would lose else.
            if step % per_epoch == 0:
                break
            if time.monotonic() - saved_at > save_seconds:
                save_state()
                saved_at = time.monotonic()
            processes.stop_point(save_state)
        weights = jax.tree.leaves((state.totals, state.params, state.batch_stats))
        errors.require(
            all(bool(np.isfinite(np.asarray(leaf)).all()) for leaf in weights),
            f'training diverged in epoch {epoch + 1}; lower learning_rate (now '
            f'{recipe.learning_rate}) or the margin',
        )
        save_epoch(epoch + 1)
        if step == total or time.monotonic() - saved_at > save_seconds:
            save_state()
            saved_at = time.monotonic()
        if step < total:
            processes.stop_point(save_state)
    return _finished(recipe, target, state, faces, per_epoch, recipe.epochs)


def recorded_recipe(record: Mapping[str, Any] | None, *, seed: int) -> Recipe:
    """Returns the recipe that a checkpoint records, under another seed.

    The default one takes the place of None, and of a record with none of a recipe's settings.

    Raises:
      InputError: for settings that are not ours.
    """
    usual = dataclasses.asdict(Recipe(seed=seed))
    values = {name: value for name, value in (record or {}).items() if name in usual}
    values['seed'] = seed
    try:
        for name, value in values.items():
            kinds = (int, float) if type(usual[name]) is float else (type(usual[name]),)
            if type(value) not in kinds:
                raise TypeError(f'{name} {value!r:.80}')
        if 'margin' in values:
            values['margin'] = Margin(**values['margin'])
        return Recipe(**values)
    except (TypeError, errors.InputError) as error:
        raise errors.InputError(
            f'the recipe that the target records is none of ours ({error}): no shadow can be trained '
            'by it here; train one yourself and give it as shadow'
        ) from error


def training_members(faces: Faces, *, skip_bad: bool = False) -> list[tuple[str, str, str]]:
    """Returns (path, identity, SHA-256 of the content) of every image; `skip_bad`: that can be read."""
    if skip_bad:
        faces = overlap.readable(faces, skip_bad=True)
    digests = overlap.content_digests(faces)
    return list(zip(faces.paths, faces.identities, digests, strict=True))


def first_step(
    recipe: Recipe, target: Target, *, classes: int, per_epoch: int, mesh: Any
) -> tuple[Any, State]:
    """Returns (the compiled step, the state before the first one): `train` without its data.

    Args:
      recipe: how; its batch size is not looked at.
      target: where to start, of a registered architecture.
      classes: people to be told apart.
      per_epoch: steps in an epoch.
      mesh: the devices, from `devices.training_mesh`.

    Returns:
      (`jax.jit` of (state, (images [B, H, W, 3] uint8, labels [B] int32, example ids [B] int32), seed)
      -> (state, metrics), which takes the state away; the state, on no device yet).
    """
    module = cast(nn.Module, target.module)
    step = _make_step(module, target.input, recipe, per_epoch, mesh)
    return step, _initial_state(recipe, target, classes)


def _schedule(recipe, per_epoch):
    total = max(2, recipe.epochs * per_epoch)  # one step to rise, one to fall
    cosine = optax.warmup_cosine_decay_schedule(
        0.0, recipe.learning_rate, max(1, round(recipe.warmup * total)), total
    )
    # optax counts in whole numbers and multiplies them: an error under strict dtype promotion.
    return lambda count: cosine(jnp.asarray(count, jnp.float32))


def _optimiser(recipe, schedule):
    def decays(tree):
        return jax.tree_util.tree_map_with_path(
            lambda path, _: path[-1].key in ('kernel', 'centres'), tree
        )

    def frozen(tree):
        # The reference keeps the last normalisation's scale at 1.
        return jax.tree_util.tree_map_with_path(
            lambda path, _: [part.key for part in path][-2:] == ['features', 'scale'], tree
        )

    return optax.chain(
        optax.add_decayed_weights(recipe.weight_decay, mask=decays),
        optax.trace(decay=recipe.momentum),
        optax.scale_by_learning_rate(schedule),
        optax.masked(optax.set_to_zero(), frozen),
    )


def _initial_state(recipe, target, classes):
    params = jax.tree.map(jnp.array, target.variables['params'])
    width = jax.eval_shape(
        target.apply,
        target.variables,
        jax.ShapeDtypeStruct((1, target.input.height, target.input.width, 3), jnp.float32),
    ).shape[-1]
    key = rng.stream(jax.random.key(recipe.seed), 'class centres')
    centres = 0.01 * jax.random.normal(key, (classes, width))
    optimiser = _optimiser(recipe, optax.constant_schedule(0.0))
    return State(
        params=params,
        batch_stats=jax.tree.map(jnp.array, target.variables.get('batch_stats', {})),
        centres=centres,
        momentum=optimiser.init({**params, 'centres': centres}),
        step=jnp.zeros((), jnp.int32),
        totals=jnp.zeros(2),
    )


@functools.lru_cache(maxsize=8)
def _make_step(module, input, recipe, per_epoch, mesh):
    """Compiles once for all shadows of one architecture and recipe."""
    optimiser = _optimiser(recipe, _schedule(recipe, per_epoch))

    def forward(shared, batch):
        (weights, batch_stats), (images, labels) = shared, batch
        params = {name: value for name, value in weights.items() if name != 'centres'}
        variables = {'params': params, 'batch_stats': batch_stats}
        embeddings, updated = module.apply(variables, images, train=True, mutable=['batch_stats'])
        cosine = margins.cosines(embeddings, weights['centres'])
        scores = margins.logits(cosine, labels, recipe.margin)
        loss = optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()
        accuracy = (cosine.argmax(-1) == labels).mean(dtype=jnp.float32)
        return loss, (updated.get('batch_stats', {}), accuracy)

    whole = forward if recipe.cross_replica else devices.by_device(forward, mesh)

    def loss_function(weights, batch_stats, images, labels):
        return whole((weights, batch_stats), (images, labels))

    def step(state: State, batch, seed):
        """One step: (state, (images uint8, labels, example ids), seed) -> (state, metrics)."""
        images, labels, ids = batch
        key = jax.random.fold_in(rng.stream(jax.random.key(seed), 'training'), state.step)
        images = input.normalize(images)
        if recipe.mirror:
            flips = jax.vmap(jax.random.bernoulli)(rng.per_example(key, ids))
            images = jnp.where(flips[:, None, None, None], images[:, :, ::-1], images)
        weights = {**state.params, 'centres': state.centres}
        (loss, (batch_stats, accuracy)), gradient = jax.value_and_grad(loss_function, has_aux=True)(
            weights, state.batch_stats, images, labels
        )
        updates, momentum = optimiser.update(gradient, state.momentum, weights)
        weights = dict(optax.apply_updates(weights, updates))
        centres = weights.pop('centres')
        earlier = jnp.where(state.step % per_epoch == 0, 0.0, state.totals)
        totals = earlier + jnp.stack([loss, accuracy])
        state = State(weights, batch_stats, centres, momentum, state.step + 1, totals)
        return state, {'loss': loss, 'accuracy': accuracy}

    return devices.data_parallel(step, mesh)


def _finished(recipe, target, state, faces, per_epoch, epochs):
    variables = {'params': state.params}
    if state.batch_stats:
        variables['batch_stats'] = state.batch_stats
    variables = jax.device_get(variables)
    return registry.make_target(
        target.architecture,
        variables,
        config=target.config,
        input=target.input,
        name=target.name,
        sha256=checkpointing.digest(variables),
        recipe={
            **dataclasses.asdict(recipe),
            'trained_epochs': epochs,
            'faces': faces.name,
            'images': len(faces),
            'identities': len(set(faces.identities)),
            'start': {'sha256': target.sha256, 'recipe': target.recipe},
            'loss': float(state.totals[0]) / per_epoch if epochs else None,
            'accuracy': float(state.totals[1]) / per_epoch if epochs else None,
        },
    )


def _save_epoch(workdir, epoch, recipe, target, state, faces, per_epoch):
    trained = _finished(recipe, target, state, faces, per_epoch, epoch)
    members = training_members(faces) if epoch else []
    native_targets.save_target(workdir / f'epoch_{epoch:03d}', trained, members=members)


def _check_saved_epochs(workdir, save_epochs, epochs, done):
    """What is to be saved must come yet, or be there."""
    beyond = [epoch for epoch in save_epochs if not 0 <= epoch <= epochs]
    errors.require(
        not beyond, f'save_epochs: found {beyond}, expected 0 to {epochs}, the last epoch'
    )
    if workdir is None or not processes.is_first():
        return
    lost = [
        epoch
        for epoch in save_epochs
        if epoch < done and not native_targets.is_target(workdir / f'epoch_{epoch:03d}')
    ]
    errors.require(
        not lost,
        f'save_epochs: epochs {lost} are over and were not saved; choose another folder than '
        f'{workdir}, or leave them out',
    )


def _check_same_run(workdir, recipe, target, faces):
    """A state belongs to one recipe, one start and one set of images."""
    run = {
        'recipe': dataclasses.asdict(recipe),
        'architecture': [target.architecture, dict(target.config)],
        'start': checkpointing.digest(target.variables),
        'faces': training_images.digest(faces),
    }
    provenance.claim_run(workdir, run)
