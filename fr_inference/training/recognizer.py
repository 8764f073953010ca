"""Trains a face-recognition backbone with a margin softmax; the classification layer is not kept.

It can train with differential privacy (`private`).

Training is deterministic and resumable: the order of the data and every random choice follow from the
seed and the step. A run that was killed and started again ends in the same weights, bit for bit, on the
same device. In a private training the draws follow from a secret instead of the seed.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from fr_inference import checkpointing, devices, errors, rng, runs
from fr_inference.config import Recipe
from fr_inference.data.faces import Faces
from fr_inference.models import registry
from fr_inference.models.target import InputSpec, Target, origins
from fr_inference.program_config import Network
from fr_inference.runs import Progress
from fr_inference.training import private, private_step, recognizer_step, training_images
from fr_inference.training.private_step import Mechanism
from fr_inference.training.recognizer_step import State
from fr_inference.training.records import Record
from fr_inference.weights.targets import open_target

_TOLD_EVERY = 8  # steps; reporting more often would make the devices wait


def fresh_target(
    architecture: str, config: dict[str, Any], input: InputSpec | None, seed: int
) -> Target:
    """Returns a backbone with random weights, to be trained from scratch."""
    module = registry.build(architecture, **config)
    input = input or registry.VARIANTS[architecture].input
    variables = registry.init(module, input, rng.stream(jax.random.key(seed), 'weights'))
    return registry.make_target(
        architecture, variables, config=config, input=input, origins=origins('layout')
    )


def start(network: Network, seed: int) -> Target:
    """Returns the backbone that training starts from: the named checkpoint, or random weights.

    Args:
      network: the checkpoint, or the architecture ('iresnet18' by default) with its hyper-parameters.
      seed: of the weights.

    Raises:
      InputError: of 'init', for a checkpoint that cannot be opened; of a hyper-parameter.
    """
    if network.init is not None:
        return open_target(network.init, input=network.input, part=network.part, field='init')
    arch = network.arch or 'iresnet18'
    spec = registry.VARIANTS[arch].input.changed(network.input)
    return fresh_target(arch, network.config, spec, seed)


def train(
    recipe: Recipe,
    target: Target,
    faces: Faces,
    *,
    workdir: str | os.PathLike | None = None,
    save_epochs: Sequence[int] = (),
    save_seconds: float = 60.0,
    audits: Mapping[int, Callable[[Target], None]] | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Target:
    """Trains `target` on `faces`.

    A batch is split over the devices of all processes; the result does not depend on their number.

    Args:
      recipe: how to train.
      target: the backbone to start from, of a registered architecture.
      faces: the training images; every identity is a class.
      workdir: folder for the state, below `state/`, from which a run resumes, and for `epoch_NNN/`.
      save_epochs: after which epochs (0: before the first) to write a native checkpoint.
      save_seconds: shortest time between two saves of the state within an epoch.
      audits: epoch -> function to call with the current backbone after that epoch (0: before the
        first), once the state is saved. A resumed training repeats the call for the epoch that it
        resumes from.
      skip_bad: leave unreadable images out.
      progress: called as progress(label, done, total, loss=, accuracy=); in a private training also
        with epsilon=, which is spent by the end of the epoch.

    Returns:
      The trained target; its recipe holds the settings and the last epoch's loss and accuracy.

    Raises:
      Stopped: when a stop was requested; with a `workdir` the state is saved.
      InputError: for a target that cannot be trained, too few images or identities, or a `workdir`
        that holds another run.
    """
    if not target.statistics:
        raise errors.InputError(
            'init', f'{target.name}, whose statistics were folded away', 'a backbone that has them'
        )
    private.checked(recipe, target)
    if target.architecture not in registry.VARIANTS or target.module is None:
        raise errors.InputError(
            'target', target.name, 'a registered architecture: only those can be trained'
        )
    images, kept = training_images.load(faces, target.input.height, target.input.width, skip_bad)
    faces = faces.select(kept)
    labels = np.unique(faces.identities, return_inverse=True)[1].astype(np.int32)
    classes = int(labels.max()) + 1
    if classes < 2:
        raise errors.InputError(
            faces.name, f'{len(labels)} images of {classes} people', '2 people or more'
        )
    batch_size = min(recipe.batch_size, len(labels))
    # A device with one image has no variance.
    mesh = devices.training_mesh(batch_size, fewest=1 if recipe.cross_replica else 2)
    per_epoch = len(labels) // batch_size
    total = recipe.epochs * per_epoch
    plan = private.plan(recipe, labels, batch_size, total) if recipe.private else None
    mechanism = None if plan is None else plan.mechanism
    step, begun = first_step(
        recipe, target, classes=classes, per_epoch=per_epoch, mesh=mesh, mechanism=mechanism
    )
    record = Record(recipe, target, faces, per_epoch, plan)
    folder = pathlib.Path(workdir) if workdir is not None else None
    if folder is not None:
        runs.claim(folder, _described(recipe, target, faces))

    def save_epoch(state, epoch):
        if folder is not None and epoch in save_epochs:
            record.save_epoch(folder, state, epoch)

    def look(state, epoch):
        if audits and epoch in audits:
            audits[epoch](record.trained(state, epoch))

    draws: private.Draws | None = None

    def begin(state):
        nonlocal draws
        if plan is not None:
            draws = plan.draws(np.asarray(state.secret))
        done = int(state.step)
        record.check_epochs(folder, save_epochs, done / per_epoch)
        if done % per_epoch == 0:
            save_epoch(state, done // per_epoch)
        return devices.on_mesh(state, mesh)

    @functools.lru_cache(maxsize=1)
    def order(epoch):
        return rng.numpy_generator(recipe.seed, f'epoch {epoch}').permutation(len(labels))

    def batch_at(done):
        if draws is not None:
            size = private_step.padded(draws.largest, mesh)
            return devices.batch_on_mesh(draws.reader(done, size, images, labels), size, mesh)
        epoch, within = divmod(done, per_epoch)
        chosen = order(epoch)[within * batch_size : (within + 1) * batch_size]

        def part(rows):
            own = chosen[rows]
            return images(own), labels[own], own.astype(np.int32)

        return devices.batch_on_mesh(part, batch_size, mesh)

    def advance(state, done):
        epoch, within = divmod(done, per_epoch)
        if not within:
            look(state, epoch)
        batch = batch_at(done)
        state, metrics = step(state, batch, np.int32(recipe.seed))
        done += 1
        if done % per_epoch == 0:
            _check_finite(state, epoch + 1, recipe)
            # Before the end-of-epoch state: a kill in between repeats the epoch's last steps instead
            # of losing the checkpoint.
            save_epoch(state, epoch + 1)
        if done % _TOLD_EVERY and done < total:
            return state, done, None
        spent = plan.epsilon((epoch + 1) * per_epoch) if plan is not None else None
        return state, done, metrics if spent is None else {**metrics, 'epsilon': spent}

    state = runs.resume(
        begun,
        total,
        advance,
        folder=folder,
        place=begin,
        save_seconds=save_seconds,
        save_at=[epoch * per_epoch for epoch in audits or ()],
        label='training',
        progress=progress,
    )
    look(state, recipe.epochs)
    return record.trained(state, recipe.epochs)


def first_step(
    recipe: Recipe,
    target: Target,
    *,
    classes: int,
    per_epoch: int,
    mesh: Any,
    mechanism: Mechanism | None = None,
) -> tuple[Any, State]:
    """Returns the compiled step and the state before the first step, without any data.

    Args:
      recipe: how to train; its batch size is ignored.
      target: the backbone to start from, of a registered architecture.
      classes: number of people.
      per_epoch: steps in an epoch.
      mesh: the devices, from `devices.training_mesh`.
      mechanism: of a private training, else None.

    Returns:
      (the step of `recognizer_step.make_step` or `private_step.make_step`; the state, on the host).
    """
    state = recognizer_step.initial_state(recipe, target, classes)
    if mechanism is None:
        return recognizer_step.make_step(recipe, target, per_epoch, mesh), state
    step = private_step.make_step(recipe, target, per_epoch, mesh, mechanism)
    return step, private_step.PrivateState(**vars(state), secret=private.new_secret(recipe))


def _check_finite(state, epoch, recipe):
    weights = jax.tree.leaves((state.totals, state.params, state.batch_stats))
    if not all(bool(np.isfinite(np.asarray(leaf)).all()) for leaf in weights):
        raise errors.InputError(
            'learning_rate',
            f'{recipe.learning_rate}, with which training diverged in epoch {epoch}',
            'a lower one, or a smaller margin',
        )


def _described(recipe, target, faces):
    """Describes a run: its recipe, the backbone that it starts from, and its images."""
    return {
        'recipe': dataclasses.asdict(recipe),
        'architecture': [target.architecture, dict(target.config)],
        'start': checkpointing.digest(target.variables),
        'faces': training_images.digest(faces),
    }
