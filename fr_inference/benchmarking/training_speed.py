"""The training benchmark: training steps of a backbone on several devices."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from fr_inference import config, devices
from fr_inference.benchmarking import chips, scaling
from fr_inference.models.target import Target
from fr_inference.training import recognizer
from fr_inference.training.private_step import Mechanism

_CLASSES = 1000  # people: the size of the classification layer
_PER_EPOCH = 1000


def task(target: Target, size: int, *, private: bool = False) -> scaling.Task:
    """Returns the training of a backbone from scratch, with `size` random images on each device.

    A call is one step: transfer of images, loss, gradient, update, with BatchNorm over the whole batch.

    Args:
      target: the backbone, of a registered architecture.
      size: images on each device, 2 or more.
      private: with clipping and noise per image; the backbone must have no BatchNorm.
    """
    noise, seed = (1.0, 0) if private else (None, None)
    recipe = config.Recipe(batch_size=size, noise_multiplier=noise, noise_seed=seed)

    def prepared(on, together=1):
        count = size * len(on) * together
        with devices.using(on):
            mesh = devices.training_mesh(count)
        step, state = recognizer.first_step(
            recipe,
            target,
            classes=_CLASSES,
            per_epoch=_PER_EPOCH,
            mesh=mesh,
            mechanism=Mechanism(1.0, 1.0, count) if private else None,
        )
        batch = _batch(target.input, count)
        if private:  # each image is a unit
            images, labels, ids = batch
            batch = images[:, None], labels, ids[:, None], np.ones((count, 1), bool)
        return step, state, batch, mesh

    def build(on: Sequence[jax.Device]) -> scaling.Program:
        step, state, whole, mesh = prepared(on, scaling.several())
        count, seed = len(whole[0]), np.int32(recipe.seed)
        held = [devices.on_mesh(state, mesh)]

        def feed():
            return devices.batch_on_mesh(lambda rows: tuple(x[rows] for x in whole), count, mesh)

        def call(compiled):
            state, metrics = compiled(held.pop(), feed(), seed)  # the step donates the state
            held.append(state)
            return state, metrics

        return scaling.Program(lower=lambda: step.lower(held[0], feed(), seed), call=call)

    flops, device = None, chips.host()
    # A step involves all processes, so the time of a single process cannot be derived from it.
    if device is not None and scaling.several() == 1:
        step, state, whole, _ = prepared([device])
        # A plain step has no loop over images, so XLA counts all its operations. A private one has.
        found = None if private else chips.flops(step, state, whole, np.int32(recipe.seed))
        flops = None if found is None else found / size
    return scaling.Task(
        name=f'{target.name}, private' if private else target.name,
        size=size,
        items=size,
        build=build,
        flops=flops,
        narrow=target.config.get('dtype') == 'bfloat16',
    )


def ratios(scaled: Mapping[str, Any]) -> dict[str, float]:
    """Returns 'name, size per device, devices' -> images/s of private over plain training.

    Args:
      scaled: what `scaling.measure` found for tasks of both kinds.
    """
    rates = {
        (row['name'], row['size'], row['devices']): row['rate']['median'] for row in scaled['rows']
    }
    return {
        f'{name}, {size} a device, {count} devices': rates[f'{name}, private', size, count] / rate
        for (name, size, count), rate in rates.items()
        if (f'{name}, private', size, count) in rates
    }


def _batch(spec, count):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (count, spec.height, spec.width, 3), np.uint8)
    labels = draw.integers(0, _CLASSES, count, np.int32)
    return images, labels, np.arange(count, dtype=np.int32)
